package crowd

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// Pin is a pin in software: it taps and proves that it is there as a real one does.
type Pin struct {
	private ed25519.PrivateKey
	public  fact.PublicKey
	id      fact.PinID
	secret  [32]byte // of which its key and its nonces are made
	counter fact.Counter
}

// NewPin makes a pin whose key and nonces follow from the secret.
func NewPin(secret [32]byte) *Pin {
	p := &Pin{secret: secret, private: ed25519.NewKeyFromSeed(derive(secret, "key", 0))}
	p.public = fact.PublicKey(p.private.Public().(ed25519.PublicKey))
	p.id = p.public.PinID()
	return p
}

// ID returns the pin's id.
func (p *Pin) ID() fact.PinID { return p.id }

// Key returns the pin's public key.
func (p *Pin) Key() fact.PublicKey { return p.public }

// Prove signs a challenge, as after a press of the button.
func (p *Pin) Prove(c fact.Challenge, at fact.UnixMilli) (raw []byte, sig fact.Signature) {
	raw = statement.AppendProof(nil, fact.Proof{Pin: p.id, Challenge: c, Time: at})
	return raw, statement.Sign(p.private, raw)
}

// Count signs a report of the steps in consecutive quarter hours. It takes the next counter.
func (p *Pin) Count(first fact.Slot, steps []uint16) Signed {
	p.counter++
	return p.SignRaw(statement.AppendStepReport(nil, fact.StepReport{Pin: p.id, Counter: p.counter, FirstSlot: first, Steps: steps}))
}

// SignRaw signs any bytes, as a pin with a bug or in wrong hands would.
func (p *Pin) SignRaw(raw []byte) Signed {
	return Signed{Statement: raw, Signature: statement.Sign(p.private, raw)}
}

// Hello is the first datagram of a tap (design section 5).
type Hello struct {
	Pin   fact.PinID
	Nonce fact.Nonce
	Key   fact.PublicKey
}

// Signed is a statement and its signature, which is the second datagram of a tap where it is a half.
type Signed struct {
	Statement []byte
	Signature fact.Signature
}

// Approach begins a tap on this pin's side. It takes the next counter; all that follows changes nothing in the pin.
func (p *Pin) Approach() *Side {
	p.counter++
	nonce := fact.Nonce(derive(p.secret, "nonce", uint64(p.counter))[:len(fact.Nonce{})])
	return &Side{pin: p, counter: p.counter, hello: Hello{Pin: p.id, Nonce: nonce, Key: p.public}}
}

// Side is one pin's side of one tap.
type Side struct {
	pin     *Pin
	counter fact.Counter
	hello   Hello
}

// Hello returns what the pin sends first.
func (s *Side) Hello() Hello { return s.hello }

// Sign returns the pin's half, once the other's hello is there.
func (s *Side) Sign(peer Hello, at fact.UnixMilli) (Signed, error) {
	if peer.Pin == s.pin.id {
		return Signed{}, errors.New("tap: the hello bears this pin's own id")
	}
	if peer.Key.PinID() != peer.Pin {
		return Signed{}, fmt.Errorf("tap: the id %v is not the hash of its key", peer.Pin)
	}
	raw := statement.AppendHalf(nil, fact.Half{
		Pin: s.pin.id, Peer: peer.Pin, Nonce: s.hello.Nonce, PeerNonce: peer.Nonce,
		Counter: s.counter, Time: at, Link: fact.LinkWire,
	})
	return s.pin.SignRaw(raw), nil
}

// Check verifies the other pin's half of this tap.
func (s *Side) Check(peer Hello, half Signed) error {
	h, err := statement.ParseHalf(half.Statement)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	if h.Pin != peer.Pin || h.Nonce != peer.Nonce || h.Peer != s.pin.id || h.PeerNonce != s.hello.Nonce {
		return fmt.Errorf("tap: the half of pin %v is of another tap", h.Pin)
	}
	if !statement.Verify(peer.Key, half.Statement, half.Signature) {
		return fmt.Errorf("tap: the half is not signed by pin %v", h.Pin)
	}
	return nil
}

// derive makes 32 bytes of a secret for one use.
func derive(secret [32]byte, use string, n uint64) []byte {
	h := sha256.New()
	h.Write(secret[:])
	h.Write([]byte(use))
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	return h.Sum(nil)
}
