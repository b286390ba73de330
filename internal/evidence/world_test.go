package evidence_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/tap"
)

const games = "tokyo2020"

// world makes a log as the services do: by the real cores, of statements that real keys signed. It keeps the index and
// the tree of it as a gateway does.
type world struct {
	t     testing.TB
	log   *eventlog.Memory
	now   fact.UnixMilli
	cores []fold.Core
	views []*view.Memory
	next  fact.Seq     // the first that was not folded
	index *view.Memory // with the tree
	pins  []*client.Pin
}

// easyRules let few friends earn much.
func easyRules() fact.Rules {
	r := rules.Tokyo2020()
	r.Sports = r.Sports[:4]
	r.FriendsPerBackground = 2
	r.Medals = fact.Thresholds{Bronze: 2, Silver: 3, Gold: 4}
	return r
}

func newWorld(t testing.TB, r fact.Rules) *world {
	w := &world{t: t, now: 1_626_998_400_000, next: 1, cores: []fold.Core{tap.Core{}, rewards.Core{}}, index: view.NewMemory()}
	w.log = eventlog.NewMemory(func() fact.UnixMilli { return w.now }, eventlog.Faults{})
	for range w.cores {
		w.views = append(w.views, view.NewMemory())
	}
	w.add(fact.RulesAdopted{Rules: r}, fact.TimePassed{Time: w.now})
	return w
}

// add appends facts, and all that follows from them.
func (w *world) add(facts ...fact.Fact) {
	w.t.Helper()
	var records []fact.Record
	for _, f := range facts {
		records = append(records, fact.Record{Fact: f})
	}
	w.addRecords(records...)
}

func (w *world) addRecords(records ...fact.Record) {
	w.t.Helper()
	w.now += 1000
	last, err := w.log.Append(context.Background(), eventlog.Batch{Records: records})
	if err != nil {
		w.t.Fatal(err)
	}
	for w.next <= last {
		m, _, err := w.log.At(context.Background(), w.next)
		if err != nil {
			w.t.Fatal(err)
		}
		w.next++
		w.enter(m)
		for _, derived := range w.fold(m) {
			w.addRecords(derived...)
		}
	}
}

func (w *world) enter(m eventlog.Message) {
	w.t.Helper()
	leaf, err := merkle.Leaf(m)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.index.Update(func(tx kv.Tx) error {
		if err := evidence.Enter(tx, m); err != nil {
			return err
		}
		return merkle.Append(tx, leaf)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// fold steps the cores and returns what each derives.
func (w *world) fold(m eventlog.Message) (derived [][]fact.Record) {
	e, err := m.Decode()
	if err != nil {
		w.t.Fatal(err)
	}
	for i, core := range w.cores {
		if !slices.Contains(core.ActsOn(), m.Family) {
			continue
		}
		var facts []fact.Fact
		_ = w.views[i].Update(func(tx kv.Tx) error { facts = core.Step(tx, e); return nil })
		var records []fact.Record
		for j, f := range facts {
			records = append(records, fact.Record{Fact: f, Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(j), Count: uint32(len(facts))}})
		}
		if len(records) > 0 {
			derived = append(derived, records)
		}
	}
	return derived
}

// entries returns the log so far.
func (w *world) entries() []fact.Entry {
	var entries []fact.Entry
	for seq := fact.Seq(1); seq < w.next; seq++ {
		m, _, err := w.log.At(context.Background(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		e, err := m.Decode()
		if err != nil {
			w.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// newPin makes a pin that is not registered.
func (w *world) newPin() *client.Pin {
	var secret [32]byte
	binary.BigEndian.PutUint32(secret[:], uint32(len(w.pins)+1))
	p := client.RestorePin(secret, 0)
	w.pins = append(w.pins, p)
	return p
}

// wearer registers a pin and pairs it with a new wearer.
func (w *world) wearer() *client.Pin {
	p := w.newPin()
	w.add(fact.PinRegistered{Key: p.Key()})
	w.add(w.pairing(p, wearerOf(p), games))
	return p
}

// wearerOf returns the wearer whose first pin it is.
func wearerOf(p *client.Pin) fact.WearerID {
	var id fact.WearerID
	pin := p.ID()
	copy(id[:], pin[:])
	return id
}

func (w *world) pairing(p *client.Pin, to fact.WearerID, of string) fact.PinPaired {
	random := [16]byte{7}
	signed := p.Prove(statement.Challenge(of, to, random), w.now)
	proof, err := statement.ParseProof(signed.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return fact.PinPaired{Wearer: to, Proof: proof, Signature: signed.Signature, Random: random}
}

// halves lets two pins tap.
func (w *world) halves(a, b *client.Pin) (fact.HalfReported, fact.HalfReported) {
	w.t.Helper()
	sideA, sideB := a.Approach(), b.Approach()
	signedA, errA := sideA.Sign(sideB.Hello(), w.now)
	signedB, errB := sideB.Sign(sideA.Hello(), w.now)
	if errA != nil || errB != nil {
		w.t.Fatal(errA, errB)
	}
	return w.half(a, signedA), w.half(b, signedB)
}

func (w *world) half(p *client.Pin, s client.Signed) fact.HalfReported {
	h, err := statement.ParseHalf(s.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return fact.HalfReported{Half: h, Signature: s.Signature, Carrier: p.ID()}
}

// meet makes friends of two.
func (w *world) meet(a, b *client.Pin) {
	first, second := w.halves(a, b)
	w.add(first)
	w.add(second)
}

// friendship returns the cause of the last friendship of two wearers.
func (w *world) friendship(a, b fact.WearerID) (cause fact.Seq) {
	for _, e := range w.entries() {
		if f, ok := e.Fact.(fact.FriendshipFormed); ok && (f.Lo == a && f.Hi == b || f.Lo == b && f.Hi == a) {
			cause = e.Derivation.Cause
		}
	}
	return cause
}

// view is the index of the world as evidence asks for it.
func (w *world) view(f func(kv.Reader) error) error {
	return w.index.View(func(r view.Reader) error { return f(r) })
}

// collect returns the evidence of an award that is there.
func (w *world) collect(of fact.WearerID, what evidence.Award) *evidence.Evidence {
	w.t.Helper()
	ev, err := evidence.Collect(context.Background(), w.view, w.log, of, what)
	if err != nil {
		w.t.Fatalf("%v of %v: %v", what, of, err)
	}
	return ev
}

// notary signs the checkpoints of the tests, with a key that is made once.
var notary = sync.OnceValues(func() (note.Signer, string) { return newNotary(games) })

func newNotary(games string) (note.Signer, string) {
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		panic(err)
	}
	signer, _, err := merkle.NewSigner(private, games)
	if err != nil {
		panic(err)
	}
	return signer, public
}

// trust are the keys that the tests trust.
func trust(t testing.TB, public string) note.Verifiers {
	t.Helper()
	v, err := merkle.NewVerifier(public, "")
	if err != nil {
		t.Fatal(err)
	}
	return note.VerifierList(v)
}

func trusted(t testing.TB) note.Verifiers {
	_, public := notary()
	return trust(t, public)
}

// checkpoint signs the tree as it is now.
func checkpoint(t testing.TB, tree *view.Memory) (cp merkle.Checkpoint, text string) {
	t.Helper()
	signer, _ := notary()
	err := tree.View(func(r view.Reader) (err error) {
		cp = merkle.Checkpoint{Games: games, Size: merkle.Size(r)}
		if cp.Root, err = merkle.Root(r, cp.Size); err != nil {
			return err
		}
		text, err = cp.Sign(signer)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cp, text
}

func (w *world) issue(ev *evidence.Evidence, short bool) []byte {
	w.t.Helper()
	cp, text := checkpoint(w.t, w.index)
	return w.issueFor(ev, short, cp, text)
}

func (w *world) issueFor(ev *evidence.Evidence, short bool, cp merkle.Checkpoint, text string) []byte {
	w.t.Helper()
	var b []byte
	err := w.index.View(func(r view.Reader) (err error) { b, err = evidence.Issue(ev, short, cp, text, r); return err })
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// check parses and checks.
func check(t testing.TB, b []byte) (evidence.Checked, error) {
	t.Helper()
	c, err := evidence.Parse(b)
	if err != nil {
		return evidence.Checked{}, err
	}
	return c.Check(trusted(t))
}

func medal(m fact.Medal) evidence.Award      { return evidence.Award{Medal: m} }
func background(sport string) evidence.Award { return evidence.Award{Background: sport} }
