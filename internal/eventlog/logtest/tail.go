package logtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// Follower follows a log.
type Follower struct {
	Run     func(context.Context) error
	Reached func(context.Context, fact.Seq) error // returns once it has followed that far
}

// Games are those of the log of LoseTail.
const Games = "tokyo2020"

// LoseTail has somebody follow a log, which then loses its end and grows anew beyond what it was: a server comes back from
// a copy of 60 facts, others are written, and the follower goes on. It returns the error with which Run ends.
func LoseTail(t testing.TB, follow func(log *eventlog.JetStream) Follower) error {
	t.Helper()
	const kept, more = 60, 60
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	t.Cleanup(cancel)
	s := Start(t)
	log, err := eventlog.Create(ctx, s.Connect(), Games, 1)
	if err != nil {
		t.Fatal(err)
	}
	write := func(first, n int) fact.Seq {
		records := []fact.Record{{Fact: fact.RulesAdopted{Rules: rules.Tokyo2020()}}}
		if first > 0 {
			records = nil
		}
		for len(records) < n {
			records = append(records, fact.Record{Fact: fact.TimePassed{Time: fact.UnixMilli(first + len(records))}})
		}
		for {
			last, err := log.Append(ctx, eventlog.Batch{Records: records})
			if err == nil {
				return last
			}
			if !errors.Is(err, eventlog.ErrNotStored) { // the server still comes back
				t.Fatal(err)
			}
			pause(ctx)
		}
	}
	write(0, kept)
	s.Stop()
	copied := s.Keep()
	s.Start()
	write(kept, more)
	f := follow(log)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	if err := f.Reached(ctx, kept+more); err != nil {
		t.Fatal(err)
	}
	head, err := log.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Restore(copied)
	s.Start()
	for first := 1_000_000; write(first, more) <= head.Last; first += more {
	}
	err = <-ended
	if ctx.Err() != nil {
		t.Fatalf("it follows a log that was rewritten, until the end of the test: %v", err)
	}
	return err
}

func pause(ctx context.Context) {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
