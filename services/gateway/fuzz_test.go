package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// vectors is what these tests read of the vectors that hold Go, firmware and browser together.
type vectors struct {
	Pins []struct {
		ID        string `json:"id"`
		PublicKey string `json:"public_key"`
	} `json:"pins"`
	Halves        []vector `json:"halves"`
	Steps         []vector `json:"steps"`
	Proofs        []vector `json:"proofs"`
	MustBeRefused []vector `json:"must_be_refused"`
}

type vector struct {
	Bytes     string `json:"bytes"`
	Signature string `json:"signature"`
	Rule      string `json:"rule"`
	Why       string `json:"why"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("../../proto/testdata/statements.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Pins) == 0 || len(v.Halves) == 0 || len(v.Steps) == 0 || len(v.Proofs) == 0 || len(v.MustBeRefused) == 0 {
		t.Fatalf("vectors are missing: %d pins, %d halves, %d step reports, %d proofs, %d to be refused",
			len(v.Pins), len(v.Halves), len(v.Steps), len(v.Proofs), len(v.MustBeRefused))
	}
	return v
}

func (v vector) decode(t testing.TB) (raw, sig []byte) {
	t.Helper()
	return decodeHex(t, v.Bytes), decodeHex(t, v.Signature)
}

func decodeHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roster returns a view in which the pins of the vectors are registered and paired, and their keys.
func (v vectors) roster(t testing.TB) (*view.Memory, map[fact.PinID]fact.PublicKey) {
	t.Helper()
	keys := map[fact.PinID]fact.PublicKey{}
	facts := []fact.Fact{fact.RulesAdopted{Rules: rules.Tokyo2020()}}
	for _, p := range v.Pins {
		id, key := fact.PinID(decodeHex(t, p.ID)), fact.PublicKey(decodeHex(t, p.PublicKey))
		keys[id] = key
		facts = append(facts, fact.PinRegistered{Key: key}, fact.PinPaired{Wearer: wearerOf(p.ID), Proof: fact.Proof{Pin: id}})
	}
	return fold(t, facts...), keys
}

// afterAll is a clock that shows later than any vector says.
var afterAll = gateway.Admission{Now: math.MaxInt64}

// TestVectors admits the vectors that are good, as far as their peers are known and their steps plausible, and refuses
// the others by their rule.
func TestVectors(t *testing.T) {
	v := readVectors(t)
	store, keys := v.roster(t)
	of := func(x vector) (reason string) {
		raw, sig := x.decode(t)
		read(t, store, func(r kv.Reader) {
			_, err := afterAll.Admit(r, fact.PinID{}, raw, sig)
			if err != nil {
				reason = nameOf(refusalOf(t, err).Reason)
			}
		})
		return reason
	}
	for i, x := range v.Halves {
		half, err := statement.ParseHalf(decodeHex(t, x.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if _, known := keys[half.Peer]; !known {
			want = "UNKNOWN_PEER"
		}
		if got := of(x); got != want {
			t.Errorf("half %d: got %q, want %q", i, got, want)
		}
	}
	for i, x := range v.Steps {
		report, err := statement.ParseStepReport(decodeHex(t, x.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, n := range report.Steps {
			if n > gateway.MaxStepsPerSlot {
				want = "IMPLAUSIBLE_STEPS"
			}
		}
		if got := of(x); got != want {
			t.Errorf("step report %d: got %q, want %q", i, got, want)
		}
	}
	for i, x := range v.Proofs {
		if got := of(x); got != "MALFORMED" {
			t.Errorf("proof %d: got %q, want MALFORMED: a proof is not delivered", i, got)
		}
	}
	for _, x := range v.MustBeRefused {
		want := x.Rule
		if kind, err := statement.KindOf(decodeHex(t, x.Bytes)); err == nil && kind == statement.KindProof {
			want = "MALFORMED"
		}
		if got := of(x); got != want {
			t.Errorf("%s: got %q, want %s", x.Why, got, want)
		}
	}
}

// FuzzAdmit delivers any bytes: nothing panics, every refusal has its reason, and what is admitted was signed by the
// pin that it names, and goes into the log as it was signed.
func FuzzAdmit(f *testing.F) {
	v := readVectors(f)
	store, keys := v.roster(f)
	for _, list := range [][]vector{v.Halves, v.Steps, v.Proofs, v.MustBeRefused} {
		for _, x := range list {
			raw, sig := x.decode(f)
			f.Add(raw, sig)
		}
	}
	f.Fuzz(func(t *testing.T, raw, sig []byte) {
		var got fact.Fact
		var err error
		read(t, store, func(r kv.Reader) { got, err = afterAll.Admit(r, fact.PinID{9}, raw, sig) })
		if err != nil {
			if refusal := refusalOf(t, err); refusal.Reason > gateway.ImplausibleSteps || got != nil {
				t.Errorf("got %v and %+v, want a reason of admission", got, refusal)
			}
			return
		}
		if len(raw) < 12 {
			t.Fatalf("%x was admitted: it names no pin", raw)
		}
		key, known := keys[fact.PinID(raw[4:12])]
		if !known || !ed25519.Verify(key[:], raw, sig) {
			t.Fatalf("%x was admitted without a signature of a known pin", raw)
		}
		if logged, signature := signedBytes(t, got); !bytes.Equal(logged, raw) || !bytes.Equal(signature, sig) {
			t.Errorf("got %x and %x in the log, want %x and %x", logged, signature, raw, sig)
		}
	})
}

// signedBytes returns what the log keeps of a statement and its signature.
func signedBytes(t *testing.T, f fact.Fact) (raw, sig []byte) {
	t.Helper()
	switch f := f.(type) {
	case fact.HalfReported:
		return statement.AppendHalf(nil, f.Half), f.Signature[:]
	case fact.StepsReported:
		return statement.AppendStepReport(nil, f.Report), f.Signature[:]
	}
	t.Fatalf("got %T, want a half or a step report", f)
	return nil, nil
}
