package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// clerk writes the facts of a fenced family: each batch is decided on a state of the roster that nobody has changed
// when it is stored.
type clerk struct {
	log    eventlog.Log
	runner *fold.Runner
	family fact.Family
	turn   chan struct{} // holds a token during a write: one of this gateway at a time, the others would only be refused
}

func newClerk(log eventlog.Log, runner *fold.Runner, family fact.Family) *clerk {
	return &clerk{log: log, runner: runner, family: family, turn: make(chan struct{}, 1)}
}

// A refused or unanswered write waits before it is decided anew: this long at first, and twice as long each time.
const (
	retryPause = 10 * time.Millisecond
	maxPause   = time.Second
)

// write appends the facts that decide returns for the state that it is given, and returns once this gateway has folded
// them. Without facts to write it returns the sequence of the state that it was decided on. A write that was refused or
// not answered is decided anew on the newer state, until the context ends; one that is stored late after all is
// refused by its fence, or found in that state.
func (c *clerk) write(ctx context.Context, decide func(kv.Reader) ([]fact.Fact, error)) (seq fact.Seq, written int, err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, 0, unavailable(ctx.Err())
	}
	defer func() { <-c.turn }()
	for pause := retryPause; ; pause = min(2*pause, maxPause) {
		var fence, at fact.Seq
		var facts []fact.Fact
		err := c.runner.Query(func(seq fact.Seq, r view.Reader) (err error) {
			at, fence = seq, gateway.LastOf(r, c.family)
			facts, err = decide(r)
			return err
		})
		if err != nil || len(facts) == 0 {
			return at, 0, err
		}
		seq, err := c.log.Append(ctx, batch(facts, map[fact.Family]fact.Seq{c.family: fence}))
		if err == nil {
			return seq, len(facts), unavailable(c.runner.Wait(ctx, seq))
		}
		if err := c.afterFailure(ctx, err, pause); err != nil {
			return 0, 0, err
		}
	}
}

// afterFailure folds what made the log refuse a write, if that was it, so that the next one is decided on it.
func (c *clerk) afterFailure(ctx context.Context, err error, pause time.Duration) error {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_LOG_FULL, "%v", err)
	case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrUnanswered), errors.Is(err, eventlog.ErrNotStored):
	default:
		return unavailable(err)
	}
	if last, ok, err := c.log.LastOf(ctx, c.family); err == nil && ok {
		if err := c.runner.Wait(ctx, last.Seq); err != nil {
			return unavailable(err)
		}
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return unavailable(err)
	}
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE, "%v", err)
}

func batch(facts []fact.Fact, fences map[fact.Family]fact.Seq) eventlog.Batch {
	b := eventlog.Batch{Fences: fences}
	for _, f := range facts {
		b.Records = append(b.Records, fact.Record{Fact: f})
	}
	return b
}
