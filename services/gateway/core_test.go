package gateway_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// TestFamilies: the gateway folds what it fences its writes by, and derives nothing.
func TestFamilies(t *testing.T) {
	core := gateway.Core{}
	if got, want := core.ActsOn(), []fact.Family{fact.Roster, fact.Clock}; !reflect.DeepEqual(got, want) {
		t.Errorf("acts on %v, want %v", got, want)
	}
	if core.Name() != "gateway" || core.Derives() != "" {
		t.Errorf("got the name %q and derives %q, want gateway, which derives nothing", core.Name(), core.Derives())
	}
}

// TestLastOf: the fence of each family is its own, and moves with every fact, also with one that has no effect.
func TestLastOf(t *testing.T) {
	store := view.NewMemory()
	for i, tt := range []struct {
		fact          fact.Fact
		roster, clock fact.Seq
	}{
		{fact.RulesAdopted{Rules: rules.Tokyo2020()}, 1, 0},
		{fact.TimePassed{Time: 1000}, 1, 2},
		{registered(alice), 3, 2},
		{registered(alice), 4, 2},
		{fact.TimePassed{Time: 500}, 4, 5},
		{paired(mallory), 6, 5},
		{retired(alice), 7, 5},
		{erased("alice"), 8, 5},
		{fact.TimeCorrected{Time: 200}, 8, 9},
		{fact.TimePassed{Time: 600}, 8, 10},
	} {
		if err := store.Update(func(tx kv.Tx) error { step(t, tx, fact.Seq(i+1), tt.fact); return nil }); err != nil {
			t.Fatal(err)
		}
		read(t, store, func(r kv.Reader) {
			if gotRoster, gotClock := gateway.LastOf(r, fact.Roster), gateway.LastOf(r, fact.Clock); gotRoster != tt.roster || gotClock != tt.clock {
				t.Errorf("after fact %d: got %d and %d, want %d and %d", i+1, gotRoster, gotClock, tt.roster, tt.clock)
			}
			want := fact.Seq(0)
			if i+1 >= 9 {
				want = 9
			}
			if got := gateway.LastCorrection(r); got != want {
				t.Errorf("after fact %d: the last correction is %d, want %d", i+1, got, want)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	read(t, view.NewMemory(), func(r kv.Reader) {
		if a, b := gateway.LastOf(r, fact.Roster), gateway.LastOf(r, fact.Clock); a != 0 || b != 0 {
			t.Errorf("got the last sequences %d and %d, want none", a, b)
		}
		if got, ok := gateway.RulesInForce(r); ok {
			t.Errorf("got rules %+v, want none", got)
		}
	})
}

// TestRulesInForce: the rules adopted last are in force, and come back from the view to the last name.
func TestRulesInForce(t *testing.T) {
	tokyo, other := rules.Tokyo2020(), otherRules()
	for name, tt := range map[string]struct {
		adopted []fact.Rules
		want    fact.Rules
	}{
		"the first":       {[]fact.Rules{tokyo}, tokyo},
		"the other":       {[]fact.Rules{other}, other},
		"the last of two": {[]fact.Rules{tokyo, other}, other},
		"back to the old": {[]fact.Rules{tokyo, other, tokyo}, tokyo},
		"the same again":  {[]fact.Rules{other, other}, other},
		"empty ones":      {[]fact.Rules{tokyo, {}}, fact.Rules{}},
	} {
		t.Run(name, func(t *testing.T) {
			var facts []fact.Fact
			for _, r := range tt.adopted {
				facts = append(facts, fact.RulesAdopted{Rules: r}, fact.TimePassed{Time: 1})
			}
			read(t, fold(t, facts...), func(r kv.Reader) {
				got, ok := gateway.RulesInForce(r)
				if !ok || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got %+v, %t, want %+v", got, ok, tt.want)
				}
			})
		})
	}
}

// otherRules differ from the default in every field.
func otherRules() fact.Rules {
	r := rules.Tokyo2020()
	r.Name = "Łódź \"2042\" & <more> \u2028"
	r.Sports = []fact.Sport{{ID: "curling", English: "Curling", Japanese: "カーリング", French: "Curling"}}
	r.FriendsPerBackground, r.StarterBackgrounds = 1, 1
	r.Medals = fact.Thresholds{Bronze: 1, Silver: 2, Gold: 1<<32 - 1}
	r.Zone = []fact.ZoneOffset{{From: 0, Quarters: -48}, {From: 1<<32 - 1, Quarters: 56}}
	r.StepGoal = 1<<32 - 1
	r.PendingFor, r.UploadGrace = 1, 1<<62
	r.Opens, r.Closes = -1<<63, 1<<63-1
	return r
}

// TestStores folds random facts into a view in memory and into one on bbolt, in transactions of different lengths:
// both end with the same contents, which is what replicas and rebuilds rest on.
func TestStores(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		facts := rapid.SliceOfN(anyFact, 1, 60).Draw(rt, "facts")
		n++
		bolt, err := view.OpenBolt(filepath.Join(dir, fmt.Sprintf("%d.db", n)))
		if err != nil {
			rt.Fatal(err)
		}
		defer bolt.Close()
		memory := view.NewMemory()
		foldBy(t, rt, memory, facts, 1)
		foldBy(t, rt, bolt, facts, rapid.IntRange(20, len(facts)+20).Draw(rt, "facts in a transaction"))
		if got, want := digest(t, bolt), digest(t, memory); got != want {
			rt.Fatalf("on bbolt %v, in memory %v", got, want)
		}
		checkLast(t, rt, memory, facts)
	})
}

// anyFact draws a fact of the roster and time families, about few pins and wearers, so that they meet.
var anyFact = rapid.Custom(func(t *rapid.T) fact.Fact {
	p := rapid.SampledFrom([]pin{alice, bob, carol}).Draw(t, "pin")
	wearer := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "wearer")
	switch rapid.IntRange(0, 9).Draw(t, "fact") {
	case 0, 1, 2:
		return registered(p)
	case 3, 4, 5:
		return pairedWith(p, wearer)
	case 6:
		return retired(p)
	case 7:
		return erased(wearer)
	case 8:
		return fact.RulesAdopted{Rules: rapid.SampledFrom([]fact.Rules{rules.Tokyo2020(), otherRules()}).Draw(t, "rules")}
	default:
		return fact.TimePassed{Time: fact.UnixMilli(rapid.Int64Range(-10, 10).Draw(t, "time"))}
	}
})

func foldBy(t *testing.T, rt *rapid.T, store view.Store, facts []fact.Fact, atOnce int) {
	for done := 0; done < len(facts); {
		if err := store.Update(func(tx kv.Tx) error {
			for range min(atOnce, len(facts)-done) {
				step(t, tx, fact.Seq(done+1), facts[done])
				done++
			}
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
	}
}

func digest(t *testing.T, store view.Store) (d view.Digest) {
	t.Helper()
	if err := store.View(func(r view.Reader) error { d = view.DigestOf(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkLast compares the view with the list of facts itself.
func checkLast(t *testing.T, rt *rapid.T, store view.Store, facts []fact.Fact) {
	t.Helper()
	last := map[fact.Family]fact.Seq{}
	var adopted *fact.Rules
	var now fact.UnixMilli
	for i, f := range facts {
		last[f.Family()] = fact.Seq(i + 1)
		switch f := f.(type) {
		case fact.RulesAdopted:
			adopted = &f.Rules
		case fact.TimePassed:
			now = max(now, f.Time)
		}
	}
	read(t, store, func(r kv.Reader) {
		for _, family := range (gateway.Core{}).ActsOn() {
			if got, want := gateway.LastOf(r, family), last[family]; got != want {
				rt.Fatalf("%s: last sequence %d, want %d", family, got, want)
			}
		}
		got, ok := gateway.RulesInForce(r)
		if ok != (adopted != nil) || ok && !reflect.DeepEqual(got, *adopted) {
			rt.Fatalf("rules %+v, %t, want %+v", got, ok, adopted)
		}
		if got := roster.Now(r); got != now {
			rt.Fatalf("time %d, want %d", got, now)
		}
	})
}
