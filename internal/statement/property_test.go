package statement_test

import (
	"bytes"
	"crypto/ed25519"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

func drawBytes(t *rapid.T, n int, name string) []byte {
	return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, name)
}

func drawTime(t *rapid.T) fact.UnixMilli {
	return fact.UnixMilli(rapid.Int64Range(0, math.MaxInt64).Draw(t, "time"))
}

func drawCounter(t *rapid.T) fact.Counter { return fact.Counter(rapid.Uint32().Draw(t, "counter")) }

func drawHalf(t *rapid.T) fact.Half {
	h := fact.Half{
		Pin:       fact.PinID(drawBytes(t, 8, "pin")),
		Peer:      fact.PinID(drawBytes(t, 8, "peer")),
		Nonce:     fact.Nonce(drawBytes(t, 16, "nonce")),
		PeerNonce: fact.Nonce(drawBytes(t, 16, "peer nonce")),
		Counter:   drawCounter(t),
		Time:      drawTime(t),
		RSSI:      rapid.Int8().Draw(t, "rssi"),
		Link:      fact.Link(rapid.Uint8Range(1, 3).Draw(t, "link")),
	}
	if h.Pin == h.Peer {
		h.Peer[7] ^= 1
	}
	return h
}

func drawReport(t *rapid.T) fact.StepReport {
	r := fact.StepReport{
		Pin:     fact.PinID(drawBytes(t, 8, "pin")),
		Counter: drawCounter(t),
		Steps:   rapid.SliceOfN(rapid.Uint16(), 1, statement.MaxSlots).Draw(t, "steps"),
	}
	r.FirstSlot = fact.Slot(rapid.Uint32Range(0, math.MaxUint32-uint32(len(r.Steps)-1)).Draw(t, "first slot"))
	return r
}

func drawProof(t *rapid.T) fact.Proof {
	return fact.Proof{
		Pin:       fact.PinID(drawBytes(t, 8, "pin")),
		Challenge: fact.Challenge(drawBytes(t, 32, "challenge")),
		Time:      drawTime(t),
	}
}

func drawStatement(t *rapid.T) []byte {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return statement.AppendHalf(nil, drawHalf(t))
	case 1:
		return statement.AppendStepReport(nil, drawReport(t))
	default:
		return statement.AppendProof(nil, drawProof(t))
	}
}

func TestHalfRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHalf(t)
		if got, err := statement.ParseHalf(statement.AppendHalf(nil, want)); err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestStepReportRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawReport(t)
		got, err := statement.ParseStepReport(statement.AppendStepReport(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestProofRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawProof(t)
		if got, err := statement.ParseProof(statement.AppendProof(nil, want)); err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

// A changed statement is refused, or it is another statement: no two byte strings mean the same.
func TestBytesAreTheOnlyForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawStatement(t)
		at := rapid.IntRange(4, len(b)-1).Draw(t, "at")
		b[at] = rapid.Byte().Draw(t, "value")
		kind, err := statement.KindOf(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parse(kind, b); err == nil && !bytes.Equal(got, b) {
			t.Fatalf("got %x, want %x", got, b)
		}
	})
}

func TestBothHalvesNameTheSameTap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, m := drawHalf(t), drawHalf(t)
		m.Pin, m.Nonce, m.Peer, m.PeerNonce = h.Peer, h.PeerNonce, h.Pin, h.Nonce
		if got, want := statement.TapID(m), statement.TapID(h); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
		m.Nonce[rapid.IntRange(0, 15).Draw(t, "at")] ^= 1
		if got, other := statement.TapID(m), statement.TapID(h); got == other {
			t.Fatalf("another nonce gave the same tap %v", got)
		}
	})
}

func TestAnyChangedBitBreaksVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := ed25519.NewKeyFromSeed(drawBytes(t, ed25519.SeedSize, "seed"))
		public := fact.PublicKey(key.Public().(ed25519.PublicKey))
		b := drawStatement(t)
		sig := statement.Sign(key, b)
		if !statement.Verify(public, b, sig) {
			t.Fatalf("signature %x of %x does not verify", sig, b)
		}
		bit := rapid.IntRange(0, 8*(len(b)+len(sig))-1).Draw(t, "bit")
		if bit < 8*len(b) {
			b = flip(b, bit)
		} else {
			flip(sig[:], bit-8*len(b))
		}
		if statement.Verify(public, b, sig) {
			t.Fatalf("signature %x of %x verifies with bit %d changed", sig, b, bit)
		}
	})
}
