package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"pinfold/internal/crowd"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// receipts are what a crowd was told: which statement the log holds at which sequence.
type receipts struct {
	mu sync.Mutex
	at map[[32]byte]fact.Seq
}

func newReceipts() *receipts { return &receipts{at: map[[32]byte]fact.Seq{}} }

// answered implements crowd.Config.Answered.
func (r *receipts) answered(raw []byte, a *gatewayv1.Answer) {
	if a.GetSeq() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at[sha256.Sum256(raw)] = fact.Seq(a.GetSeq())
}

// verifier folds a whole log again, by itself, and compares.
type verifier struct {
	cores      []fold.Core
	states     []*view.Memory
	expected   map[fact.Family][]fact.Record // derived and not met yet
	statements map[fact.Seq][32]byte
	derived    int
}

// verifyLog checks that every derived fact stands in the log once and in order, that every receipt is kept, that the
// views of the cores hold together, and that each of the resting views is the fold of the log up to its position. It
// returns the number of derived facts.
func verifyLog(t testing.TB, log eventlog.Log, r *receipts, views ...resting) int {
	t.Helper()
	v := &verifier{
		cores:    []fold.Core{gateway.Core{}, tap.Core{}, rewards.Core{}, steps.Core{}},
		expected: map[fact.Family][]fact.Record{}, statements: map[fact.Seq][32]byte{},
	}
	for range v.cores {
		v.states = append(v.states, view.NewMemory())
	}
	met := 0
	for e := range entries(t, log) {
		v.fold(t, e)
		for _, at := range views {
			if at.seq == e.Seq {
				met++
				v.compare(t, at)
			}
		}
	}
	if met != len(views) {
		t.Errorf("%d of %d views are of this log", met, len(views))
	}
	for family, rest := range v.expected {
		if len(rest) > 0 {
			t.Errorf("%d facts of %s are missing in the log, the first is %+v", len(rest), family, rest[0])
		}
	}
	for key, seq := range r.at {
		if v.statements[seq] != key {
			t.Fatalf("the statement that was accepted with sequence %d is not there", seq)
		}
	}
	v.checkStates(t)
	return v.derived
}

func (v *verifier) fold(t testing.TB, e fact.Entry) {
	family := e.Fact.Family()
	switch f := e.Fact.(type) {
	case fact.HalfReported:
		v.statements[e.Seq] = sha256.Sum256(statement.AppendHalf(nil, f.Half))
	case fact.StepsReported:
		v.statements[e.Seq] = sha256.Sum256(statement.AppendStepReport(nil, f.Report))
	}
	if family.Derived() {
		rest := v.expected[family]
		if len(rest) == 0 || rest[0] != e.Record {
			t.Fatalf("sequence %d holds %+v, which is not what the fold derives next", e.Seq, e.Record)
		}
		v.expected[family] = rest[1:]
		v.derived++
	}
	for i, core := range v.cores {
		if slices.Contains(core.ActsOn(), family) {
			_ = v.states[i].Update(func(tx kv.Tx) error { v.expect(core, e, core.Step(tx, e)); return nil })
		}
	}
}

func (v *verifier) expect(core fold.Core, cause fact.Entry, facts []fact.Fact) {
	for i, f := range facts {
		v.expected[core.Derives()] = append(v.expected[core.Derives()], fact.Record{
			Fact: f, Derivation: fact.Derivation{Cause: cause.Seq, Index: uint32(i), Count: uint32(len(facts))},
		})
	}
}

func (v *verifier) compare(t testing.TB, at resting) {
	for i, core := range v.cores {
		if core.Name() != at.service {
			continue
		}
		_ = v.states[i].View(func(r view.Reader) error {
			if want := fold.Digest(r); at.digest != want {
				t.Errorf("%s: digest %v at sequence %d, the log folds to %v", at.service, at.digest, at.seq, want)
			}
			return nil
		})
	}
}

func (v *verifier) checkStates(t testing.TB) {
	for i, core := range v.cores {
		_ = v.states[i].View(func(r view.Reader) error {
			var err error
			switch core.(type) {
			case tap.Core:
				err = tap.Check(r)
			case rewards.Core:
				err = rewards.Check(r)
			case steps.Core:
				err = steps.Check(r)
			}
			if err != nil {
				t.Errorf("%s: %v", core.Name(), err)
			}
			return nil
		})
	}
}

// verifyAtRest verifies the log and the views of a stopped `pinfold up`. It returns the number of derived facts.
func verifyAtRest(t testing.TB, data string, r *receipts) int {
	t.Helper()
	var views []resting
	for _, service := range serviceNames {
		views = append(views, restingView(t, data, service))
	}
	log, closeLog := openLog(t, data)
	defer closeLog()
	return verifyLog(t, log, r, views...)
}

// entries goes through the whole log.
func entries(t testing.TB, log eventlog.Log) func(yield func(fact.Entry) bool) {
	return func(yield func(fact.Entry) bool) {
		head, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reader, err := log.Read(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for next := fact.Seq(1); next <= head.Last; {
			msgs, err := reader.Next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				e, err := m.Decode()
				if err != nil {
					t.Fatal(err)
				}
				if e.Seq != next {
					t.Fatalf("sequence %d follows %d", e.Seq, next-1)
				}
				if next++; !yield(e) {
					return
				}
			}
		}
	}
}

// openLog opens the log of a folder that no process uses.
func openLog(t testing.TB, data string) (log eventlog.Log, closeLog func()) {
	t.Helper()
	embedded, err := eventlog.StartEmbedded(filepath.Join(data, "log"), 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	return openGames(t, nc), func() { nc.Close(); embedded.Stop() }
}

func openGames(t testing.TB, nc *nats.Conn) eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(context.Background(), nc, "tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestConferenceLog replays the conference and folds its log again.
func TestConferenceLog(t *testing.T) {
	data := t.TempDir()
	w := startUp(t, data)
	r := newReceipts()
	if _, err := crowd.New(crowd.Config{Gateway: w.conn, Contacts: crowd.Synthetic(60, 2, 2), Seed: 2, Answered: r.answered}).Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if len(r.at) == 0 {
		t.Error("no receipts")
	}
	verifyAtRest(t, data, r)
}
