package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// TestFewerReplicas: a log that fewer servers keep than the operator asks for is refused, with what to do; one that as
// many or more keep is not.
func TestFewerReplicas(t *testing.T) {
	at := startNATS(t, t.TempDir(), -1)
	log, err := eventlog.Create(t.Context(), dialNATS(t, at.URL()), games, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1} {
		if err := enoughReplicas(log, want); err != nil {
			t.Errorf("--replicas %d: got %v", want, err)
		}
	}
	c := Config{Config: serveConfig(dialNATS(t, at.URL())), Replicas: 3, Now: machineClock}
	_, _, err = survey(t.Context(), c, &keyFolder{})
	if errors.Is(err, eventlog.ErrUnreachable) || err == nil {
		t.Fatalf("got %v, want an error that is final", err)
	}
	for _, part := range []string{"--replicas 3 was given", "1 keep the stream PINFOLD_tokyo2020_1", "--replicas 1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q in it", err, part)
		}
	}
}

// TestBound: a log that has come to its bound is full, can be read, and goes on once the bound is raised.
func TestBound(t *testing.T) {
	nc := dialNATS(t, startNATS(t, t.TempDir(), -1).URL())
	log, err := eventlog.Create(t.Context(), nc, games, 1, eventlog.MaxBytes(20_000))
	if err != nil {
		t.Fatal(err)
	}
	c := newCommitter(log, quiet)
	run(t, c)
	wantAnswers(t, log, submit(c, 0, 10), 0, accepted, noReason)
	refused := 0
	for i, ticket := range submit(c, 10, 200) { // in one batch or several, of which the first may find room
		switch a, err := ticket.answer(t.Context()); {
		case err == nil && a.GetStatus() == refusal && a.GetReason() == full:
			refused++
		case err != nil || a.GetStatus() != accepted:
			t.Errorf("statement %d: got %v, %v, want it accepted, or LOG_FULL", i, a, err)
		}
	}
	if refused == 0 {
		t.Error("no statement was refused: the bound was not reached")
	}
	if _, ok, err := log.LastOf(t.Context(), fact.Tap); !ok || err != nil {
		t.Errorf("the last fact: got %v, %v", ok, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), log.Name())
	if err != nil {
		t.Fatal(err)
	}
	raised := stream.CachedInfo().Config
	raised.MaxBytes = 200_000
	if _, err := js.UpdateStream(t.Context(), raised); err != nil {
		t.Fatal(err)
	}
	wantAnswers(t, log, submit(c, 200, 300), 200, accepted, noReason)
}
