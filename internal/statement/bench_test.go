package statement_test

import (
	"crypto/ed25519"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

func signedHalf() (ed25519.PrivateKey, fact.PublicKey, []byte) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return key, fact.PublicKey(key.Public().(ed25519.PublicKey)), statement.AppendHalf(nil, aHalf())
}

func BenchmarkSign(b *testing.B) {
	key, _, half := signedHalf()
	b.ReportAllocs()
	for b.Loop() {
		statement.Sign(key, half)
	}
}

func BenchmarkVerify(b *testing.B) {
	key, public, half := signedHalf()
	sig := statement.Sign(key, half)
	b.ReportAllocs()
	for b.Loop() {
		if !statement.Verify(public, half, sig) {
			b.Fatal("the signature does not verify")
		}
	}
}

func BenchmarkParseHalf(b *testing.B) {
	_, _, half := signedHalf()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := statement.ParseHalf(half); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendHalf(b *testing.B) {
	h, dst := aHalf(), make([]byte, 0, statement.HalfSize)
	b.ReportAllocs()
	for b.Loop() {
		statement.AppendHalf(dst, h)
	}
}

func BenchmarkTapID(b *testing.B) {
	h := aHalf()
	b.ReportAllocs()
	for b.Loop() {
		statement.TapID(h)
	}
}
