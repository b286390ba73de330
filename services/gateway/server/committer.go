package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

const (
	// maxKnown is how many statements at least the committer knows to be stored (design section 7, Admission).
	maxKnown = 200_000
	// maxWaiting bounds the statements that wait for the log: beyond it, phones are told to come again.
	maxWaiting = 50_000
	// appendTimeout is how long a batch may go unanswered before its phones are told so.
	appendTimeout = 10 * time.Second
)

// committer gathers what all phones deliver into batches: while one is being stored the next one fills, so that one
// fsync serves many. A statement is answered as accepted once the log has stored it durably, never before.
type committer struct {
	log    eventlog.Log
	logger *slog.Logger
	wake   chan struct{} // holds one token while something waits

	batches prometheus.Histogram // statements in each one

	mu       sync.Mutex
	waiting  []*passage
	ended    bool                        // nothing is committed any more
	inFlight map[[32]byte]*passage       // waiting, or being stored
	known    *recent[[32]byte, fact.Seq] // stored
}

// passage is one statement on its way into the log. The fields below done are set before done is closed.
type passage struct {
	key  [32]byte
	fact fact.Fact
	done chan struct{}
	seq  fact.Seq
	err  error
}

// ticket is what a phone waits with. Several may wait for one passage; all but the first are repeats.
type ticket struct {
	*passage
	repeat bool
}

func newCommitter(log eventlog.Log, logger *slog.Logger) *committer {
	return &committer{
		log: log, logger: logger, wake: make(chan struct{}, 1), batches: newBatches(),
		inFlight: make(map[[32]byte]*passage), known: newRecent[[32]byte, fact.Seq](maxKnown),
	}
}

// repeat returns a ticket for a statement that is known to be stored or is on its way, or nil.
func (c *committer) repeat(key [32]byte) *ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(key)
}

func (c *committer) find(key [32]byte) *ticket {
	if seq, ok := c.known.get(key); ok {
		p := &passage{seq: seq, done: make(chan struct{})}
		close(p.done)
		return &ticket{passage: p, repeat: true}
	}
	if p := c.inFlight[key]; p != nil {
		return &ticket{passage: p, repeat: true}
	}
	return nil
}

var (
	errOverloaded = errors.New("too many statements wait for the log")
	errEnded      = errors.New("the gateway stops")
)

// submit takes a fact on its way. The key identifies the statement: of two with the same key, one is stored.
func (c *committer) submit(key [32]byte, f fact.Fact) *ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.find(key); t != nil {
		return t
	}
	p := &passage{key: key, fact: f, done: make(chan struct{})}
	switch {
	case c.ended:
		p.err = errEnded
	case len(c.waiting) >= maxWaiting:
		p.err = errOverloaded
	}
	if p.err != nil {
		close(p.done)
		return &ticket{passage: p}
	}
	c.inFlight[key] = p
	c.waiting = append(c.waiting, p)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return &ticket{passage: p}
}

// run commits until the context ends. What then still waits, or comes later, is answered as not known to be stored.
func (c *committer) run(ctx context.Context) error {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			c.end()
			return nil
		}
		for ctx.Err() == nil {
			batch := c.take()
			if len(batch) == 0 {
				break
			}
			c.commit(ctx, batch)
		}
	}
}

func (c *committer) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	for batch := c.take(); len(batch) > 0; batch = c.take() {
		c.finish(batch, 0, errEnded)
	}
}

// take removes the next batch from what waits.
func (c *committer) take() []*passage {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), eventlog.MaxBatch)
	taken := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return taken
}

func (c *committer) commit(ctx context.Context, passages []*passage) {
	c.batches.Observe(float64(len(passages)))
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	facts := make([]fact.Fact, len(passages))
	for i, p := range passages {
		facts[i] = p.fact
	}
	last, err := c.log.Append(ctx, batch(facts, nil))
	if err != nil {
		c.logger.Warn("a batch of statements is not known to be stored", "statements", len(passages), "error", err)
	}
	c.finish(passages, last, err)
}

// finish answers the passages of a batch whose last fact has the given sequence, or none of which is known to be stored.
func (c *committer) finish(passages []*passage, last fact.Seq, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range passages {
		p.err = err
		if err == nil {
			p.seq = last - fact.Seq(len(passages)-1-i)
			c.known.put(p.key, p.seq)
		}
		delete(c.inFlight, p.key)
		close(p.done)
	}
}

// answer waits until it is known what became of the statement. It returns an error only when the context ends first.
func (t *ticket) answer(ctx context.Context) (*gatewayv1.Answer, error) {
	select {
	case <-t.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case errors.Is(t.err, eventlog.ErrFull):
		return refused(gatewayv1.Reason_REASON_LOG_FULL, true, t.err.Error()), nil
	case t.err != nil:
		return refused(gatewayv1.Reason_REASON_LOG_UNAVAILABLE, true, t.err.Error()), nil //nolint:nilerr // the answer tells it
	}
	s := gatewayv1.Status_STATUS_ACCEPTED
	if t.repeat {
		s = gatewayv1.Status_STATUS_ALREADY_ACCEPTED
	}
	return gatewayv1.Answer_builder{Status: s, Seq: uint64(t.seq)}.Build(), nil
}
