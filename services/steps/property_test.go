package steps

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

// The small world: few wearers, few slots around some midnights, and zones whose clocks change among them.
var (
	people = []string{"anna", "ben", "chloe", "dan"}
	pins   = []string{"anna", "anna2", "ben", "ben2", "chloe", "dan", "stray"}
	zones  = [][]fact.ZoneOffset{
		{{From: 0, Quarters: 36}},
		{{From: 0, Quarters: 23}},
		{{From: 0, Quarters: 56}},
		{{From: 0, Quarters: -48}},
		{{From: 0, Quarters: -20}, {From: somewhen + 40, Quarters: -16}},
		{{From: 0, Quarters: 4}, {From: somewhen + 20, Quarters: 8}, {From: somewhen + 90, Quarters: 4}},
		// No clocks are changed so, but package rules lets it pass.
		{{From: somewhen, Quarters: -48}, {From: somewhen + 16, Quarters: 56}, {From: somewhen + 30, Quarters: -48}, {From: somewhen + 31, Quarters: 7}},
	}
)

const (
	somewhen = 1_000_000
	theEnd   = 1<<32 - 10 // of the slots
)

// begin gets most of the small world going.
func begin() []fact.Fact {
	facts := []fact.Fact{adopted(20, zones[0])}
	for _, pin := range pins[:6] {
		facts = append(facts, registered(pin))
	}
	for _, p := range people {
		facts = append(facts, paired(p, p))
	}
	return append(facts, paired("anna2", "anna"))
}

func anyReport() *rapid.Generator[fact.Fact] {
	return rapid.Custom(func(t *rapid.T) fact.Fact {
		first := somewhen + rapid.IntRange(0, 120).Draw(t, "first")
		if end := rapid.IntRange(0, 200).Draw(t, "odd"); end < 10 {
			first = end // the beginning of the slots, and their end
		} else if end < 20 {
			first = theEnd + end - 10
		}
		length := rapid.SampledFrom([]int{1, 2, 3, 8, 32}).Draw(t, "length")
		value := rapid.Uint16Range(0, 4)
		if rapid.IntRange(0, 20).Draw(t, "large") == 0 {
			value = rapid.Uint16()
		}
		return reported(rapid.SampledFrom(pins).Draw(t, "pin"), fact.Slot(first),
			rapid.SliceOfN(value, length, length).Draw(t, "steps")...)
	})
}

// anyRules mostly draws rules that are always open. The ends of the others are in the middle of the small world, at the
// edge of a slot, or next to it.
func anyRules() *rapid.Generator[fact.RulesAdopted] {
	end := rapid.Custom(func(t *rapid.T) fact.UnixMilli {
		slot := fact.Slot(somewhen + rapid.IntRange(-40, 150).Draw(t, "slot"))
		return slot.Start() + fact.UnixMilli(rapid.IntRange(-1, 1).Draw(t, "ms"))
	})
	return rapid.Custom(func(t *rapid.T) fact.RulesAdopted {
		f := adopted(rapid.Uint32Range(1, 60).Draw(t, "goal"), rapid.SampledFrom(zones).Draw(t, "zone"))
		w := rules.Window{UploadGrace: time.Duration(rapid.IntRange(0, 40).Draw(t, "grace")) * 15 * time.Minute}
		if rapid.IntRange(0, 3).Draw(t, "opens") == 0 {
			w.Opens = end.Draw(t, "opening")
		}
		if closes := end.Draw(t, "closing"); closes > w.Opens && rapid.IntRange(0, 3).Draw(t, "closes") == 0 {
			w.Closes = closes
		}
		return within(f, w)
	})
}

func anyOther() *rapid.Generator[fact.Fact] {
	return rapid.Custom(func(t *rapid.T) fact.Fact {
		pin, wearer := rapid.SampledFrom(pins).Draw(t, "pin"), rapid.SampledFrom(people).Draw(t, "wearer")
		switch rapid.SampledFrom([]string{"rules", "rules", "register", "pair", "pair", "retire", "erase", "time", "time"}).Draw(t, "kind") {
		case "rules":
			return anyRules().Draw(t, "rules")
		case "register":
			return registered(pin)
		case "pair":
			return paired(pin, wearer)
		case "retire":
			return retired(pin)
		case "erase":
			return fact.WearerErased{Wearer: wearerOf(wearer)}
		}
		slot := fact.Slot(somewhen + rapid.IntRange(-50, 200).Draw(t, "slot"))
		return fact.TimePassed{Time: slot.Start() + fact.UnixMilli(rapid.IntRange(0, 899_999).Draw(t, "ms"))}
	})
}

// anyFacts mostly draws reports. Left to itself rapid draws short lists, in which too little happens.
func anyFacts() *rapid.Generator[[]fact.Fact] {
	one := rapid.Custom(func(t *rapid.T) fact.Fact {
		if rapid.IntRange(0, 9).Draw(t, "report") > 0 {
			return anyReport().Draw(t, "fact")
		}
		return anyOther().Draw(t, "fact")
	})
	return rapid.Custom(func(t *rapid.T) []fact.Fact {
		length := rapid.SampledFrom([]int{4, 16, 40}).Draw(t, "length")
		facts := rapid.SliceOfN(one, length/2, length).Draw(t, "facts")
		if rapid.IntRange(0, 4).Draw(t, "begin") > 0 {
			facts = append(begin(), facts...)
			facts[0] = anyRules().Draw(t, "rules")
		}
		return facts
	})
}

// TestModel folds random facts and compares what is derived, and every answer, with the dumb model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, d := newWorld(t), newDumb()
		for i, f := range anyFacts().Draw(t, "facts") {
			got, want := w.fold(f), d.step(f)
			if !slices.Equal(got, want) {
				t.Fatalf("fact %v, %+v, derives\n%+v, by the model\n%+v", w.last(), f, got, want)
			}
			if _, isReport := f.(fact.StepsReported); isReport || i%4 == 0 {
				w.check()
				w.view(func(r view.Reader) { compareReads(t, r, d) })
			}
		}
	})
}

// compareReads compares every answer.
func compareReads(t *rapid.T, r kv.Reader, d *dumb) {
	if got, want := Totals(r), d.totals(); got != want {
		t.Fatalf("totals\n%+v, by the model\n%+v", got, want)
	}
	if got, want := Goal(r), d.goal; got != want {
		t.Fatalf("goal %d, by the model %d", got, want)
	}
	today, known := Today(r)
	if want := d.now > 0 && d.goal > 0; known != want || known && today != d.dayOf(fact.Slot(d.now/900_000)) {
		t.Fatalf("today is %v, %v, by the model %v", today, known, want)
	}
	rankings := d.rankings()
	for _, name := range people {
		w := wearerOf(name)
		want := d.days(w)
		compareDays(t, r, w, want)
		for _, day := range want {
			if got := DayOf(r, w, day.Day); got != day {
				t.Fatalf("%s has %+v, by the model %+v", name, got, day)
			}
			if got, want := Slots(r, w, day.Day), d.slotsOf(w, day.Day); !slices.Equal(got, want) {
				t.Fatalf("%s has on %v the slots\n%+v, by the model\n%+v", name, day.Day, got, want)
			}
		}
		for day, ranking := range rankings {
			compareRanks(t, r, day, w, ranking)
		}
	}
	for day, ranking := range rankings {
		comparePages(t, r, day, ranking)
	}
}

func compareDays(t *rapid.T, r kv.Reader, w fact.WearerID, want []Day) {
	limit := 1 + len(want)%3
	var got []Day
	for before := Latest; ; before = got[len(got)-1].Day {
		page := Days(r, w, before, limit)
		got = append(got, page...)
		if len(page) < limit {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s has the days\n%+v, by the model\n%+v", nameOf(w), got, want)
	}
}

func compareRanks(t *rapid.T, r kv.Reader, day fact.Day, w fact.WearerID, ranking []Place) {
	at := slices.IndexFunc(ranking, func(p Place) bool { return p.Wearer == w })
	if got, ok := Rank(r, day, w); ok != (at >= 0) || ok && got != ranking[at] {
		t.Fatalf("%s has on %v the place %v, %v in %v", nameOf(w), day, got, ok, ranking)
	}
	for n := range 3 {
		var want []Place
		if at >= 0 {
			want = ranking[max(at-n, 0):min(at+n+1, len(ranking))]
		}
		if got := Neighbours(r, day, w, n); !slices.Equal(got, want) {
			t.Fatalf("%s has on %v the %d neighbours\n%v, by the model\n%v", nameOf(w), day, n, got, want)
		}
	}
}

func comparePages(t *rapid.T, r kv.Reader, day fact.Day, want []Place) {
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []Place
		var after Place
		for {
			page := Leaderboard(r, day, after, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[limit-1]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v in pages of %d:\n%v, by the model\n%v", day, limit, got, want)
		}
	}
}

// TestAnyOrder is what docs/design.md section 4 promises: the same reports in another order make the same days and reach the same
// goals, to the last byte of the view, as long as all else keeps its place. Only how many steps a goal was reached with
// depends on the order.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := anyFacts().Draw(t, "facts")
		var permuted []fact.Fact
		for rest := facts; len(rest) > 0; {
			n := 0
			for n < len(rest) && rest[n].Family() == fact.Step {
				n++
			}
			if n > 0 {
				permuted = append(permuted, rapid.Permutation(rest[:n]).Draw(t, "reports")...)
			} else {
				permuted = append(permuted, rest[0])
				n++
			}
			rest = rest[n:]
		}
		one, other := newWorld(t), newWorld(t)
		goals, otherGoals := goalsOf(one.fold(facts...)), goalsOf(other.fold(permuted...))
		if !slices.Equal(goals, otherGoals) {
			t.Fatalf("goals reached:\n%v\nin another order:\n%v\n%+v", goals, otherGoals, permuted)
		}
		if one.digest() != other.digest() {
			t.Fatalf("the view differs with the reports in another order:\n%+v", permuted)
		}
		one.check()
	})
}

// goalsOf returns whose goals were reached on which days, in order.
func goalsOf(derived []fact.Fact) []string {
	var list []string
	for _, d := range derived {
		goal := d.(fact.StepGoalReached)
		list = append(list, goal.Day.String()+" "+nameOf(goal.Wearer))
	}
	slices.Sort(list)
	return list
}

// TestRepeats is invariant 2: a report that has counted changes nothing but the number of reports when it comes again,
// at once, or at last under the same opening and closing.
func TestRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		var window rules.Window
		counted := map[rules.Window][]fact.Fact{}
		for _, f := range anyFacts().Draw(t, "facts") {
			if f, ok := f.(fact.RulesAdopted); ok {
				window = rules.WindowOf(f.Rules)
			}
			before := w.totals().Counted
			w.fold(f)
			if w.totals().Counted > before {
				counted[window] = append(counted[window], f)
				checkRepeat(t, w, f)
			}
		}
		for _, f := range counted[window] {
			checkRepeat(t, w, f)
		}
		w.check()
	})
}

func checkRepeat(t *rapid.T, w *world, f fact.Fact) {
	before, digest := w.totals(), w.digest(totals)
	if derived := w.fold(f); len(derived) != 0 {
		t.Fatalf("fact %v, a repeat, derives %+v", w.last(), derived)
	}
	if w.digest(totals) != digest {
		t.Fatalf("fact %v, a repeat, changes the view", w.last())
	}
	after := w.totals()
	if after.Reports != before.Reports+1 || after.Days != before.Days || after.Goals != before.Goals || after.Steps != before.Steps {
		t.Fatalf("fact %v, a repeat, changes the totals from\n%+v to\n%+v", w.last(), before, after)
	}
}

// randomLog returns n facts about some 60 wearers in some ten days, of whom a few are erased along the way.
func randomLog(seed uint64, n int) []fact.Fact {
	rnd := rand.New(rand.NewPCG(seed, 0))
	name := func(kind string, of int) string { return fmt.Sprint(kind, rnd.IntN(of)) }
	log := []fact.Fact{adopted(2000, zones[5])}
	for len(log) < n {
		var f fact.Fact
		switch rnd.IntN(60) {
		case 0:
			f = adopted(1000+rnd.Uint32N(2000), zones[rnd.IntN(len(zones))])
		case 1:
			f = fact.WearerErased{Wearer: wearerOf(name("wearer", 60))}
		case 2:
			f = retired(name("pin", 100))
		case 3, 4, 5, 6, 7:
			f = registered(name("pin", 100))
		case 8, 9, 10, 11, 12:
			f = paired(name("pin", 100), name("wearer", 60))
		case 13:
			f = fact.TimePassed{Time: fact.Slot(somewhen + rnd.IntN(1000)).Start()}
		default:
			steps := make([]uint16, 1+rnd.IntN(32))
			for i := range steps {
				steps[i] = uint16(rnd.IntN(200))
			}
			f = reported(name("pin", 100), fact.Slot(somewhen+rnd.IntN(1000)), steps...)
		}
		log = append(log, f)
	}
	return log
}

// TestViewsAreEqual folds the same facts into memory and into bbolt, with transactions of different sizes.
func TestViewsAreEqual(t *testing.T) {
	w, bolt := newWorld(t), openBolt(t)
	var derived []fact.Fact
	for chunk := range slices.Chunk(randomLog(1, 4000), 7) {
		derived = append(derived, w.fold(chunk...)...)
	}
	w.check()
	if got := foldBatches(t, bolt, w.log, 500); !slices.Equal(got, derived) {
		t.Errorf("bbolt derives %d facts, memory %d others", len(got), len(derived))
	}
	if got, want := digestOf(t, bolt), w.digest(); got != want {
		t.Errorf("bbolt has the digest %v, memory %v", got, want)
	}
	t.Logf("%d facts, %d derived, %+v", len(w.log), len(derived), w.totals())
}

func digestOf(t *testing.T, s view.Store) (d view.Digest) {
	t.Helper()
	err := s.View(func(r view.Reader) error {
		d = view.DigestOf(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// openBolt returns a view on bbolt that is checked when the test ends.
func openBolt(t testing.TB) *view.Bolt {
	t.Helper()
	bolt, err := view.OpenBolt(filepath.Join(t.TempDir(), "steps.db"))
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
func foldBatches(t testing.TB, s view.Store, log []fact.Fact, size int) []fact.Fact {
	t.Helper()
	var derived []fact.Fact
	seq := fact.Seq(0)
	for batch := range slices.Chunk(log, size) {
		err := s.Update(func(tx kv.Tx) error {
			for _, f := range batch {
				seq++
				derived = append(derived, foldEntry(t, tx, entry(seq, f))...)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return derived
}
