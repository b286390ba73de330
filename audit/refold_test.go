package audit

import (
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/services/rewards"
	"pinfold/services/tap"
)

func testRefold(t *testing.T, out *findings) *refold {
	t.Helper()
	r, err := newRefold(rewards.Core{}, Options{Scratch: t.TempDir()}, nil, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.view.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func medalOf(cause int) fact.Record {
	return fact.Record{
		Fact:       fact.MedalAwarded{Wearer: fact.WearerID{byte(cause), byte(cause >> 8), byte(cause >> 16)}, Medal: fact.Gold, Friends: 151},
		Derivation: fact.Derivation{Cause: fact.Seq(cause), Count: 1},
	}
}

// TestRefoldForgets passes over more derived facts than are remembered: all but one of them are missing, each once, and
// one that still comes is one too many.
func TestRefoldForgets(t *testing.T) {
	const n = 2*maxHeld + 10
	var out findings
	r := testRefold(t, &out)
	for i := range n {
		r.queue = append(r.queue, medalOf(i+1))
	}
	r.compare(fact.Entry{Seq: n + 1, Record: medalOf(n)})
	if len(r.queue) > 0 || len(r.late) > maxHeld {
		t.Errorf("%d are expected and %d late, want none and at most %d", len(r.queue), len(r.late), maxHeld)
	}
	r.compare(fact.Entry{Seq: n + 2, Record: medalOf(1)})
	missing, outstanding := r.missing(false)
	if err := r.end(n+2, missing); err != nil || outstanding != 0 {
		t.Errorf("got %v and %d outstanding, want none", err, outstanding)
	}
	list, leftOut := out.sorted()
	if want := uint64(n - 1 + 1); uint64(len(list))+leftOut != want {
		t.Errorf("got %d findings, want %d", uint64(len(list))+leftOut, want)
	}
	if !slices.IsSortedFunc(list, func(a, b Finding) int { return int(a.Seq) - int(b.Seq) }) || list[0].Seq != 1 || list[0].Kind != Missing {
		t.Errorf("got %v first, want 1 to be missing", list[0])
	}
}

// TestRefoldEarly has more facts before their causes than are remembered: each is one too many.
func TestRefoldEarly(t *testing.T) {
	const n = maxHeld + 10
	var out findings
	r := testRefold(t, &out)
	for i := range n {
		r.compare(fact.Entry{Seq: fact.Seq(i + 1), Record: medalOf(n + i)})
	}
	if len(r.early) != maxHeld {
		t.Errorf("%d are remembered, want %d", len(r.early), maxHeld)
	}
	r.derive(n, []fact.Fact{medalOf(n).Fact})           // was remembered
	r.derive(2*n-1, []fact.Fact{medalOf(2*n - 1).Fact}) // was not
	if want := []fact.Record{medalOf(2*n - 1)}; !slices.Equal(r.queue, want) {
		t.Errorf("expected are %v, want %v", r.queue, want)
	}
}

// TestUnverifiableBounded reports more halves of unknown pins than are remembered.
func TestUnverifiableBounded(t *testing.T) {
	v := &verifier{keys: map[fact.PinID]*fact.PublicKey{}, unverifiable: map[fact.Seq]fact.PinID{}, tap: &refold{core: tap.Core{}}}
	for i := range maxUnverifiable + 10 {
		half := fact.HalfReported{Half: fact.Half{Pin: fact.PinID{1}}}
		if key := v.keyFor(fact.Entry{Seq: fact.Seq(i + 1), Record: fact.Record{Fact: half}}); key != nil {
			t.Fatalf("a key of nobody: %v", key)
		}
	}
	if len(v.unverifiable) != maxUnverifiable {
		t.Errorf("%d are remembered, want %d", len(v.unverifiable), maxUnverifiable)
	}
	v.count(fact.Entry{Record: fact.Record{Fact: fact.HalfRefused{Half: 7}}})
	if _, still := v.unverifiable[7]; still || len(v.unverifiable) != maxUnverifiable-1 {
		t.Errorf("a refused half is still remembered, of %d", len(v.unverifiable))
	}
}
