package tap

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
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

// fataler is what testing.T and rapid.T have in common here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a log and the view of it. What every step must keep to is checked in every test that folds by it.
type world struct {
	t     fataler
	core  Core
	store view.Store
	seq   fact.Seq // of the last fact
}

func newWorld(t fataler) *world { return &world{t: t, store: view.NewMemory()} }

// fold appends the facts and returns what is derived from the last one.
func (w *world) fold(facts ...fact.Fact) []fact.Fact {
	w.t.Helper()
	var derived []fact.Fact
	w.update(func(tx kv.Tx) {
		for _, f := range facts {
			w.seq++
			derived = foldEntry(w.t, w.core, tx, entry(w.seq, f))
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

func (w *world) check() {
	w.t.Helper()
	w.view(func(r view.Reader) {
		if err := Check(r); err != nil {
			w.t.Fatalf("after fact %v:\n%v", w.seq, err)
		}
	})
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

// lastBlock returns what a block command of the one against the other has to follow.
func (w *world) lastBlock(by, other fact.WearerID) (last fact.Seq) {
	w.view(func(r view.Reader) { last, _ = LastBlock(r, by, other) })
	return last
}

func (w *world) totals() Tally {
	var t Tally
	w.view(func(r view.Reader) { t = Totals(r) })
	return t
}

// foldEntry folds one entry and verifies what holds of the derived facts of every step.
func foldEntry(t fataler, core Core, tx kv.Tx, e fact.Entry) []fact.Fact {
	t.Helper()
	derived := core.Step(tx, e)
	if got, want := len(derived), 256; got > want {
		t.Fatalf("fact %v derives %d facts, want at most %d", e.Seq, got, want)
	}
	for _, d := range derived {
		if got, want := d.Family(), core.Derives(); got != want {
			t.Fatalf("fact %v derives %T of family %s, want %s", e.Seq, d, got, want)
		}
	}
	return derived
}

// entry stores a fact of time at the time it claims, unless it says another, and all else at none.
func entry(seq fact.Seq, f fact.Fact) fact.Entry {
	e := fact.Entry{Seq: seq}
	switch g := f.(type) {
	case fact.TimePassed:
		e.Stored = g.Time
	case fact.TimeCorrected:
		e.Stored = g.Time
	case storedFact:
		f, e.Stored = g.Fact, g.at
	}
	e.Fact = f
	return e
}

// storedFact is a fact and when the log stored it.
type storedFact struct {
	fact.Fact
	at fact.UnixMilli
}

// The ids of the tests come of names, so that a failure can be read.

func keyOf(pin string) fact.PublicKey { return sha256.Sum256([]byte("key of " + pin)) }

func pinOf(pin string) fact.PinID { return keyOf(pin).PinID() }

func wearerOf(name string) fact.WearerID {
	var id fact.WearerID
	copy(id[:], name)
	return id
}

func registered(pin string) fact.Fact { return fact.PinRegistered{Key: keyOf(pin)} }

func paired(pin, wearer string) fact.Fact {
	return fact.PinPaired{Wearer: wearerOf(wearer), Proof: fact.Proof{Pin: pinOf(pin)}}
}

func adopted(pendingFor time.Duration) fact.Fact {
	return fact.RulesAdopted{Rules: fact.Rules{PendingFor: pendingFor}}
}

// reported returns the author's half of a tap. Both halves of it name the same nonces.
func reported(author, peer, tap string, counter fact.Counter) fact.HalfReported {
	nonce := func(pin string) fact.Nonce {
		sum := sha256.Sum256(fmt.Appendf(nil, "nonce of %s in %s", pin, tap))
		return fact.Nonce(sum[:16])
	}
	return fact.HalfReported{Half: fact.Half{
		Pin: pinOf(author), Peer: pinOf(peer),
		Nonce: nonce(author), PeerNonce: nonce(peer),
		Counter: counter, Link: fact.LinkWire,
	}}
}

// people folds rules that keep halves for a day, and for each name a wearer with one pin of the same name.
func (w *world) people(names ...string) {
	w.fold(adopted(24*time.Hour), fact.TimePassed{Time: 1})
	for _, name := range names {
		w.fold(registered(name), paired(name, name))
	}
}

func TestIdentity(t *testing.T) {
	if got, want := (Core{}).Name(), "tap"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	for _, f := range (Core{}).ActsOn() {
		if f.Derived() {
			t.Errorf("acts on %s, which is derived", f)
		}
	}
}

// TestNobody gives commands by the wearer whose id is zero, as the roster has it of a pin that nobody has.
func TestNobody(t *testing.T) {
	w := newWorld(t)
	w.people("anna")
	w.fold(registered("stray"))
	before := digestOf(t, w.store)
	commands := []fact.Fact{
		fact.Blocked{Pin: pinOf("stray"), Other: wearerOf("anna")},
		fact.Unblocked{Other: wearerOf("anna")},
		fact.Unfriended{Pin: pinOf("stray")},
		fact.FriendshipRevoked{},
	}
	for _, f := range commands {
		if derived := w.fold(f); len(derived) != 0 || digestOf(t, w.store) != before {
			t.Errorf("%T derives %v, or changes the view", f, derived)
		}
	}
}
