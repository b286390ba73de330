package statement_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"pinfold/internal/fact"
)

var update = flag.Bool("update", false, "write "+vectorsPath+" anew")

// The bytes as encoding/binary lays out a struct, so that the vectors do not come from the code that they test.
type (
	wireHalf struct {
		Magic            [4]byte
		Pin, Peer        fact.PinID
		Nonce, PeerNonce fact.Nonce
		Counter          uint32
		Time             int64
		RSSI             int8
		Link             uint8
		Reserved         [6]byte
	}
	wireSteps struct {
		Magic              [4]byte
		Pin                fact.PinID
		Counter, FirstSlot uint32
		N                  uint8
		Reserved           [3]byte
	}
	wireProof struct {
		Magic     [4]byte
		Pin       fact.PinID
		Challenge fact.Challenge
		Time      int64
	}
)

const (
	nonce0, nonce1 = "00000000000000000000000000000000", "ffffffffffffffffffffffffffffffff"
	nonce2, nonce3 = "000102030405060708090a0b0c0d0e0f", "f0e1d2c3b4a5968778695a4b3c2d1e0f"

	lastTime    = 1<<53 - 1 // the largest that every reader of JSON keeps exact
	lastCounter = 1<<32 - 1
	lastSlot    = 1<<32 - 1
)

// thirdSeed makes a pin whose id is larger than those of the design as an unsigned number, and smaller as a signed or
// a little-endian one.
const thirdSeed = "adaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcc"

func TestVectorsAreThoseGenerated(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetIndent("", "  ")
	if err := e.Encode(generate(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorsPath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what this test generates; -update writes it", vectorsPath)
	}
}

func generate(t *testing.T) *vectors {
	g := &generator{t: t, v: design}
	g.v.Reading = []string{
		"the note tells of the first rows of each list; more were added after them",
		"byte strings are hex; a byte string may be empty",
		"halves, steps and proofs: the bytes parse to the fields, the fields give the bytes, the signature is the pin's",
		"taps: the two halves, by their place in halves counted from 0, have this tap id; tap_id is that of the first",
		"sessions: the challenge that a pin signs to open a session for the app whose key has this SHA-256 thumbprint",
		"digits: what both screens show of a challenge: the first 8 bytes of SHA-256(PFD1 || challenge), as a number, modulo 1000000",
		"must_be_refused: rule is the first that is broken, in the order UNKNOWN_MAGIC, MALFORMED, RESERVED_NOT_ZERO, " +
			"SELF_TAP, BAD_SIGNATURE; the magic tells the kind; the key for the signature is that of pin public_key_of",
	}
	g.pin(thirdSeed)
	g.taps()
	g.steps()
	g.proofs()
	g.sessions()
	g.digits()
	g.badMagic()
	g.badHalves()
	g.badSteps()
	g.badProofs()
	g.badSignatures()
	return &g.v
}

// generator adds to the vectors of the design. Appending never changes those, as their slices have no spare capacity.
type generator struct {
	t *testing.T
	v vectors
}

func (g *generator) pin(seed string) {
	key := ed25519.NewKeyFromSeed(unhex(g.t, seed)).Public().(ed25519.PublicKey)
	id := sha256.Sum256(key)
	g.v.Pins = append(g.v.Pins, pinVector{ID: hex.EncodeToString(id[:8]), PublicKey: hex.EncodeToString(key), Seed: seed})
}

func (g *generator) taps() {
	first, second, third := g.v.Pins[0].ID, g.v.Pins[1].ID, g.v.Pins[2].ID
	g.v.Taps = []tapVector{{[2]int{0, 1}, g.v.TapID}}
	g.tap(
		halfVector{Pin: first, Nonce: nonce0, Counter: 0, TimeMS: 0, RSSI: -128, Link: 3},
		halfVector{Pin: second, Nonce: nonce1, Counter: lastCounter, TimeMS: lastTime, RSSI: 127, Link: 1})
	g.tap(
		halfVector{Pin: third, Nonce: nonce0, Counter: 1, TimeMS: 1, RSSI: -1, Link: 2},
		halfVector{Pin: first, Nonce: nonce1, Counter: 1 << 31, TimeMS: 1 << 32, RSSI: 1, Link: 3})
	g.tap( // the same pins with the nonces exchanged are another tap
		halfVector{Pin: third, Nonce: nonce1, Counter: 2, TimeMS: 1626998400123, RSSI: -70, Link: 1},
		halfVector{Pin: first, Nonce: nonce0, Counter: 1<<31 + 1, TimeMS: 1626998401000, RSSI: -69, Link: 1})
	g.tap( // both nonces the same
		halfVector{Pin: second, Nonce: nonce2, Counter: 1<<31 - 1, TimeMS: 1628423999999, RSSI: 0, Link: 2},
		halfVector{Pin: third, Nonce: nonce2, Counter: 258, TimeMS: 0, RSSI: -100, Link: 2})
	g.tap(
		halfVector{Pin: third, Nonce: nonce3, Counter: 259, TimeMS: 1628424000000, RSSI: -30, Link: 3},
		halfVector{Pin: second, Nonce: nonce2, Counter: 1 << 16, TimeMS: 1628424000001, RSSI: -31, Link: 3})
	for _, peer := range []string{"0000000000000000", "ffffffffffffffff"} { // of taps whose other half was never seen
		g.half(halfVector{Pin: third, Peer: peer, Nonce: nonce3, PeerNonce: nonce2, Counter: 260, TimeMS: 1628424000002, Link: 2})
	}
}

func (g *generator) tap(a, b halfVector) {
	a.Peer, a.PeerNonce, b.Peer, b.PeerNonce = b.Pin, b.Nonce, a.Pin, a.Nonce
	lo, hi := a, b
	if lo.Pin > hi.Pin {
		lo, hi = hi, lo
	}
	id := sha256.Sum256(slices.Concat([]byte("PFT1"), unhex(g.t, lo.Pin+lo.Nonce+hi.Pin+hi.Nonce)))
	place := len(g.v.Halves)
	g.v.Taps = append(g.v.Taps, tapVector{[2]int{place, place + 1}, hex.EncodeToString(id[:16])})
	g.half(a)
	g.half(b)
}

func (g *generator) half(h halfVector) {
	b := g.halfBytes(h)
	h.Bytes, h.Signature = hex.EncodeToString(b), g.sign(h.Pin, b)
	g.v.Halves = append(g.v.Halves, h)
}

func (g *generator) halfBytes(h halfVector) []byte {
	f := h.half(g.t)
	return g.wire(wireHalf{
		[4]byte([]byte("PFH1")), f.Pin, f.Peer, f.Nonce, f.PeerNonce,
		h.Counter, h.TimeMS, h.RSSI, h.Link,
		[6]byte{},
	})
}

func (g *generator) steps() {
	first, second, third := g.v.Pins[0].ID, g.v.Pins[1].ID, g.v.Pins[2].ID
	g.stepReport(stepsVector{Pin: second, Counter: 0, FirstSlot: 0, Steps: []uint16{0}})
	g.stepReport(stepsVector{Pin: third, Counter: lastCounter, FirstSlot: lastSlot, Steps: []uint16{65535}})
	g.stepReport(stepsVector{Pin: third, Counter: lastCounter, FirstSlot: lastSlot - 31, Steps: manySteps(32)})
	g.stepReport(stepsVector{Pin: first, Counter: 9, FirstSlot: 1807776, Steps: manySteps(32)})
	g.stepReport(stepsVector{Pin: third, Counter: 261, FirstSlot: 1807808, Steps: manySteps(31)})
}

func manySteps(n int) []uint16 {
	steps := make([]uint16, n)
	for i := range steps {
		steps[i] = uint16(i * 145)
	}
	return steps
}

func (g *generator) stepReport(s stepsVector) {
	b := g.stepBytes(s, len(s.Steps))
	s.Bytes, s.Signature = hex.EncodeToString(b), g.sign(s.Pin, b)
	g.v.Steps = append(g.v.Steps, s)
}

func (g *generator) stepBytes(s stepsVector, n int) []byte {
	head := wireSteps{[4]byte([]byte("PFS1")), fact.PinID(unhex(g.t, s.Pin)), s.Counter, s.FirstSlot, uint8(n), [3]byte{}}
	return append(g.wire(head), g.wire(s.Steps)...)
}

func (g *generator) proofs() {
	first, second, third := g.v.Pins[0].ID, g.v.Pins[1].ID, g.v.Pins[2].ID
	g.proof(proofVector{Pin: first, Games: "a", Wearer: nonce0, Random: nonce0, TimeMS: 0})
	g.proof(proofVector{Pin: second, Games: "abcdefghijklmnopqrstuvwxyz-01234", Wearer: nonce1, Random: nonce2, TimeMS: lastTime})
	g.proof(proofVector{Pin: third, Games: "tokyo2020", Wearer: nonce2, Random: nonce3, TimeMS: 1626998400456})
}

func (g *generator) proof(p proofVector) {
	challenge := sha256.Sum256(slices.Concat([]byte("PFC1"), []byte{byte(len(p.Games))}, []byte(p.Games),
		unhex(g.t, p.Wearer), unhex(g.t, p.Random)))
	p.Challenge = hex.EncodeToString(challenge[:])
	b := g.wire(wireProof{[4]byte([]byte("PFP1")), fact.PinID(unhex(g.t, p.Pin)), challenge, p.TimeMS})
	p.Bytes, p.Signature = hex.EncodeToString(b), g.sign(p.Pin, b)
	g.v.Proofs = append(g.v.Proofs, p)
}

func (g *generator) sessions() {
	first, third := g.v.Pins[0].ID, g.v.Pins[2].ID
	g.session(sessionVector{Pin: first, Games: "a", Random: nonce0, Thumbprint: nonce0 + nonce1})
	g.session(sessionVector{Pin: third, Games: "abcdefghijklmnopqrstuvwxyz-01234", Random: nonce3, Thumbprint: nonce2 + nonce3})
}

func (g *generator) session(s sessionVector) {
	challenge := sha256.Sum256(slices.Concat([]byte("PFC2"), []byte{byte(len(s.Games))}, []byte(s.Games),
		unhex(g.t, s.Pin), unhex(g.t, s.Random), unhex(g.t, s.Thumbprint)))
	s.Challenge = hex.EncodeToString(challenge[:])
	g.v.Sessions = append(g.v.Sessions, s)
}

// digits are those of the challenges above, and of the first numbers whose digits begin with zeros: none may be left out.
func (g *generator) digits() {
	for _, p := range g.v.Proofs {
		g.digitsOf(p.Challenge)
	}
	for _, s := range g.v.Sessions {
		g.digitsOf(s.Challenge)
	}
	var number [32]byte
	for zeros := "0"; len(zeros) <= 4; zeros += "0" {
		for !strings.HasPrefix(digitsOf(number), zeros) {
			binary.BigEndian.PutUint32(number[28:], binary.BigEndian.Uint32(number[28:])+1)
		}
		g.digitsOf(hex.EncodeToString(number[:]))
	}
}

func (g *generator) digitsOf(challenge string) {
	g.v.Digits = append(g.v.Digits, digitsVector{challenge, digitsOf([32]byte(unhex(g.t, challenge)))})
}

// digitsOf goes by whole numbers of any size, and not by those of 64 bits that it tests.
func digitsOf(challenge [32]byte) string {
	sum := sha256.Sum256(append([]byte("PFD1"), challenge[:]...))
	text := new(big.Int).Mod(new(big.Int).SetBytes(sum[:8]), big.NewInt(1_000_000)).String()
	return strings.Repeat("0", 6-len(text)) + text
}

func (g *generator) badMagic() {
	half := g.v.Halves[0].Bytes
	g.refuse("UNKNOWN_MAGIC", "magic PFH2", g.change(half, 3, '2'))
	g.refuse("UNKNOWN_MAGIC", "magic in lower case", g.change(half, 0, 'p', 'f', 'h'))
	g.refuse("UNKNOWN_MAGIC", "magic PFC1, that of the challenge", g.change(half, 0, 'P', 'F', 'C', '1'))
	g.refuse("UNKNOWN_MAGIC", "magic PFT1, that of the tap id, and 52 bytes", g.change(half[:104], 0, 'P', 'F', 'T', '1'))
	g.refuse("UNKNOWN_MAGIC", "3 bytes, too short for the magic", []byte("PFH"))
	g.refuse("UNKNOWN_MAGIC", "no bytes", nil)
}

func (g *generator) badHalves() {
	half, self := g.v.Halves[0].Bytes, g.v.MustBeRefused[4].Bytes
	g.refuse("MALFORMED", "73 bytes", unhex(g.t, half+"00"))
	g.refuse("MALFORMED", "half of the magic only", []byte("PFH1"))
	g.refuse("MALFORMED", "half of the length of a proof", unhex(g.t, half[:104]))
	for _, link := range []byte{0, 4, 255} {
		g.refuse("MALFORMED", "link "+big.NewInt(int64(link)).String(), g.change(half, 65, link))
	}
	g.refuse("MALFORMED", "half at -1 ms", g.change(half, 56, 255, 255, 255, 255, 255, 255, 255, 255))
	g.refuse("MALFORMED", "half at the earliest time", g.change(half, 56, 128, 0, 0, 0, 0, 0, 0, 0))
	g.refuse("MALFORMED", "link 0 before reserved bytes not zero", g.change(half, 65, 0, 1))
	g.refuse("MALFORMED", "link 4 before pin met itself", g.change(self, 65, 4))
	g.refuse("RESERVED_NOT_ZERO", "first reserved byte of a half", g.change(half, 66, 128))
	g.refuse("RESERVED_NOT_ZERO", "reserved bytes not zero before pin met itself", g.change(self, 71, 1))
	g.refuse("SELF_TAP", "pin met itself, with one nonce", g.change(self, 36, unhex(g.t, self[40:72])...))
	g.refuseSigned("SELF_TAP", "pin met itself, before the signature of another pin", unhex(g.t, self),
		g.v.Pins[0].ID, g.sign(g.v.Pins[1].ID, unhex(g.t, self)))
}

func (g *generator) badSteps() {
	three := g.v.Steps[0]
	text := three.Bytes
	g.refuse("MALFORMED", "step report of the magic only", []byte("PFS1"))
	g.refuse("MALFORMED", "step report of 23 bytes", unhex(g.t, text[:46]))
	g.refuse("MALFORMED", "step report of 0 slots", g.change(text[:48], 20, 0))
	three.Steps = manySteps(33)
	g.refuse("MALFORMED", "step report of 33 slots", g.stepBytes(three, 33))
	three.Steps = manySteps(255)
	g.refuse("MALFORMED", "step report of 255 slots", g.stepBytes(three, 255))
	g.refuse("MALFORMED", "step report that says 4 slots and has 3", g.change(text, 20, 4))
	g.refuse("MALFORMED", "step report that says 2 slots and has 3", g.change(text, 20, 2))
	g.refuse("MALFORMED", "step report that says 0 slots and has 3", g.change(text, 20, 0))
	g.refuse("MALFORMED", "step report with half a slot too few", unhex(g.t, text[:len(text)-2]))
	g.refuse("MALFORMED", "step report with half a slot too many", unhex(g.t, text+"00"))
	for _, past := range []stepsVector{{FirstSlot: lastSlot, Steps: manySteps(2)}, {FirstSlot: lastSlot - 30, Steps: manySteps(32)}, {FirstSlot: lastSlot, Steps: manySteps(32)}} {
		past.Pin, past.Counter = three.Pin, three.Counter
		text := hex.EncodeToString(g.stepBytes(past, len(past.Steps)))
		g.refuse("MALFORMED", fmt.Sprintf("step report of %d slots from %d on, whose last is past 32 bits", len(past.Steps), past.FirstSlot), unhex(g.t, text))
		g.refuse("MALFORMED", "the same before reserved bytes not zero", g.change(text, 23, 1))
	}
	g.refuse("MALFORMED", "step report of 0 slots before reserved bytes not zero", g.change(text[:48], 20, 0, 1))
	g.refuse("RESERVED_NOT_ZERO", "first reserved byte of a step report", g.change(text, 21, 1))
	g.refuse("RESERVED_NOT_ZERO", "last reserved byte of a step report", g.change(text, 23, 128))
}

func (g *generator) badProofs() {
	text := g.v.Proofs[1].Bytes
	g.refuse("MALFORMED", "proof of the magic only", []byte("PFP1"))
	g.refuse("MALFORMED", "proof of 51 bytes", unhex(g.t, text[:102]))
	g.refuse("MALFORMED", "proof of 53 bytes", unhex(g.t, text+"00"))
	g.refuse("MALFORMED", "proof at -1 ms", g.change(text, 44, 255, 255, 255, 255, 255, 255, 255, 255))
}

func (g *generator) badSignatures() {
	half, steps, proof := g.v.Halves[0], g.v.Steps[0], g.v.Proofs[1]
	pin, other := g.v.Pins[0].ID, g.v.Pins[1].ID
	bad := func(why string, b []byte, signature string) { g.refuseSigned("BAD_SIGNATURE", why, b, pin, signature) }

	bad("step report with the signature of another pin", unhex(g.t, steps.Bytes), g.sign(other, unhex(g.t, steps.Bytes)))
	bad("proof with the signature of another pin", unhex(g.t, proof.Bytes), g.sign(other, unhex(g.t, proof.Bytes)))
	bad("half with the signature of a step report", unhex(g.t, half.Bytes), steps.Signature)
	bad("one bit of the nonce changed after signing", flip(unhex(g.t, half.Bytes), 8*20), half.Signature)
	bad("one bit of the time changed after signing", flip(unhex(g.t, half.Bytes), 8*64-1), half.Signature)
	bad("one bit of the last slot changed after signing", flip(unhex(g.t, steps.Bytes), 8*30-1), steps.Signature)
	bad("one bit of the challenge changed after signing", flip(unhex(g.t, proof.Bytes), 8*12), proof.Signature)
	bad("first bit of the signature changed", unhex(g.t, half.Bytes), hex.EncodeToString(flip(unhex(g.t, half.Signature), 0)))
	bad("last bit of the signature changed", unhex(g.t, half.Bytes), hex.EncodeToString(flip(unhex(g.t, half.Signature), 8*64-1)))
	bad("signature with the group order added to its second part", unhex(g.t, half.Bytes), addOrder(unhex(g.t, half.Signature)))
	bad("signature of zeros", unhex(g.t, half.Bytes), hex.EncodeToString(make([]byte, 64)))
}

// flip changes one bit, counted from the highest of the first byte.
func flip(b []byte, bit int) []byte {
	b[bit/8] ^= 0x80 >> (bit % 8)
	return b
}

// addOrder adds the order of the group to a signature's second part, a little-endian number. RFC 8032 section 5.1.7
// demands that it be refused: otherwise a statement would have more than one signature.
func addOrder(signature []byte) string {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := signature[32:]
	slices.Reverse(s)
	new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(s)
	slices.Reverse(s)
	return hex.EncodeToString(signature)
}

// refuse adds a row whose signature is right: the rule is all that is broken.
func (g *generator) refuse(rule, why string, b []byte) {
	pin := g.v.Pins[0].ID
	g.refuseSigned(rule, why, b, pin, g.sign(pin, b))
}

func (g *generator) refuseSigned(rule, why string, b []byte, pin, signature string) {
	g.v.MustBeRefused = append(g.v.MustBeRefused,
		refusedVector{Bytes: hex.EncodeToString(b), PublicKeyOf: pin, Rule: rule, Signature: signature, Why: why})
}

func (g *generator) change(text string, offset int, with ...byte) []byte {
	b := unhex(g.t, text)
	copy(b[offset:], with)
	return b
}

func (g *generator) sign(pin string, b []byte) string {
	return hex.EncodeToString(ed25519.Sign(g.v.pin(g.t, pin).key(g.t), b))
}

func (g *generator) wire(v any) []byte {
	g.t.Helper()
	b, err := binary.Append(nil, binary.BigEndian, v)
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}
