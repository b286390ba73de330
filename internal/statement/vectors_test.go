package statement_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

const vectorsPath = "../../proto/testdata/statements.json"

// vectors is the shape of the file that Go, C and the browser read. Fields stand in alphabetical order.
type vectors struct {
	Digits        []digitsVector  `json:"digits"`
	Halves        []halfVector    `json:"halves"`
	MustBeRefused []refusedVector `json:"must_be_refused"`
	Note          string          `json:"note"`
	Pins          []pinVector     `json:"pins"`
	Proofs        []proofVector   `json:"proofs"`
	Reading       []string        `json:"reading"`
	Sessions      []sessionVector `json:"sessions"`
	Steps         []stepsVector   `json:"steps"`
	TapID         string          `json:"tap_id"` // of halves 0 and 1
	Taps          []tapVector     `json:"taps"`
}

type digitsVector struct {
	Challenge string `json:"challenge"`
	Digits    string `json:"digits"`
}

type halfVector struct {
	Bytes     string `json:"bytes"`
	Counter   uint32 `json:"counter"`
	Link      uint8  `json:"link"`
	Nonce     string `json:"nonce"`
	Peer      string `json:"peer"`
	PeerNonce string `json:"peer_nonce"`
	Pin       string `json:"pin"`
	RSSI      int8   `json:"rssi"`
	Signature string `json:"signature"`
	TimeMS    int64  `json:"time_ms"` // below 2^53, so that a browser reads it exactly
}

type refusedVector struct {
	Bytes       string `json:"bytes"`
	PublicKeyOf string `json:"public_key_of"`
	Rule        string `json:"rule"`
	Signature   string `json:"signature"`
	Why         string `json:"why"`
}

type pinVector struct {
	ID        string `json:"id"`
	PublicKey string `json:"public_key"`
	Seed      string `json:"seed"`
}

type proofVector struct {
	Bytes     string `json:"bytes"`
	Challenge string `json:"challenge"`
	Games     string `json:"games"`
	Pin       string `json:"pin"`
	Random    string `json:"random"`
	Signature string `json:"signature"`
	TimeMS    int64  `json:"time_ms"`
	Wearer    string `json:"wearer"`
}

type sessionVector struct {
	Challenge  string `json:"challenge"`
	Games      string `json:"games"`
	Pin        string `json:"pin"`
	Random     string `json:"random"`
	Thumbprint string `json:"thumbprint"`
}

type stepsVector struct {
	Bytes     string   `json:"bytes"`
	Counter   uint32   `json:"counter"`
	FirstSlot uint32   `json:"first_slot"`
	Pin       string   `json:"pin"`
	Signature string   `json:"signature"`
	Steps     []uint16 `json:"steps"`
}

type tapVector struct {
	Halves [2]int `json:"halves"` // places in the list of halves
	TapID  string `json:"tap_id"`
}

func (v halfVector) half(t testing.TB) fact.Half {
	return fact.Half{
		Pin:       fact.PinID(unhex(t, v.Pin)),
		Peer:      fact.PinID(unhex(t, v.Peer)),
		Nonce:     fact.Nonce(unhex(t, v.Nonce)),
		PeerNonce: fact.Nonce(unhex(t, v.PeerNonce)),
		Counter:   fact.Counter(v.Counter),
		Time:      fact.UnixMilli(v.TimeMS),
		RSSI:      v.RSSI,
		Link:      fact.Link(v.Link),
	}
}

func (v stepsVector) report(t testing.TB) fact.StepReport {
	return fact.StepReport{
		Pin:       fact.PinID(unhex(t, v.Pin)),
		Counter:   fact.Counter(v.Counter),
		FirstSlot: fact.Slot(v.FirstSlot),
		Steps:     v.Steps,
	}
}

func (v proofVector) proof(t testing.TB) fact.Proof {
	return fact.Proof{
		Pin:       fact.PinID(unhex(t, v.Pin)),
		Challenge: fact.Challenge(unhex(t, v.Challenge)),
		Time:      fact.UnixMilli(v.TimeMS),
	}
}

func (v pinVector) key(t testing.TB) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(unhex(t, v.Seed))
}

func (v *vectors) pin(t testing.TB, id string) pinVector {
	t.Helper()
	for _, p := range v.Pins {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("pin %s has no key among the vectors", id)
	return pinVector{}
}

// statements returns the bytes of every statement in the file, good and bad.
func (v *vectors) statements(t testing.TB) [][]byte {
	var all [][]byte
	for _, h := range v.Halves {
		all = append(all, unhex(t, h.Bytes))
	}
	for _, s := range v.Steps {
		all = append(all, unhex(t, s.Bytes))
	}
	for _, p := range v.Proofs {
		all = append(all, unhex(t, p.Bytes))
	}
	for _, r := range v.MustBeRefused {
		all = append(all, unhex(t, r.Bytes))
	}
	return all
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	text, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var v vectors
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", vectorsPath, err)
	}
	return &v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("vector %q: %v", s, err)
	}
	return b
}

func TestVectorsKeepThoseOfTheDesign(t *testing.T) {
	v := readVectors(t)
	got := vectors{
		Halves:        v.Halves[:len(design.Halves)],
		MustBeRefused: v.MustBeRefused[:len(design.MustBeRefused)],
		Note:          v.Note,
		Pins:          v.Pins[:len(design.Pins)],
		Proofs:        v.Proofs[:len(design.Proofs)],
		Steps:         v.Steps[:len(design.Steps)],
		TapID:         v.TapID,
	}
	if !reflect.DeepEqual(got, design) {
		t.Errorf("got  %+v\nwant %+v", got, design)
	}
}

func TestVectorPins(t *testing.T) {
	for _, p := range readVectors(t).Pins {
		key := fact.PublicKey(p.key(t).Public().(ed25519.PublicKey))
		if got := hex.EncodeToString(key[:]); got != p.PublicKey {
			t.Errorf("public key of seed %s: got %s, want %s", p.Seed, got, p.PublicKey)
		}
		if got := key.PinID().String(); got != p.ID {
			t.Errorf("pin of key %s: got %s, want %s", p.PublicKey, got, p.ID)
		}
	}
}

func TestVectorHalves(t *testing.T) {
	v := readVectors(t)
	for i, h := range v.Halves {
		b, want := unhex(t, h.Bytes), h.half(t)
		got, err := statement.ParseHalf(b)
		if err != nil || got != want {
			t.Errorf("half %d: got %+v, %v; want %+v", i, got, err, want)
		}
		if got := statement.AppendHalf(nil, want); !bytes.Equal(got, b) {
			t.Errorf("half %d: got %x, want %x", i, got, b)
		}
		checkSigned(t, v, statement.KindHalf, h.Pin, h.Bytes, h.Signature)
	}
}

func TestVectorStepReports(t *testing.T) {
	v := readVectors(t)
	for i, s := range v.Steps {
		b, want := unhex(t, s.Bytes), s.report(t)
		got, err := statement.ParseStepReport(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("step report %d: got %+v, %v; want %+v", i, got, err, want)
		}
		if got := statement.AppendStepReport(nil, want); !bytes.Equal(got, b) {
			t.Errorf("step report %d: got %x, want %x", i, got, b)
		}
		checkSigned(t, v, statement.KindStepReport, s.Pin, s.Bytes, s.Signature)
	}
}

func TestVectorProofs(t *testing.T) {
	v := readVectors(t)
	for i, p := range v.Proofs {
		b, want := unhex(t, p.Bytes), p.proof(t)
		got, err := statement.ParseProof(b)
		if err != nil || got != want {
			t.Errorf("proof %d: got %+v, %v; want %+v", i, got, err, want)
		}
		if got := statement.AppendProof(nil, want); !bytes.Equal(got, b) {
			t.Errorf("proof %d: got %x, want %x", i, got, b)
		}
		challenge := statement.Challenge(p.Games, fact.WearerID(unhex(t, p.Wearer)), [16]byte(unhex(t, p.Random)))
		if challenge != want.Challenge {
			t.Errorf("challenge of proof %d: got %x, want %x", i, challenge, want.Challenge)
		}
		checkSigned(t, v, statement.KindProof, p.Pin, p.Bytes, p.Signature)
	}
}

func TestVectorSessions(t *testing.T) {
	for i, v := range readVectors(t).Sessions {
		got := statement.SessionChallenge(v.Games, fact.PinID(unhex(t, v.Pin)), [16]byte(unhex(t, v.Random)), [32]byte(unhex(t, v.Thumbprint)))
		if want := fact.Challenge(unhex(t, v.Challenge)); got != want {
			t.Errorf("challenge of session %d: got %x, want %x", i, got, want)
		}
	}
}

func TestVectorDigits(t *testing.T) {
	list := readVectors(t).Digits
	if len(list) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range list {
		if got := statement.Digits(fact.Challenge(unhex(t, v.Challenge))); got != v.Digits {
			t.Errorf("digits of %s: got %s, want %s", v.Challenge, got, v.Digits)
		}
	}
}

func checkSigned(t *testing.T, v *vectors, kind statement.Kind, pin, text, signature string) {
	t.Helper()
	b, want := unhex(t, text), fact.Signature(unhex(t, signature))
	if got, err := statement.KindOf(b); err != nil || got != kind {
		t.Errorf("kind of %s: got %v, %v; want %v", text, got, err, kind)
	}
	p := v.pin(t, pin)
	if got := statement.Sign(p.key(t), b); got != want {
		t.Errorf("signature of %s: got %x, want %x", text, got, want)
	}
	if !statement.Verify(fact.PublicKey(unhex(t, p.PublicKey)), b, want) {
		t.Errorf("signature of %s by pin %s does not verify", text, pin)
	}
}

func TestVectorTapIDs(t *testing.T) {
	v := readVectors(t)
	if first := (tapVector{[2]int{0, 1}, v.TapID}); v.Taps[0] != first {
		t.Errorf("first tap: got %v, want %v", v.Taps[0], first)
	}
	for i, tap := range v.Taps {
		for _, h := range tap.Halves {
			if got := statement.TapID(v.Halves[h].half(t)).String(); got != tap.TapID {
				t.Errorf("tap %d: got %s from half %d, want %s", i, got, h, tap.TapID)
			}
		}
	}
}

func TestVectorsThatMustBeRefused(t *testing.T) {
	v := readVectors(t)
	for _, r := range v.MustBeRefused {
		key := fact.PublicKey(unhex(t, v.pin(t, r.PublicKeyOf).PublicKey))
		got := brokenRule(t, key, unhex(t, r.Bytes), fact.Signature(unhex(t, r.Signature)))
		if got != r.Rule {
			t.Errorf("%s: got %q, want %q", r.Why, got, r.Rule)
		}
	}
}

// brokenRule returns what a gateway that knows the pin by this key finds wrong with the statement first, or nothing.
func brokenRule(t *testing.T, key fact.PublicKey, b []byte, sig fact.Signature) string {
	t.Helper()
	kind, err := statement.KindOf(b)
	if err == nil {
		_, err = parse(kind, b)
	}
	if err != nil {
		return brokenRuleOf(t, err).String()
	}
	if !statement.Verify(key, b, sig) {
		return "BAD_SIGNATURE"
	}
	return ""
}

func brokenRuleOf(t *testing.T, err error) statement.Rule {
	t.Helper()
	broken, ok := errors.AsType[*statement.Error](err)
	if !ok {
		t.Fatalf("got the error %v, want an *Error", err)
	}
	return broken.Rule
}

// parse reads the statement and writes it again.
func parse(kind statement.Kind, b []byte) ([]byte, error) {
	switch kind {
	case statement.KindHalf:
		h, err := statement.ParseHalf(b)
		if err != nil {
			return nil, err
		}
		return statement.AppendHalf(nil, h), nil
	case statement.KindStepReport:
		r, err := statement.ParseStepReport(b)
		if err != nil {
			return nil, err
		}
		return statement.AppendStepReport(nil, r), nil
	default:
		p, err := statement.ParseProof(b)
		if err != nil {
			return nil, err
		}
		return statement.AppendProof(nil, p), nil
	}
}
