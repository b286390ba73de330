package fact

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
)

// WearerID names a wearer: 16 opaque random bytes, never derived from a person's name.
// In APIs it is 26 lower-case base32 characters without padding.
type WearerID [16]byte

var wearerText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ParseWearerID reads the text form of a wearer. Only the one text that String prints is accepted.
func ParseWearerID(s string) (WearerID, error) {
	var id WearerID
	raw, err := wearerText.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return WearerID{}, fmt.Errorf("wearer %.80q: want 26 lower-case base32 characters (a-z, 2-7)", s)
	}
	copy(id[:], raw)
	if id.String() != s {
		return WearerID{}, fmt.Errorf("wearer %.80q: the unused bits of the last character are not zero", s)
	}
	return id, nil
}

func (id WearerID) String() string { return wearerText.EncodeToString(id[:]) }

// PinID names a pin: the first 8 bytes of the SHA-256 of its public key. In APIs it is 16 lower-case hex digits.
type PinID [8]byte

// ParsePinID reads the text form of a pin. Upper-case digits are refused, so that a pin has one text.
func ParsePinID(s string) (PinID, error) {
	var id PinID
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) || hex.EncodeToString(raw) != s {
		return PinID{}, fmt.Errorf("pin %.80q: want 16 lower-case hex digits", s)
	}
	copy(id[:], raw)
	return id, nil
}

func (id PinID) String() string { return hex.EncodeToString(id[:]) }

// PublicKey is a pin's Ed25519 public key (RFC 8032).
type PublicKey [32]byte

// PinID returns the id of the pin that holds this key.
func (k PublicKey) PinID() PinID {
	sum := sha256.Sum256(k[:])
	return PinID(sum[:8])
}

// Signature is an Ed25519 signature over the bytes of a statement.
type Signature [64]byte

// Nonce is the random value that a pin makes anew for each tap.
type Nonce [16]byte

// SessionID names an app's session: 16 bytes that tell nothing of its wearer.
type SessionID [16]byte

func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// TapID names a tap. Both halves of a tap derive the same one; see package statement.
type TapID [16]byte

func (id TapID) String() string { return hex.EncodeToString(id[:]) }

// Challenge is what a pin signs to prove that it is there when it is paired; see package statement.
type Challenge [32]byte
