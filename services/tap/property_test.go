package tap

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestModel lives random lives by the core and by the dumb model, which must agree on everything: lives of all kinds, and
// such as are full of wrong clocks, or of commands and old halves.
func TestModel(t *testing.T) {
	for name, ops := range map[string]*rapid.Generator[[]op]{
		"Lives":  opsOf(halfOps, halfOps, againOps, commandOps, timeOps, correctOps, oddOps),
		"Clocks": opsOf([]string{"half", "meet", "part", "flood"}, timeOps, timeOps, correctOps, correctOps),
		"Marks":  opsOf([]string{"half", "meet"}, againOps, commandOps, []string{"unfriend", "block", "unblock", "register", "time"}),
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { liveByModel(t, ops) })
		})
	}
}

func liveByModel(t *rapid.T, ops *rapid.Generator[[]op]) {
	w := newWorld(t)
	l := newLife(w)
	w.core.expiries = rapid.SampledFrom([]int{1, 3, expiriesPerFact}).Draw(t, "expiries")
	m := newModel(w.core.expiries)
	fold := func(f fact.Fact) {
		got := w.fold(f)
		want := m.fold(entry(w.seq, f))
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("fact %v, %+v, derives\n%+v, by the model\n%+v", w.seq, f, got, want)
		}
		l.learn(w.seq, got)
	}
	if rapid.SampledFrom([]bool{true, true, true, false}).Draw(t, "begin") {
		for _, f := range l.begin(100 * time.Millisecond) {
			fold(f)
		}
	}
	for i, o := range ops.Draw(t, "ops") {
		for _, f := range l.facts(o) {
			fold(f)
		}
		if i%4 == 0 { // what is derived is compared each time
			w.check()
			compareReads(t, w, m)
		}
	}
	w.check()
	compareReads(t, w, m)
}

func compareReads(t *rapid.T, w *world, m *model) {
	w.view(func(r view.Reader) {
		if got, want := Totals(r), m.tally(); got != want {
			t.Fatalf("after fact %v: totals\n%+v, by the model\n%+v", w.seq, got, want)
		}
		for _, name := range lifeWearers {
			for _, other := range lifeWearers {
				got, blocked := LastBlock(r, wearerOf(name), wearerOf(other))
				if want, wantBlocked := m.lastBlock(wearerOf(name), wearerOf(other)); got != want || blocked != wantBlocked {
					t.Fatalf("after fact %v: %s's last block of %s is %v, %v, by the model %v, %v", w.seq, name, other, got, blocked, want, wantBlocked)
				}
			}
			want := m.friends(wearerOf(name))
			if got := Friends(r, wearerOf(name), 0, 1000); !slices.Equal(got, want) {
				t.Fatalf("after fact %v: %s has the friends %v, by the model %v", w.seq, name, got, want)
			}
			if got := FriendCount(r, wearerOf(name)); int(got) != len(want) {
				t.Fatalf("after fact %v: %s has %d friends, by the model %d", w.seq, name, got, len(want))
			}
		}
		for _, s := range m.ships {
			f, _ := FriendshipByCause(r, s.cause)
			f.Tap, f.by = fact.TapID{}, 0 // compared where it was derived, and in TestEndingFor
			if want := (Friendship{Cause: s.cause, Mate: s.mate, Lo: s.lo, Hi: s.hi, Ended: s.ended, Ending: s.how}); f != want {
				t.Fatalf("after fact %v: friendship\n%+v, by the model\n%+v", w.seq, f, want)
			}
		}
	})
}

// TestAnyOrder is invariant 3: halves in another order give the same friendships, as long as commands and pairings keep
// their place.
func TestAnyOrder(t *testing.T) {
	t.Run("WithinThePendingTime", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			ops := opsOf(halfOps, commandOps, tickOps).Draw(t, "ops")
			checkAnyOrder(t, 24*time.Hour, ops, append(slices.Clone(halfOps), tickOps...))
		})
	})
	// Where halves do expire, by pending times that change at that, the time has to keep its place as well.
	t.Run("BetweenTimes", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			ops := opsOf(halfOps, commandOps, timeOps, correctOps, []string{"rules"}).Draw(t, "ops")
			checkAnyOrder(t, 100*time.Millisecond, ops, halfOps)
		})
	})
}

// checkAnyOrder lives the ops as they stand and again with each run of movable ones permuted.
func checkAnyOrder(t *rapid.T, pendingFor time.Duration, ops []op, movable []string) {
	moves := func(o op) bool { return slices.Contains(movable, o.Kind) }
	var permuted []op
	for rest := ops; len(rest) > 0; {
		n := 0
		for n < len(rest) && moves(rest[n]) {
			n++
		}
		if n > 0 {
			permuted = append(permuted, rapid.Permutation(rest[:n]).Draw(t, "halves")...)
		}
		if n < len(rest) {
			permuted = append(permuted, rest[n])
			n++
		}
		rest = rest[n:]
	}
	got, want := pairsAlong(t, pendingFor, permuted, moves), pairsAlong(t, pendingFor, ops, moves)
	if !slices.Equal(got, want) {
		t.Fatalf("friends before each command and in the end:\n%v\nwith the halves in another order:\n%v\n%v", want, got, permuted)
	}
}

// pairsAlong lives the ops and returns who are friends before each op that does not move, and in the end.
func pairsAlong(t *rapid.T, pendingFor time.Duration, ops []op, moves func(op) bool) []string {
	w := newWorld(t)
	l := newLife(w)
	w.fold(l.begin(pendingFor)...)
	var along []string
	for _, o := range ops {
		if !moves(o) {
			along = append(along, l.pairs())
		}
		for _, f := range l.facts(o) {
			derived := w.fold(f)
			l.learn(w.seq, derived)
		}
	}
	w.check()
	return append(along, l.pairs())
}

// TestDuplicates is invariant 2: a half that is told again while its record is live changes nothing but the count of
// duplicates.
func TestDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		l := newLife(w)
		w.fold(l.begin(100 * time.Millisecond)...)
		for _, o := range opsOf(halfOps, halfOps, commandOps, timeOps, correctOps).Draw(t, "ops") {
			for _, f := range l.facts(o) {
				derived := w.fold(f)
				l.learn(w.seq, derived)
				if reported, ok := f.(fact.HalfReported); ok && !refusedAlone(w.seq, derived) {
					checkDuplicate(t, w, reported)
				}
			}
		}
	})
}

// refusedAlone reports whether the half was refused without meeting its mate, so that no record of it is kept.
func refusedAlone(seq fact.Seq, derived []fact.Fact) bool {
	refusals := 0
	own := false
	for _, d := range derived {
		if r, ok := d.(fact.HalfRefused); ok && r.Refusal != fact.RefusedExpired {
			refusals++
			own = own || r.Half == seq
		}
	}
	return own && refusals == 1
}

func checkDuplicate(t *rapid.T, w *world, f fact.HalfReported) {
	want := w.totals()
	digest := digestOf(t, w.store, bucketTotal)
	want.Halves++
	want.Duplicate++
	if derived := w.fold(f); len(derived) != 0 {
		t.Fatalf("fact %v, a duplicate, derives %+v", w.seq, derived)
	}
	if got := w.totals(); got != want {
		t.Fatalf("after fact %v, a duplicate: totals\n%+v, want\n%+v", w.seq, got, want)
	}
	if digestOf(t, w.store, bucketTotal) != digest {
		t.Fatalf("fact %v, a duplicate, changes the view", w.seq)
	}
}

func digestOf(t fataler, s view.Store, except ...string) view.Digest {
	t.Helper()
	var d view.Digest
	err := s.View(func(r view.Reader) error {
		d = view.DigestOf(r, except...)
		return nil
	})
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return d
}

// TestViewsAreEqual folds the same facts into memory and into bbolt, with transactions of different sizes.
func TestViewsAreEqual(t *testing.T) {
	for seed := range 3 {
		w := newWorld(t)
		l := newLife(w)
		log := l.begin(100 * time.Millisecond)
		w.fold(log...)
		ops := opsOf(halfOps, halfOps, commandOps, timeOps, correctOps, oddOps)
		for part := range 20 {
			for _, o := range ops.Example(100*seed + part) {
				for _, f := range l.facts(o) {
					log = append(log, f)
					l.learn(w.seq+1, w.fold(f))
				}
			}
		}
		w.check()
		bolt := openBolt(t)
		foldBatches(t, bolt, log, 50+seed)
		if got, want := digestOf(t, bolt), digestOf(t, w.store); got != want {
			t.Errorf("seed %d, %d facts: bbolt has the digest %v, memory %v", seed, len(log), got, want)
		}
	}
}

func openBolt(t testing.TB) *view.Bolt {
	t.Helper()
	bolt, err := view.OpenBolt(filepath.Join(t.TempDir(), "tap.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := bolt.View(func(r view.Reader) error { return Check(r) })
		if err != nil {
			t.Error(err)
		}
		if err := bolt.Close(); err != nil {
			t.Error(err)
		}
	})
	return bolt
}

// foldBatches folds a whole log, so many facts in each transaction.
func foldBatches(t testing.TB, s view.Store, log []fact.Fact, size int) {
	t.Helper()
	seq := fact.Seq(0)
	for batch := range slices.Chunk(log, size) {
		err := s.Update(func(tx kv.Tx) error {
			for _, f := range batch {
				seq++
				foldEntry(t, Core{}, tx, entry(seq, f))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargestStep drives one step to the most that it can derive: 240 expiries, row 0 and two refusals.
func TestLargestStep(t *testing.T) {
	w := newWorld(t)
	w.people("anna", "ben")
	w.fold(fact.Blocked{Wearer: wearerOf("anna"), Pin: pinOf("anna"), Other: wearerOf("ben")})
	// Each of the three facts after the deadline expires 240 of the lonely ones, so that anna's half stays unnoticed.
	for i := range 3 * expiriesPerFact {
		w.fold(reported("anna", "ben", "lonely "+time.Duration(i).String(), 1))
	}
	anna, ben := reported("anna", "ben", "tap", 2), reported("ben", "anna", "tap", 1)
	w.fold(anna)
	w.fold(fact.TimePassed{Time: 1 + fact.UnixMilli((24 * time.Hour).Milliseconds())})
	w.fold(ben)
	derived := w.fold(anna)
	if got, want := len(derived), expiriesPerFact+3; got != want {
		t.Errorf("derives %d facts, want %d", got, want)
	}
	w.check()
}
