package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	outage *outage
	turn   chan struct{} // holds a token during a write: one of this gateway at a time, the others would only be refused

	largest int // batch that the server is known to take; guarded by turn
}

func newClerk(log eventlog.Log, runner *fold.Runner, family fact.Family, logger *slog.Logger) *clerk {
	return &clerk{
		log: log, runner: runner, family: family, turn: make(chan struct{}, 1), largest: eventlog.MaxBatch,
		outage: &outage{
			logger: logger, what: "facts of " + string(family) + " are not known to be stored",
			over: "facts of " + string(family) + " are stored again",
		},
	}
}

// A refused or unanswered write waits before it is decided anew: this long at first, and twice as long each time.
const (
	retryPause = 10 * time.Millisecond
	maxPause   = time.Second
)

// pauseAfter returns how long to wait after so many failures before that one.
func pauseAfter(failures int) time.Duration { return min(retryPause<<min(failures, 10), maxPause) }

// write appends the facts that decide returns for the state that it is given, and returns once this gateway has folded
// them. Without facts to write it returns the sequence of the state that it was decided on. A write that was refused or
// not answered is decided anew on the newer state, until the context ends; one that is stored late after all is
// refused by its fence, or found in that state.
//
// Where the server takes no batch so large, the first of the facts are written, and the others decided anew on the state
// that holds them: what comes before an error then stays written.
func (c *clerk) write(ctx context.Context, decide func(kv.Reader) ([]fact.Fact, error)) (seq fact.Seq, written int, err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, 0, unavailable(ctx.Err())
	}
	defer func() { <-c.turn }()
	for pause := retryPause; ; {
		var fence, at fact.Seq
		var facts []fact.Fact
		err := c.runner.Query(func(seq fact.Seq, r view.Reader) (err error) {
			at, fence = seq, gateway.LastOf(r, c.family)
			facts, err = decide(r)
			return err
		})
		if err != nil || len(facts) == 0 {
			return max(at, seq), written, err
		}
		now := facts[:min(len(facts), c.largest)]
		last, err := appendBatch(ctx, c.log, batch(now, map[fact.Family]fact.Seq{c.family: fence}))
		switch {
		case err == nil:
			c.outage.works()
			seq, written, pause = last, written+len(now), retryPause
			if err := c.runner.Wait(ctx, last); err != nil || len(now) == len(facts) {
				return seq, written, unavailable(err)
			}
		case errors.Is(err, eventlog.ErrRefused) && len(now) > 1:
			c.largest = len(now) / 2
			c.outage.failed(fmt.Errorf("%d facts: %w", len(now), err))
		default:
			if err := c.afterFailure(ctx, err, pause); err != nil {
				return seq, written, err
			}
			pause = min(2*pause, maxPause)
		}
	}
}

// afterFailure folds what made the log refuse a write, if that was it, so that the next one is decided on it.
func (c *clerk) afterFailure(ctx context.Context, err error, pause time.Duration) error {
	if !errors.Is(err, eventlog.ErrConflict) { // another gateway was first: that is no failure
		c.outage.failed(err)
	}
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_LOG_FULL, "%v", err)
	case errors.Is(err, eventlog.ErrRefused):
		c.largest = eventlog.MaxBatch // it was not the number of facts
		return serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_LOG_UNAVAILABLE, "%v", err)
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

// appendBatch appends the batch, and says after appendTimeout that nobody knows.
func appendBatch(ctx context.Context, log eventlog.Log, b eventlog.Batch) (fact.Seq, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	return log.Append(ctx, b)
}

func batch(facts []fact.Fact, fences map[fact.Family]fact.Seq) eventlog.Batch {
	b := eventlog.Batch{Fences: fences}
	for _, f := range facts {
		b.Records = append(b.Records, fact.Record{Fact: f})
	}
	return b
}
