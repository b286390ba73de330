//go:build firmware && cgo

package cpin_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"reflect"
	"testing"

	"pinfold/firmware/host/cpin"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

const vectorsPath = "../../../proto/testdata/statements.json"

// signed is any row of the vectors that has bytes and a signature.
type signed struct {
	Pin         string `json:"pin"`
	PublicKeyOf string `json:"public_key_of"` // of a row to be refused
	Bytes       string `json:"bytes"`
	Signature   string `json:"signature"`
	Rule        string `json:"rule"`
	Why         string `json:"why"`
}

type vectors struct {
	Pins []struct {
		ID   string `json:"id"`
		Seed string `json:"seed"`
	} `json:"pins"`
	Digits []struct {
		Challenge string `json:"challenge"`
		Digits    string `json:"digits"`
	} `json:"digits"`
	Halves        []signed `json:"halves"`
	Steps         []signed `json:"steps"`
	Proofs        []signed `json:"proofs"`
	MustBeRefused []signed `json:"must_be_refused"`
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	text, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", vectorsPath, err)
	}
	return &v
}

func (v *vectors) good() []signed {
	return append(append(append([]signed{}, v.Halves...), v.Steps...), v.Proofs...)
}

func (v *vectors) all() []signed { return append(v.good(), v.MustBeRefused...) }

func (v *vectors) keys(t testing.TB) map[string]ed25519.PrivateKey {
	keys := map[string]ed25519.PrivateKey{}
	for _, p := range v.Pins {
		keys[p.ID] = ed25519.NewKeyFromSeed(unhex(t, p.Seed))
	}
	return keys
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("vector %q: %v", s, err)
	}
	return b
}

func public(key ed25519.PrivateKey) fact.PublicKey {
	return fact.PublicKey(key.Public().(ed25519.PublicKey))
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	keys := v.keys(t)
	for _, row := range v.all() {
		compareParse(t, unhex(t, row.Bytes))
	}
	for _, row := range v.good() {
		key, b := keys[row.Pin], unhex(t, row.Bytes)
		if got := cpin.Sign(key, b); got != fact.Signature(unhex(t, row.Signature)) {
			t.Errorf("signature of %s: got %x, want %s", row.Bytes, got, row.Signature)
		}
		if !cpin.Verify(public(key), b, fact.Signature(unhex(t, row.Signature))) {
			t.Errorf("signature of %s does not verify", row.Bytes)
		}
	}
	for _, row := range v.Digits {
		if got := cpin.Digits(fact.Challenge(unhex(t, row.Challenge))); got != row.Digits {
			t.Errorf("digits of %s: got %s, want %s", row.Challenge, got, row.Digits)
		}
	}
	for _, row := range v.MustBeRefused {
		key, b := keys[row.PublicKeyOf], unhex(t, row.Bytes)
		got := parseC(cpin.KindOf(b), b).rule.String()
		if got == statement.Rule(0).String() && !cpin.Verify(public(key), b, fact.Signature(unhex(t, row.Signature))) {
			got = "BAD_SIGNATURE"
		}
		if got != row.Rule {
			t.Errorf("%s: got %s, want %s", row.Why, got, row.Rule)
		}
	}
}

// parsed is what came of reading bytes as a statement: a broken rule, or the fields and the bytes written from them.
type parsed struct {
	rule   statement.Rule
	fields any
	bytes  []byte
}

func parseC(kind statement.Kind, b []byte) parsed {
	switch kind {
	case statement.KindHalf:
		h, rule := cpin.ParseHalf(b)
		if rule != 0 {
			return parsed{rule: rule}
		}
		again, _ := cpin.BuildHalf(h)
		return parsed{0, h, again}
	case statement.KindStepReport:
		r, rule := cpin.ParseStepReport(b)
		if rule != 0 {
			return parsed{rule: rule}
		}
		again, _ := cpin.BuildStepReport(r)
		return parsed{0, r, again}
	case statement.KindProof:
		p, rule := cpin.ParseProof(b)
		if rule != 0 {
			return parsed{rule: rule}
		}
		again, _ := cpin.BuildProof(p)
		return parsed{0, p, again}
	}
	return parsed{rule: statement.UnknownMagic}
}

func parseGo(kind statement.Kind, b []byte) (parsed, error) {
	switch kind {
	case statement.KindHalf:
		h, err := statement.ParseHalf(b)
		if err != nil {
			return parsed{}, err
		}
		return parsed{0, h, statement.AppendHalf(nil, h)}, nil
	case statement.KindStepReport:
		r, err := statement.ParseStepReport(b)
		if err != nil {
			return parsed{}, err
		}
		return parsed{0, r, statement.AppendStepReport(nil, r)}, nil
	default:
		p, err := statement.ParseProof(b)
		if err != nil {
			return parsed{}, err
		}
		return parsed{0, p, statement.AppendProof(nil, p)}, nil
	}
}

func ruleOf(t testing.TB, err error) statement.Rule {
	t.Helper()
	broken, ok := errors.AsType[*statement.Error](err)
	if !ok {
		t.Fatalf("got the error %v, want a statement.Error", err)
	}
	return broken.Rule
}

// compareParse reads the bytes as each of the three statements, whatever their magic, in C and in Go.
func compareParse(t testing.TB, b []byte) {
	t.Helper()
	if want, _ := statement.KindOf(b); cpin.KindOf(b) != want {
		t.Errorf("kind of %x: C %v, Go %v", b, cpin.KindOf(b), want)
	}
	for _, kind := range []statement.Kind{statement.KindHalf, statement.KindStepReport, statement.KindProof} {
		want, err := parseGo(kind, b)
		if err != nil {
			want = parsed{rule: ruleOf(t, err)}
		}
		if got := parseC(kind, b); !reflect.DeepEqual(got, want) {
			t.Errorf("%x as %v: C %+v, Go %+v", b, kind, got, want)
		}
	}
}

// refusal returns the rule for which Go panics, or 0.
func refusal(t testing.TB, write func() []byte) (b []byte, rule statement.Rule) {
	defer func() {
		if r := recover(); r != nil {
			rule = ruleOf(t, r.(error))
		}
	}()
	return write(), 0
}

func compareBuild(t testing.TB, what any, c []byte, rule statement.Rule, write func() []byte) {
	t.Helper()
	want, wantRule := refusal(t, write)
	if rule != wantRule || wantRule == 0 && !bytes.Equal(c, want) {
		t.Errorf("%+v: C %x, %v; Go %x, %v", what, c, rule, want, wantRule)
	}
}

// FuzzParse compares what C and Go accept and read, and why they refuse.
func FuzzParse(f *testing.F) {
	for _, row := range readVectors(f).all() {
		f.Add(unhex(f, row.Bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) { compareParse(t, b) })
}

// FuzzBuild compares what C and Go write, and why they refuse to, and the ids derived from it.
func FuzzBuild(f *testing.F) {
	f.Add(bytes.Repeat([]byte{7}, 120), uint32(1), int64(1), int8(-1), uint8(2), uint32(3))
	f.Add([]byte{}, uint32(0), int64(0), int8(0), uint8(1), uint32(0))
	f.Add(bytes.Repeat([]byte{255}, 90), uint32(1<<31), int64(-1), int8(127), uint8(4), uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, b []byte, counter uint32, ms int64, rssi int8, link uint8, slot uint32) {
		h := fact.Half{Counter: fact.Counter(counter), Time: fact.UnixMilli(ms), RSSI: rssi, Link: fact.Link(link)}
		rest := b
		for _, field := range [][]byte{h.Pin[:], h.Peer[:], h.Nonce[:], h.PeerNonce[:]} {
			rest = rest[copy(field, rest):]
		}
		c, rule := cpin.BuildHalf(h)
		compareBuild(t, h, c, rule, func() []byte { return statement.AppendHalf(nil, h) })
		if got, want := cpin.TapID(h), statement.TapID(h); got != want {
			t.Errorf("tap of %+v: C %v, Go %v", h, got, want)
		}

		r := fact.StepReport{Pin: h.Pin, Counter: h.Counter, FirstSlot: fact.Slot(slot)}
		for i := 0; i+1 < len(b); i += 2 {
			r.Steps = append(r.Steps, uint16(b[i])<<8|uint16(b[i+1]))
		}
		c, rule = cpin.BuildStepReport(r)
		compareBuild(t, r, c, rule, func() []byte { return statement.AppendStepReport(nil, r) })

		p := fact.Proof{Pin: h.Peer, Time: h.Time}
		copy(p.Challenge[:], b)
		c, rule = cpin.BuildProof(p)
		compareBuild(t, p, c, rule, func() []byte { return statement.AppendProof(nil, p) })
		if got, want := cpin.Digits(p.Challenge), statement.Digits(p.Challenge); got != want {
			t.Errorf("digits of %x: C %s, Go %s", p.Challenge, got, want)
		}
	})
}

// FuzzSignature compares keys, ids, signatures, and what is accepted after some bits were changed. Both sides must give the same
// answer but for keys and signatures of small order, which no bits come to by chance.
func FuzzSignature(f *testing.F) {
	f.Add(make([]byte, 32), []byte("PFH1"), uint16(0), uint8(0))
	f.Add(bytes.Repeat([]byte{1}, 32), []byte{}, uint16(300), uint8(1))
	f.Add(bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 88), uint16(700), uint8(128))
	f.Fuzz(func(t *testing.T, text, message []byte, place uint16, flip uint8) {
		var seed [ed25519.SeedSize]byte
		copy(seed[:], text)
		want := ed25519.NewKeyFromSeed(seed[:])
		key, private := cpin.KeyPair(seed)
		if key != public(want) || !bytes.Equal(private, want) {
			t.Fatalf("seed %x: C %x, %x; Go %x", seed, key, private, want)
		}
		if got := cpin.PinID(key); got != key.PinID() {
			t.Errorf("pin of key %x: C %v, Go %v", key, got, key.PinID())
		}
		sig := cpin.Sign(private, message)
		if sig != statement.Sign(want, message) {
			t.Errorf("seed %x, message %x: C signs %x", seed, message, sig)
		}
		all := append(append(append([]byte{}, key[:]...), sig[:]...), message...)
		all[int(place)%len(all)] ^= flip
		key, sig, message = fact.PublicKey(all[:32]), fact.Signature(all[32:96]), all[96:]
		if c, g := cpin.Verify(key, message, sig), statement.Verify(key, message, sig); c != g || c != (flip == 0) {
			t.Errorf("key %x, signature %x, message %x, flip %d: C %t, Go %t", key, sig, message, flip, c, g)
		}
	})
}

func FuzzCRC32(f *testing.F) {
	f.Add([]byte("123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := cpin.CRC32(b), crc32.ChecksumIEEE(b); got != want {
			t.Errorf("CRC-32 of %x: C %08x, Go %08x", b, got, want)
		}
	})
}
