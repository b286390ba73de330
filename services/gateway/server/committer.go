package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

const (
	// maxWaiting bounds the statements that wait for the log: beyond it, phones are told to come again.
	maxWaiting = 50_000
	// appendTimeout is how long a batch may go unanswered before its writers are told so, whatever the log. That of a
	// cluster says so itself after 2 s (docs/design.md section 12, Awake).
	appendTimeout = 10 * time.Second
	// stopTimeout is how long a stop waits for what is on its way, within the grace that a process has.
	stopTimeout = 2 * time.Second
	// overdue is how long at least the batch that was sent last holds up the next one, which so becomes larger. A log that
	// answers does so within some ten milliseconds, and one that is slow is given twice the time that it takes: what is
	// sent to it meanwhile would only wait there, until it is given up and sent again.
	overdue = 250 * time.Millisecond
	// maxOnWay is how many batches are on their way at once: as many as become overdue until a cluster's log gives up the
	// first of them. What a silent node has swallowed then holds up nothing behind it. JetStream takes 50 for a stream (error 10210),
	// of all gateways and folds.
	maxOnWay = 8
)

// committer gathers what all phones deliver into batches: while one is being stored the next one fills, so that one
// fsync serves many. A statement is answered as accepted once the log has stored it durably, never before.
//
// A batch is sent when none is on its way, when what waits fills one and the log is not slow, or when the last one is overdue. Their order in the
// log does not matter, and no statement is in two of them.
type committer struct {
	log    eventlog.Log
	logger *slog.Logger
	outage *outage
	wake   chan struct{}   // holds one token when there may be a batch to send
	lost   func(fact.Fact) // is told of each fact that is not known to be stored; nil = nobody is

	batches prometheus.Histogram // statements in each one

	mu       sync.Mutex
	waiting  []*passage
	ended    bool                  // nothing is committed any more
	inFlight map[[32]byte]*passage // waiting, or being stored
	memory   *memory
	onWay    int           // batches
	sent     time.Time     // when the last one was
	pace     time.Duration // how long the log takes for one, of late
	largest  int           // batch that is sent: MaxBatch, or what the server takes
	failures int           // in a row, those that were on their way at once counted as one
	resume   time.Time     // no batch is sent before it
}

// passage is one statement on its way into the log. The fields below done are set before done is closed.
type passage struct {
	key  [32]byte
	fact fact.Fact
	done chan struct{}
	seq  fact.Seq
	err  error
}

// shipment is a batch on its way, with what the committer knew when it was sent.
type shipment struct {
	passages []*passage
	knew     recollection
	failures int // of the committer
	sent     time.Time
}

// ticket is what a phone waits with. Several may wait for one passage; all but the first are repeats.
type ticket struct {
	*passage
	repeat bool
}

func newCommitter(log eventlog.Log, logger *slog.Logger) *committer {
	return &committer{
		log: log, logger: logger, wake: make(chan struct{}, 1), batches: newBatches(),
		outage:   &outage{logger: logger, what: "statements are not known to be stored", over: "statements are stored again"},
		inFlight: make(map[[32]byte]*passage), memory: newMemory(), largest: eventlog.MaxBatch,
	}
}

// repeat returns a ticket for a statement that is known to be stored or is on its way, or nil.
func (c *committer) repeat(key [32]byte) *ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(key)
}

func (c *committer) find(key [32]byte) *ticket {
	if seq, ok := c.memory.stored.get(key); ok {
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
		c.lose(f)
		close(p.done)
		return &ticket{passage: p}
	}
	c.inFlight[key] = p
	c.waiting = append(c.waiting, p)
	if len(c.waiting) == 1 || len(c.waiting) >= c.largest {
		c.look()
	}
	return &ticket{passage: p}
}

// look has run see whether there is a batch to send.
func (c *committer) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run commits until the context ends. What then is on its way is finished, within stopTimeout; what still waits, or
// comes later, is answered as not known to be stored.
func (c *committer) run(ctx context.Context) error {
	onWay, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var shipments sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		s, again := c.next(time.Now())
		if s != nil {
			shipments.Go(func() {
				c.commit(onWay, s)
				c.arrived()
			})
			continue
		}
		timer.Reset(again)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	c.end()
	defer time.AfterFunc(stopTimeout, cut).Stop()
	shipments.Wait()
	return nil
}

func (c *committer) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.finish(c.waiting, 0, errEnded)
	c.waiting = nil
}

// arrived notes that a shipment is finished.
func (c *committer) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onWay--
	c.look()
}

// forLater is how long run waits where nothing but what wakes it can make a batch to send.
const forLater = time.Hour

// next removes the next batch from what waits. If none is to be sent now, it says after how long to look again.
func (c *committer) next(now time.Time) (s *shipment, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 || c.onWay == maxOnWay {
		return nil, forLater
	}
	due := c.resume
	if whole := len(c.waiting) >= c.largest && c.failures == 0 && c.pace < overdue; c.onWay > 0 && !whole {
		due = later(due, c.sent.Add(max(overdue, 2*c.pace)))
	}
	if due.After(now) {
		return nil, due.Sub(now)
	}
	n := min(len(c.waiting), c.largest)
	s = &shipment{passages: c.waiting[:n:n], knew: c.memory.recollect(), failures: c.failures, sent: now}
	c.waiting = c.waiting[n:]
	c.onWay++
	c.sent = now
	return s, 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fate is what became of a shipment.
type fate int

const (
	wasUnknown fate = iota // not known to be stored
	wasStored              // in one batch
	wasParted              // of its parts one thing and another
	wasRefused             // by the server, for good, each statement that was tried by itself too
)

func fateBy(err error) fate {
	switch {
	case err == nil:
		return wasStored
	case errors.Is(err, eventlog.ErrRefused):
		return wasRefused
	}
	return wasUnknown
}

// enoughRefused is how many statements are refused one by one before those behind them are not tried: it is neither the
// size of a batch then, nor that of one statement.
const enoughRefused = 4

// commit appends the shipment and answers its passages. One that the server refuses for good goes in two parts.
func (c *committer) commit(ctx context.Context, s *shipment) fate {
	last, err := c.append(ctx, s)
	n := len(s.passages)
	if n == 1 || !errors.Is(err, eventlog.ErrRefused) {
		c.answer(s, last, err)
		return fateBy(err)
	}
	first, rest := *s, *s
	first.passages, rest.passages = s.passages[:n/2], s.passages[n/2:]
	was := c.commit(ctx, &first)
	if was == wasRefused && n/2 >= enoughRefused {
		c.answer(&rest, 0, err)
		return wasRefused
	}
	is := c.commit(ctx, &rest)
	switch {
	case was == wasStored && is == wasStored: // so it was the size
		c.learn(len(rest.passages), err)
	case was == wasRefused && is == wasRefused:
		return wasRefused
	}
	return wasParted
}

func (c *committer) append(ctx context.Context, s *shipment) (fact.Seq, error) {
	c.batches.Observe(float64(len(s.passages)))
	facts := make([]fact.Fact, len(s.passages))
	for i, p := range s.passages {
		facts[i] = p.fact
	}
	return appendBatch(ctx, c.log, batch(facts, nil))
}

// learn keeps further batches to the size that the server took.
func (c *committer) learn(largest int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if largest < c.largest {
		c.largest = largest
		c.logger.Warn("the server takes smaller batches only than the log needs under load", "statements", largest, "error", err)
	}
}

// answer notes what the log said of a shipment, and answers its passages.
func (c *committer) answer(s *shipment, last fact.Seq, err error) {
	if err != nil {
		c.outage.failed(fmt.Errorf("%d statements: %w", len(s.passages), err))
	} else {
		c.outage.works()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, eventlog.ErrReplaced) {
		c.memory.forget()
	}
	switch {
	case err == nil:
		c.failures = 0
		c.pace = max(time.Since(s.sent), c.pace*7/8)
		if c.memory.remember(s.knew, s.passages, last) {
			c.forgot(last)
		}
	case s.failures == c.failures: // it was not on its way with another one that failed
		c.resume = time.Now().Add(pauseAfter(c.failures))
		c.failures++
	}
	c.finish(s.passages, last, err)
}

// pass is told of the facts that the gateway's reading comes by, in log order.
func (c *committer) pass(msgs []eventlog.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory.pass(msgs) {
		c.forgot(msgs[len(msgs)-1].Seq)
	}
}

func (c *committer) forgot(at fact.Seq) {
	c.logger.Error("the log lost its end and grew anew: what was known to be stored is forgotten", "seq", uint64(at))
}

// finish answers the passages of a batch whose last fact has the given sequence, or none of which is known to be stored.
// The caller holds the lock.
func (c *committer) finish(passages []*passage, last fact.Seq, err error) {
	for i, p := range passages {
		p.err = err
		if err == nil {
			p.seq = last - fact.Seq(len(passages)-1-i)
		} else {
			c.lose(p.fact)
		}
		delete(c.inFlight, p.key)
		close(p.done)
	}
}

func (c *committer) lose(f fact.Fact) {
	if c.lost != nil {
		c.lost(f)
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
