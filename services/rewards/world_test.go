package rewards

import (
	"strings"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

// world is a log, folded as it is written.
type world struct {
	tb   tb
	view view.Store
	log  []fact.Entry
}

// tb is what tests, benchmarks and properties have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newWorld(tb tb) *world { return &world{tb: tb, view: view.NewMemory()} }

// fold appends a fact and returns its place in the log and what was derived from it.
func (w *world) fold(f fact.Fact) (fact.Seq, []fact.Fact) {
	w.tb.Helper()
	e := fact.Entry{Seq: fact.Seq(len(w.log) + 1), Record: fact.Record{Fact: f}}
	w.log = append(w.log, e)
	derived := foldAll(w.tb, w.view, []fact.Entry{e})
	return e.Seq, derived
}

// foldAll folds the entries in one transaction and returns what was derived from them.
func foldAll(tb tb, v view.Store, log []fact.Entry) []fact.Fact {
	tb.Helper()
	var derived []fact.Fact
	err := v.Update(func(tx kv.Tx) error {
		for _, e := range log {
			derived = append(derived, Core{}.Step(tx, e)...)
		}
		return nil
	})
	if err != nil {
		tb.Fatalf("fold: %v", err)
	}
	return derived
}

// read runs f on the present state.
func (w *world) read(f func(r kv.Reader)) {
	w.tb.Helper()
	if err := w.view.View(func(r view.Reader) error { f(r); return nil }); err != nil {
		w.tb.Fatalf("read: %v", err)
	}
}

// check fails the test when the view does not fit together.
func (w *world) check() {
	w.tb.Helper()
	w.read(func(r kv.Reader) {
		if err := Check(r); err != nil {
			w.tb.Fatalf("after %d facts, the last %+v:\n%v", len(w.log), w.log[len(w.log)-1].Fact, err)
		}
	})
}

// wearer returns the wearer of that name. Wearers are ordered as their names are.
func wearer(name string) fact.WearerID {
	var id fact.WearerID
	copy(id[:], name)
	return id
}

func nameOf(w fact.WearerID) string { return strings.TrimRight(string(w[:]), "\x00") }

func pinKey(name string) fact.PublicKey {
	var k fact.PublicKey
	copy(k[:], name)
	return k
}

func paired(pin string, w fact.WearerID) fact.PinPaired {
	return fact.PinPaired{Wearer: w, Proof: fact.Proof{Pin: pinKey(pin).PinID()}}
}

func formed(a, b fact.WearerID) fact.FriendshipFormed {
	if nameOf(a) > nameOf(b) {
		a, b = b, a
	}
	return fact.FriendshipFormed{Lo: a, Hi: b}
}

func ended(a, b fact.WearerID) fact.FriendshipEnded {
	p := formed(a, b)
	return fact.FriendshipEnded{Lo: p.Lo, Hi: p.Hi, Ending: fact.EndedUnfriended}
}

// tokyo is parsed once.
var tokyo = rules.Tokyo2020()

// rulesWith returns the default rules with other numbers and, if there are any, other sports.
func rulesWith(perBackground, starters uint32, medals fact.Thresholds, sportIDs ...string) fact.Rules {
	r := tokyo
	r.FriendsPerBackground, r.StarterBackgrounds, r.Medals = perBackground, starters, medals
	if len(sportIDs) > 0 {
		r.Sports = nil
	}
	for _, id := range sportIDs {
		r.Sports = append(r.Sports, fact.Sport{ID: id, English: id, Japanese: id, French: id})
	}
	return r
}
