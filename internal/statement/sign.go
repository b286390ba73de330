package statement

import (
	"crypto/ed25519"
	"encoding/hex"

	"pinfold/internal/fact"
)

// Sign signs the bytes of a statement with Ed25519 (RFC 8032), docs/design.md section 4. The same key and bytes always give
// the same signature. It panics where the key is not [ed25519.PrivateKeySize] bytes long.
func Sign(key ed25519.PrivateKey, b []byte) fact.Signature {
	return fact.Signature(ed25519.Sign(key, b))
}

// Verify reports whether sig is the key's Ed25519 signature over exactly these bytes, docs/design.md section 4. It does not look
// into the bytes: that they name the pin of this key is for the caller to know.
func Verify(key fact.PublicKey, b []byte, sig fact.Signature) bool {
	return ed25519.Verify(key[:], b, sig[:])
}

// smallOrderPoints are the encodings of the points whose order divides the cofactor 8, the sign bit aside: with such a
// key one signature fits many messages. The list is that of libsodium's ge25519_has_small_order, which refuses them when
// it verifies; crypto/ed25519 does not.
var smallOrderPoints = [7]string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// SmallOrder reports whether the key is a point of small order: signatures can then be made up for it.
func SmallOrder(key fact.PublicKey) bool {
	key[31] &= 0x7f
	text := hex.EncodeToString(key[:])
	for _, p := range smallOrderPoints {
		if p == text {
			return true
		}
	}
	return false
}
