package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"pinfold/audit"
	"pinfold/crowd"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
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

// awarded is what a log has come to.
type awarded struct {
	friendships, medals, backgrounds uint64
}

// verifyLog audits the log, checks that every receipt is kept, that each view is the fold of the log up to its sequence,
// and that every checkpoint that was signed holds.
func verifyLog(t testing.TB, log eventlog.Log, r *receipts, at resting) awarded {
	t.Helper()
	_, messages, err := audit.FromLog(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(t.Context(), "tokyo2020", messages, audit.Options{Views: at.views, Checkpoints: at.checkpoints})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("audit: %+v", f)
	}
	if report.Checkpoints != uint64(len(at.checkpoints)) || report.Views != uint64(len(at.views)) {
		t.Errorf("%d of %d checkpoints hold, %d of %d views are equal",
			report.Checkpoints, len(at.checkpoints), report.Views, len(at.views))
	}
	checkReceipts(t, log, r)
	return awarded{report.Friendships, report.Medals, report.Backgrounds}
}

// checkReceipts checks that the log holds each statement where the crowd was told that it does.
func checkReceipts(t testing.TB, log eventlog.Log, r *receipts) {
	t.Helper()
	statements := map[fact.Seq][32]byte{}
	for e := range entries(t, log) {
		switch f := e.Fact.(type) {
		case fact.HalfReported:
			statements[e.Seq] = sha256.Sum256(statement.AppendHalf(nil, f.Half))
		case fact.StepsReported:
			statements[e.Seq] = sha256.Sum256(statement.AppendStepReport(nil, f.Report))
		}
	}
	for key, seq := range r.at {
		if statements[seq] != key {
			t.Fatalf("the statement that was accepted with sequence %d is not there", seq)
		}
	}
}

// verifyAtRest verifies the log, the views and the checkpoints of a stopped `pinfold up`.
func verifyAtRest(t testing.TB, data string, r *receipts) awarded {
	t.Helper()
	var at resting
	at.add(t, data, serviceNames...)
	log, closeLog := openLog(t, data)
	defer closeLog()
	return verifyLog(t, log, r, at)
}

// entries goes through the whole log.
func entries(t testing.TB, log eventlog.Log) func(yield func(fact.Entry) bool) {
	return func(yield func(fact.Entry) bool) {
		head, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reader, err := log.Read(t.Context(), eventlog.Position{})
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
