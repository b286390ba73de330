package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
// when it is stored. One batch of this gateway is on its way at a time, the others would only be refused; what callers want
// to write meanwhile goes into the next one together. That one does not wait for the gateway's fold: behind a batch of its own
// the family holds nothing else that the clerk has not folded, or the fence would have refused it, so what is about other
// pins is decided on the older state as on the newer one.
type clerk struct {
	log    eventlog.Log
	runner *fold.Runner
	family fact.Family
	outage *outage
	turn   chan struct{} // holds a token while a caller leads: it decides and appends for all who wait

	// Guarded by turn.
	largest  int                     // batch that the server is known to take
	failures int                     // in a row
	resume   time.Time               // nothing is decided before it
	last     fact.Seq                // of the newest batch, if nothing has failed since; else 0
	ahead    map[fact.PinID]fact.Seq // what the batches up to it are about, as far as it is not folded

	mu      sync.Mutex
	waiting []*entry // in the order in which they came
}

// entry is what one caller wants to write. The fields below done are guarded by the clerk's mu.
type entry struct {
	ctx    context.Context //nolint:containedctx // of the caller
	decide func(kv.Reader) ([]fact.Fact, error)
	done   chan struct{} // closed when it is known what became of it

	finished bool
	seq      fact.Seq // of its last fact, or of the state on which it was decided
	written  int      // facts so far
	err      error    // why it failed, or while it is not finished why the last try did
}

func newClerk(log eventlog.Log, runner *fold.Runner, family fact.Family, logger *slog.Logger) *clerk {
	return &clerk{
		log: log, runner: runner, family: family, turn: make(chan struct{}, 1), largest: eventlog.MaxBatch,
		ahead: map[fact.PinID]fact.Seq{},
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
	e := c.join(ctx, decide)
	c.await(ctx, e)
	seq, written, err = c.leave(e)
	if err == nil {
		err = unavailable(c.runner.Wait(ctx, seq))
	}
	return seq, written, err
}

// await returns when the entry is finished, or the context has ended. It leads whenever nobody else does.
func (c *clerk) await(ctx context.Context, e *entry) {
	for {
		select {
		case <-e.done:
			return
		default:
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return
		case c.turn <- struct{}{}:
			c.lead(ctx)
			<-c.turn
		}
	}
}

func (c *clerk) join(ctx context.Context, decide func(kv.Reader) ([]fact.Fact, error)) *entry {
	e := &entry{ctx: ctx, decide: decide, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, e)
	return e
}

// leave takes an entry out and returns what became of it. One that is not finished was given up by its caller.
func (c *clerk) leave(e *entry) (seq fact.Seq, written int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, e)
	c.waiting = slices.Delete(c.waiting, i, i+1)
	if e.finished {
		return e.seq, e.written, e.err
	}
	if e.err != nil {
		return e.seq, e.written, unavailable(e.err)
	}
	return e.seq, e.written, unavailable(e.ctx.Err())
}

// unfinished returns the entries that are to be decided.
func (c *clerk) unfinished() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.waiting), func(e *entry) bool { return e.finished || e.ctx.Err() != nil })
}

// finish tells the entries what became of them, if they were not told before.
func (c *clerk) finish(entries []*entry, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if !e.finished {
			e.finished, e.err = true, err
			close(e.done)
		}
	}
}

// lead decides what waits on one state of the roster, and appends it as one batch.
func (c *clerk) lead(ctx context.Context) {
	if !sleepUntil(ctx, c.resume) {
		return
	}
	g, err := c.gather(c.unfinished())
	if err == nil && g.folds < c.last && (g.alone || g.waits && len(g.facts) == 0) {
		_ = c.runner.Wait(ctx, c.last) // or the caller has gone, and another leads
		return
	}
	if err != nil || len(g.facts) == 0 {
		return
	}
	ctx, stop := whileAny(ctx, g.entries)
	defer stop()
	last, err := appendBatch(ctx, c.log, batch(g.facts, map[fact.Family]fact.Seq{c.family: g.fence}))
	switch {
	case err == nil:
		c.outage.works()
		c.failures = 0
		c.finish(c.stored(g, last), nil)
		if c.last = last; g.alone && c.runner.Wait(ctx, last) != nil {
			c.fallBack()
		}
	case errors.Is(err, eventlog.ErrRefused) && len(g.facts) > 1:
		c.largest = len(g.facts) / 2
		c.outage.failed(fmt.Errorf("%d facts: %w", len(g.facts), err))
	default:
		c.afterFailure(ctx, g, err)
	}
}

// group is what is appended as one batch: the facts of several callers, none of whom would decide otherwise for the facts
// of the others.
type group struct {
	folds   fact.Seq // of the state on which they decided
	fence   fact.Seq // of the family
	facts   []fact.Fact
	entries []*entry
	parts   []int               // for each of the entries, how many of the facts are its
	short   bool                // the only entry has more facts than one batch takes
	pins    map[fact.PinID]bool // that what else is decided must not be about
	waits   bool                // somebody waits for what is in it or ahead of the fold
	alone   bool                // it may be about everything
	closed  bool                // it takes nothing more
}

// gather lets the entries decide, in their order, and groups their facts. What is refused, or has nothing to write, is
// finished: it was decided on what is stored.
func (c *clerk) gather(waiting []*entry) (*group, error) {
	g := &group{pins: map[fact.PinID]bool{}}
	err := c.runner.Query(func(at fact.Seq, r view.Reader) error {
		g.folds, g.fence = at, max(gateway.LastOf(r, c.family), c.last)
		maps.DeleteFunc(c.ahead, func(_ fact.PinID, seq fact.Seq) bool { return seq <= at })
		for pin := range c.ahead {
			g.pins[pin] = true
		}
		for _, e := range waiting {
			facts, err := e.decide(r)
			switch {
			case err != nil || len(facts) == 0:
				c.mu.Lock()
				e.seq = max(e.seq, at)
				c.mu.Unlock()
				c.finish([]*entry{e}, err)
			default:
				g.add(e, facts, c.largest)
			}
			if g.closed {
				break
			}
		}
		return nil
	})
	if err != nil {
		c.finish(waiting, err)
	}
	return g, err
}

// add takes in an entry with its facts, unless they do not fit, or may depend on what is in the group: then it waits for
// the state that holds that. Of two callers who name the same pin, the second so learns what became of the first.
func (g *group) add(e *entry, facts []fact.Fact, largest int) {
	if len(g.entries) > 0 && len(g.facts)+len(facts) > largest {
		g.closed = true
		return
	}
	pins := make([]fact.PinID, 0, len(facts))
	for _, f := range facts {
		pin, one := pinOf(f)
		switch {
		case g.pins[pin]:
			g.waits = true
			return
		case !one:
			g.closed = true
		}
		pins = append(pins, pin)
	}
	if g.closed && len(g.entries) > 0 {
		return
	}
	g.alone = g.closed
	for _, pin := range pins {
		g.pins[pin] = true
	}
	n := min(len(facts), largest)
	g.short = n < len(facts)
	g.facts, g.entries, g.parts = append(g.facts, facts[:n]...), append(g.entries, e), append(g.parts, n)
}

// pinOf returns the one pin that the fact is about, and whether it is about one only.
func pinOf(f fact.Fact) (fact.PinID, bool) {
	switch f := f.(type) {
	case fact.PinRegistered:
		return f.Key.PinID(), true
	case fact.PinPaired:
		return f.Proof.Pin, true
	}
	return fact.PinID{}, false
}

// stored notes that the group is stored, its last fact at the sequence, and returns the entries with nothing left to write:
// their callers wait until it is folded.
func (c *clerk) stored(g *group, last fact.Seq) (whole []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range g.facts {
		if pin, one := pinOf(f); one {
			c.ahead[pin] = last
		}
	}
	at := last - fact.Seq(len(g.facts))
	for i, e := range g.entries {
		at += fact.Seq(g.parts[i])
		e.seq, e.err = at, nil
		e.written += g.parts[i]
	}
	if g.short {
		return nil
	}
	return g.entries
}

// afterFailure folds what made the log refuse a group, if that was it, so that the next one is decided on it.
func (c *clerk) afterFailure(ctx context.Context, g *group, err error) {
	c.fallBack()
	if !errors.Is(err, eventlog.ErrConflict) { // another gateway was first: that is no failure
		c.outage.failed(err)
	}
	switch {
	case errors.Is(err, eventlog.ErrFull):
		c.finish(g.entries, serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_LOG_FULL, "%v", err))
		return
	case errors.Is(err, eventlog.ErrRefused): // one fact by itself: so it is not their number, and would be each other one too
		c.largest = eventlog.MaxBatch
		c.finish(c.unfinished(), serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_LOG_UNAVAILABLE, "%v", err))
		return
	case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrUnanswered), errors.Is(err, eventlog.ErrNotStored):
	default:
		c.finish(g.entries, unavailable(err))
		return
	}
	c.mu.Lock()
	for _, e := range g.entries {
		e.err = err
	}
	c.mu.Unlock()
	if last, ok, err := c.log.LastOf(ctx, c.family); err == nil && ok {
		if err := c.runner.Wait(ctx, last.Seq); err != nil {
			c.finish(g.entries, unavailable(err))
			return
		}
	}
	c.resume = time.Now().Add(pauseAfter(c.failures))
	c.failures++
}

// fallBack lets the next batch be fenced by what is folded, and by nothing that is known beside it.
func (c *clerk) fallBack() {
	c.last = 0
	clear(c.ahead)
}

// whileAny returns a context that ends when those of all the entries have ended.
func whileAny(ctx context.Context, entries []*entry) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var left atomic.Int64
	left.Store(int64(len(entries)))
	stops := make([]func() bool, len(entries))
	for i, e := range entries {
		stops[i] = context.AfterFunc(e.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// sleepUntil waits until then, and returns false if the context ends first.
func sleepUntil(ctx context.Context, then time.Time) bool {
	d := time.Until(then)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
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
