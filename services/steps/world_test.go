package steps

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

func TestMain(m *testing.M) {
	// The lives are small, so that there can be more of them than rapid's 100. Who asks for a number gets it.
	if os.Getenv("RAPID_CHECKS") == "" {
		if err := flag.Set("rapid.checks", "300"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// fataler is what tests, benchmarks and properties have in common here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a log and the view of it. What every step must keep to is checked in every test that folds by it.
type world struct {
	t     fataler
	store view.Store
	log   []fact.Fact
}

func newWorld(t fataler) *world { return &world{t: t, store: view.NewMemory()} }

// last returns the sequence of the last fact.
func (w *world) last() fact.Seq { return fact.Seq(len(w.log)) }

// fold appends the facts and returns what is derived from all of them.
func (w *world) fold(facts ...fact.Fact) []fact.Fact {
	w.t.Helper()
	var derived []fact.Fact
	w.update(func(tx kv.Tx) {
		for _, f := range facts {
			w.log = append(w.log, f)
			derived = append(derived, foldEntry(w.t, tx, entry(w.last(), f))...)
		}
	})
	return derived
}

func (w *world) update(f func(kv.Tx)) {
	w.t.Helper()
	err := w.store.Update(func(tx kv.Tx) error {
		f(tx)
		return nil
	})
	if err != nil {
		w.t.Fatalf("update: %v", err)
	}
}

func (w *world) view(f func(view.Reader)) {
	w.t.Helper()
	err := w.store.View(func(r view.Reader) error {
		f(r)
		return nil
	})
	if err != nil {
		w.t.Fatalf("view: %v", err)
	}
}

func (w *world) check() {
	w.t.Helper()
	w.view(func(r view.Reader) {
		if err := Check(r); err != nil {
			w.t.Fatalf("after %d facts, the last %+v:\n%v", len(w.log), w.log[len(w.log)-1], err)
		}
	})
}

func (w *world) totals() Tally {
	w.t.Helper()
	var t Tally
	w.view(func(r view.Reader) { t = Totals(r) })
	return t
}

// digest returns that of the view without some buckets.
func (w *world) digest(except ...string) view.Digest {
	w.t.Helper()
	var d view.Digest
	w.view(func(r view.Reader) { d = view.DigestOf(r, except...) })
	return d
}

// foldEntry folds one entry and verifies what holds of the derived facts of every step.
func foldEntry(t fataler, tx kv.Tx, e fact.Entry) []fact.Fact {
	t.Helper()
	derived := Core{}.Step(tx, e)
	if got, want := len(derived), 3; got > want {
		t.Fatalf("fact %v derives %d facts, want at most %d", e.Seq, got, want)
	}
	var last fact.StepGoalReached
	for i, d := range derived {
		goal, ok := d.(fact.StepGoalReached)
		if !ok || goal.Family() != (Core{}).Derives() {
			t.Fatalf("fact %v derives %+v", e.Seq, d)
		}
		if i > 0 && goal.Day <= last.Day {
			t.Fatalf("fact %v derives %+v after %+v", e.Seq, goal, last)
		}
		last = goal
	}
	return derived
}

// entry stores a TimePassed at the time it claims, and all else at none.
func entry(seq fact.Seq, f fact.Fact) fact.Entry {
	e := fact.Entry{Seq: seq, Record: fact.Record{Fact: f}}
	if passed, ok := f.(fact.TimePassed); ok {
		e.Stored = passed.Time
	}
	return e
}

// The ids of the tests come of names, so that a failure can be read. Wearers are ordered as their names are.

func keyOf(pin string) fact.PublicKey { return sha256.Sum256([]byte("key of " + pin)) }

func pinOf(pin string) fact.PinID { return keyOf(pin).PinID() }

func wearerOf(name string) fact.WearerID {
	var id fact.WearerID
	copy(id[:], name)
	return id
}

func nameOf(w fact.WearerID) string { return strings.TrimRight(string(w[:]), "\x00") }

func registered(pin string) fact.Fact { return fact.PinRegistered{Key: keyOf(pin)} }

func paired(pin, wearer string) fact.Fact {
	return fact.PinPaired{Wearer: wearerOf(wearer), Proof: fact.Proof{Pin: pinOf(pin)}}
}

func retired(pin string) fact.Fact {
	return fact.PinRetired{Pin: pinOf(pin), Reason: fact.RetiredLost}
}

func reported(pin string, first fact.Slot, steps ...uint16) fact.StepsReported {
	return fact.StepsReported{Report: fact.StepReport{Pin: pinOf(pin), FirstSlot: first, Steps: steps}}
}

// tokyo is parsed once.
var tokyo = rules.Tokyo2020()

// adopted returns the default rules with another goal and zone.
func adopted(goal uint32, zone []fact.ZoneOffset) fact.RulesAdopted {
	r := tokyo
	r.StepGoal, r.Zone = goal, zone
	return fact.RulesAdopted{Rules: r}
}

// within returns the same rules with a window.
func within(f fact.RulesAdopted, w rules.Window) fact.RulesAdopted {
	f.Rules.Opens, f.Rules.Closes, f.Rules.UploadGrace = w.Opens, w.Closes, w.UploadGrace
	return f
}

// zoneNamed returns the table of a time zone, as a rules file gets it.
func zoneNamed(t fataler, name string) []fact.ZoneOffset {
	t.Helper()
	r, err := rules.Parse(fmt.Appendf(nil, `{
		"name": "Games", "sports": [{"id": "judo", "english": "Judo", "japanese": "柔道", "french": "Judo"}],
		"friends_per_background": 5, "starter_backgrounds": 0, "medals": {"bronze": 1, "silver": 2, "gold": 3},
		"time_zone": %q, "step_goal": 1, "pending_for": "24h", "upload_grace": "0s"}`, name))
	if err != nil {
		t.Fatalf("zone: %v", err)
	}
	return r.Zone
}

// slotOf reads an instant such as 2021-07-24T00:00+09:00, which must begin a slot.
func slotOf(t fataler, instant string) fact.Slot {
	t.Helper()
	at, err := time.Parse(minutes, instant)
	if err != nil || at.Unix()%int64(fact.SlotLength.Seconds()) != 0 {
		t.Fatalf("%s begins no slot: %v", instant, err)
	}
	return fact.Slot(at.Unix() / int64(fact.SlotLength.Seconds()))
}

const minutes = "2006-01-02T15:04Z07:00"

func dayNamed(t fataler, date string) fact.Day {
	t.Helper()
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatalf("day: %v", err)
	}
	return fact.Day(at.Unix() / 86400)
}
