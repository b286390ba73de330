package client

import (
	"bytes"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// testTime is an instant of the Games.
const testTime = UnixMilli(1_626_966_000_000)

func newTestPin(n byte) *Pin { return RestorePin([32]byte{n}, 0) }

// tapOf lets two pins tap, and returns both sides and both halves.
func tapOf(t testing.TB, a, b *Pin) (sideA, sideB *Side, halfA, halfB Signed) {
	t.Helper()
	sideA, sideB = a.Approach(), b.Approach()
	var err error
	if halfA, err = sideA.Sign(sideB.Hello(), testTime); err != nil {
		t.Fatal(err)
	}
	if halfB, err = sideB.Sign(sideA.Hello(), testTime); err != nil {
		t.Fatal(err)
	}
	return sideA, sideB, halfA, halfB
}

// TestTap: both sides take each other's half, and both halves name the same tap.
func TestTap(t *testing.T) {
	a, b := newTestPin(1), newTestPin(2)
	sideA, sideB, halfA, halfB := tapOf(t, a, b)
	if err := sideA.Check(sideB.Hello(), halfB); err != nil {
		t.Error(err)
	}
	if err := sideB.Check(sideA.Hello(), halfA); err != nil {
		t.Error(err)
	}
	ha, err := statement.ParseHalf(halfA.Statement)
	if err != nil {
		t.Fatal(err)
	}
	hb, err := statement.ParseHalf(halfB.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if statement.TapID(ha) != statement.TapID(hb) {
		t.Errorf("the halves name the taps %v and %v", statement.TapID(ha), statement.TapID(hb))
	}
	want := fact.Half{
		Pin: a.ID(), Peer: b.ID(), Nonce: sideA.Hello().Nonce, PeerNonce: sideB.Hello().Nonce, Counter: 1,
		Time: testTime, Link: fact.LinkWire,
	}
	if ha != want {
		t.Errorf("got %+v, want %+v", ha, want)
	}
	if a.ID() != a.Key().PinID() || a.ID() == b.ID() {
		t.Errorf("got the ids %v and %v, want the hashes of the keys", a.ID(), b.ID())
	}
}

// TestHelloRefused: a frame that bears this pin's own id, or an id that is not the hash of its key, is dropped.
func TestHelloRefused(t *testing.T) {
	a, b := newTestPin(1), newTestPin(2)
	for name, tt := range map[string]struct {
		change func(h *Hello, own Hello)
		want   string
	}{
		"an echo":                     {func(h *Hello, own Hello) { *h = own }, "own id"},
		"the own id with another key": {func(h *Hello, own Hello) { h.Pin = own.Pin }, "own id"},
		"an id with one bit changed":  {func(h *Hello, _ Hello) { h.Pin[7] ^= 1 }, "not the hash of its key"},
		"a key with one bit changed":  {func(h *Hello, _ Hello) { h.Key[31] ^= 1 }, "not the hash of its key"},
		"another pin's key":           {func(h *Hello, own Hello) { h.Key = own.Key }, "not the hash of its key"},
		"nothing":                     {func(h *Hello, _ Hello) { *h = Hello{} }, "not the hash of its key"},
	} {
		t.Run(name, func(t *testing.T) {
			side, hello := a.Approach(), b.Approach().Hello()
			tt.change(&hello, side.Hello())
			if half, err := side.Sign(hello, testTime); err == nil || !strings.Contains(err.Error(), tt.want) || half.Statement != nil {
				t.Errorf("got %+v, %v, want an error with %q and nothing signed", half, err, tt.want)
			}
		})
	}
}

// TestHalfRefused: of all halves, only the peer's of this tap is taken.
func TestHalfRefused(t *testing.T) {
	a, b, c := newTestPin(1), newTestPin(2), newTestPin(3)
	sideA, sideB, halfA, halfB := tapOf(t, a, b)
	_, _, _, earlier := tapOf(t, a, b)
	_, _, _, ofC := tapOf(t, a, c)
	forged := Signed{Statement: halfB.Statement, Signature: halfB.Signature}
	forged.Signature[63] ^= 1
	signedBy := func(p *Pin, change func(h *fact.Half)) Signed {
		h, err := statement.ParseHalf(halfB.Statement)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		return p.SignRaw(statement.AppendHalf(nil, h))
	}
	for name, tt := range map[string]struct {
		half Signed
		want string
	}{
		"the own one, echoed":         {halfA, "another tap"},
		"of another tap of the two":   {earlier, "another tap"},
		"of another pin":              {ofC, "another tap"},
		"for another pin":             {signedBy(b, func(h *fact.Half) { h.Peer = c.ID() }), "another tap"},
		"with another nonce":          {signedBy(b, func(h *fact.Half) { h.Nonce[0]++ }), "another tap"},
		"that answers another nonce":  {signedBy(b, func(h *fact.Half) { h.PeerNonce[0]++ }), "another tap"},
		"with the nonces exchanged":   {signedBy(b, func(h *fact.Half) { h.Nonce, h.PeerNonce = h.PeerNonce, h.Nonce }), "another tap"},
		"with a signature changed":    {forged, "not signed"},
		"with no signature":           {Signed{Statement: halfB.Statement}, "not signed"},
		"with the signature of a":     {Signed{halfB.Statement, halfA.Signature}, "not signed"},
		"signed by another pin":       {c.SignRaw(halfB.Statement), "not signed"},
		"changed after it was signed": {Signed{signedBy(b, func(h *fact.Half) { h.Counter++ }).Statement, halfB.Signature}, "not signed"},
		"cut off":                     {b.SignRaw(halfB.Statement[:71]), "length"},
		"a step report":               {b.Count(1, []uint16{1}), "magic"},
		"nothing":                     {Signed{}, "magic"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := sideA.Check(sideB.Hello(), tt.half); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	// A half that says the same in other fields that the tap leaves open is b's to sign.
	if err := sideA.Check(sideB.Hello(), signedBy(b, func(h *fact.Half) { h.RSSI = -40 })); err != nil {
		t.Errorf("another signal strength: %v", err)
	}
}

// TestSignAgain: a repeated hello is answered by the very same bytes.
func TestSignAgain(t *testing.T) {
	a, b := newTestPin(1), newTestPin(2)
	sideA, sideB, halfA, _ := tapOf(t, a, b)
	again, err := sideA.Sign(sideB.Hello(), testTime)
	if err != nil || !bytes.Equal(again.Statement, halfA.Statement) || again.Signature != halfA.Signature {
		t.Errorf("got %+v, %v, want %+v", again, err, halfA)
	}
}

// TestSecrets: what a pin signs follows from its secret alone; each tap has a nonce of its own.
func TestSecrets(t *testing.T) {
	peer := newTestPin(9).Approach().Hello()
	sign := func(p *Pin) string {
		half, err := p.Approach().Sign(peer, testTime)
		if err != nil {
			t.Fatal(err)
		}
		return string(half.Statement) + string(half.Signature[:])
	}
	a, twin, other := newTestPin(1), newTestPin(1), newTestPin(2)
	seen := map[string]bool{}
	for range 5 {
		one, two := sign(a), sign(twin)
		if one != two {
			t.Error("the same secret signed something else")
		}
		seen[one], seen[sign(other)] = true, true
	}
	if len(seen) != 10 {
		t.Errorf("got %d halves of 10 taps", len(seen))
	}
	nonces := map[fact.Nonce]bool{}
	for range 100 {
		nonces[a.Approach().Hello().Nonce] = true
	}
	if len(nonces) != 100 {
		t.Errorf("got %d nonces of 100 taps", len(nonces))
	}
}

// TestCounter: one up for each half and step report, whatever becomes of it; a proof takes none.
func TestCounter(t *testing.T) {
	a, b := newTestPin(1), newTestPin(2)
	var got []fact.Counter
	half := func(s *Side) {
		signed, err := s.Sign(b.Approach().Hello(), testTime)
		if err != nil {
			t.Fatal(err)
		}
		h, err := statement.ParseHalf(signed.Statement)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Counter)
	}
	count := func() {
		r, err := statement.ParseStepReport(a.Count(7, []uint16{1, 2}).Statement)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Counter)
	}
	first := a.Approach()
	second := a.Approach()
	count()
	half(second)
	half(first)
	a.Prove(fact.Challenge{}, testTime)
	a.Approach() // nobody answered
	count()
	for i, want := range []fact.Counter{3, 2, 1, 5} {
		if got[i] != want {
			t.Errorf("got the counters %v, want 3, 2, 1, 5", got)
			break
		}
	}
}

// TestSigned: a report and a proof are signed by the pin, and say what they are to say.
func TestSigned(t *testing.T) {
	a := newTestPin(1)
	report := a.Count(7, []uint16{1, 2})
	r, err := statement.ParseStepReport(report.Statement)
	if err != nil || r.Pin != a.ID() || r.FirstSlot != 7 || len(r.Steps) != 2 || !statement.Verify(a.Key(), report.Statement, report.Signature) {
		t.Errorf("got %+v, %v, want a report signed by the pin", r, err)
	}
	proof := a.Prove(Challenge{8}, testTime)
	p, err := statement.ParseProof(proof.Statement)
	if want := (fact.Proof{Pin: a.ID(), Challenge: fact.Challenge{8}, Time: testTime}); err != nil || p != want || !statement.Verify(a.Key(), proof.Statement, proof.Signature) {
		t.Errorf("got %+v, %v, want %+v, signed by the pin", p, err, want)
	}
}

// TestVerify: what a pin signed is checked by its key alone.
func TestVerify(t *testing.T) {
	a, b := newTestPin(1), newTestPin(2)
	half, _, err := Tap(a.Approach(), b.Approach(), testTime, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Signed{"half": half, "report": a.Count(7, []uint16{1}), "proof": a.Prove(Challenge{1}, 0)}
	for name, s := range all {
		if author, err := s.Author(); author != a.ID() || err != nil || s.Verify(a.Key()) != nil {
			t.Errorf("%s: got the author %v, %v and %v, want %v and no error", name, author, err, s.Verify(a.Key()), a.ID())
		}
		forged := s
		forged.Signature[63] ^= 1
		for fault, tt := range map[string]struct {
			s    Signed
			key  PublicKey
			want string
		}{
			"another key":          {s, b.Key(), "the author is pin"},
			"a changed signature":  {forged, a.Key(), "not signed by"},
			"signed by another":    {b.SignRaw(s.Statement), a.Key(), "not signed by"},
			"cut off":              {a.SignRaw(s.Statement[:len(s.Statement)-1]), a.Key(), "length"},
			"no statement, signed": {a.SignRaw([]byte("hello")), a.Key(), "magic"},
			"nothing":              {Signed{}, a.Key(), "magic"},
		} {
			if err := tt.s.Verify(tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %s: got %v, want %q", name, fault, err, tt.want)
			}
		}
	}
}

// TestRestorePin: a pin that was kept goes on as the one that was not.
func TestRestorePin(t *testing.T) {
	kept := NewPin()
	kept.Count(7, []uint16{1})
	restored := RestorePin(kept.Secret(), kept.Counter())
	if one, two := kept.Count(8, []uint16{2}), restored.Count(8, []uint16{2}); !bytes.Equal(one.Statement, two.Statement) || one.Signature != two.Signature {
		t.Errorf("got %+v, want %+v", two, one)
	}
	if one, other := NewPin(), NewPin(); one.ID() == other.ID() {
		t.Error("two new pins are one")
	}
}

// TestTapRefused: pins that do not say who they are make no halves.
func TestTapRefused(t *testing.T) {
	a := newTestPin(1)
	if halfA, halfB, err := Tap(a.Approach(), a.Approach(), 0, 0); err == nil || halfA.Statement != nil || halfB.Statement != nil {
		t.Errorf("a pin with itself: got %v, %v, %v", halfA, halfB, err)
	}
	liar := newTestPin(2).Approach()
	liar.hello.Key[0] ^= 1
	if halfA, halfB, err := Tap(a.Approach(), liar, 0, 0); err == nil || halfA.Statement != nil || halfB.Statement != nil {
		t.Errorf("a pin that is not its key's: got %v, %v, %v", halfA, halfB, err)
	}
}
