package statement

import (
	"crypto/ed25519"

	"pinfold/internal/fact"
)

// Sign signs the bytes of a statement with Ed25519 (RFC 8032), design section 4. The same key and bytes always give
// the same signature. It panics where the key is not [ed25519.PrivateKeySize] bytes long.
func Sign(key ed25519.PrivateKey, b []byte) fact.Signature {
	return fact.Signature(ed25519.Sign(key, b))
}

// Verify reports whether sig is the key's Ed25519 signature over exactly these bytes, design section 4. It does not look
// into the bytes: that they name the pin of this key is for the caller to know.
func Verify(key fact.PublicKey, b []byte, sig fact.Signature) bool {
	return ed25519.Verify(key[:], b, sig[:])
}
