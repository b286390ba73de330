package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pinfold/internal/fact"
)

const (
	// callTimeout bounds every question to the server (docs/design.md section 12, "Awake"), and embeddedTimeout one to a server
	// within the process: no other would answer sooner, and what was sent to a slow one is better waited for than sent again.
	callTimeout     = 2 * time.Second
	embeddedTimeout = 10 * time.Second
	// confirmShorter is how far apart a leader must have said twice that the log is shorter than what was read of it
	// (docs/design.md section 7: a leader that was just elected may not have caught up).
	confirmShorter = 10 * time.Second

	// prefetch is how many messages at most are on their way to a reader or wait in it.
	prefetch = 4096
	// A request for messages ends after pullExpiry; until then the server says every heartbeat that it holds it. A reader
	// that hears nothing for maxSilence has lost its place. (A stall of in-process connections was seen: the server held
	// no request, and the client believed that it did.)
	pullExpiry = 10 * time.Second
	heartbeat  = 500 * time.Millisecond
	maxSilence = 1500 * time.Millisecond
	// consumerIdle is how long the server keeps a consumer that nobody asks for messages.
	consumerIdle = 30 * time.Second
)

// timeoutOf returns for how long a question over the connection may go unanswered.
func timeoutOf(nc *nats.Conn) time.Duration {
	if nc.Opts.InProcessServer != nil {
		return embeddedTimeout
	}
	return callTimeout
}

// Read implements Log.
func (l *JetStream) Read(ctx context.Context, after Position) (Reader, error) {
	if err := after.otherEpoch(l.epoch); err != nil {
		return nil, err
	}
	r, pending, err := l.consume(ctx, max(after.Seq, 1))
	if err != nil {
		return nil, err
	}
	if after.Seq > 0 {
		if err := l.compare(ctx, r, after, pending); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// consume makes a consumer from the sequence on, and returns how many facts it then had to give.
func (l *JetStream) consume(ctx context.Context, from fact.Seq) (r *jetstreamReader, pending uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(l.js.Conn()))
	defer cancel()
	// An ephemeral consumer in the memory of one server: it goes with that server, and the reader begins again.
	consumer, err := l.js.CreateConsumer(ctx, streamName(l.games, l.epoch), jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(from),
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, 0, fmt.Errorf("%w: %s is gone", ErrReplaced, streamName(l.games, l.epoch))
	}
	if err != nil {
		return nil, 0, unreachable(l.js.Conn(), err, "read from %d", from)
	}
	info := consumer.CachedInfo()
	r, err = newReader(l, info.Name, from)
	if err != nil {
		return nil, 0, unreachable(l.js.Conn(), err, "read from %d", from)
	}
	return r, info.NumPending, nil
}

// compare takes the fact at the position from the reader, which is its first one, and compares it. That the log ends
// before the position counts only when a leader has said so twice.
func (l *JetStream) compare(ctx context.Context, r *jetstreamReader, after Position, pending uint64) error {
	wait := timeoutOf(l.js.Conn())
	if pending == 0 {
		wait = 0 // there is nothing that could come now
	}
	for said := false; ; said = true {
		m, came, err := r.first(ctx, wait)
		if err != nil {
			return err
		}
		if came {
			return after.rewritten(m)
		}
		head, err := l.Head(ctx)
		if err != nil {
			return err
		}
		if head.Last >= after.Seq {
			return fmt.Errorf("%w: sequence %d was asked for and did not come", ErrUnreachable, after.Seq)
		}
		if said {
			return after.shorter(head.Last)
		}
		wait = l.confirm
	}
}

// jetstreamReader is a pull consumer of one reader. What arrives is put into ready; the connection's own goroutine does
// that, and never waits.
type jetstreamReader struct {
	games string
	kept  fact.Seq
	nc    *nats.Conn
	inbox string
	next  string // subject on which the consumer is asked for messages
	sub   *nats.Subscription
	state chan nats.Status // of the connection, when it is not there any more
	made  uint64           // how often the connection had been made again
	quiet *time.Timer      // ends the reader when nothing was heard

	mu        sync.Mutex
	ready     []Message
	want      fact.Seq // the next one to arrive
	delivered uint64   // by the consumer, as it counts
	asked     int      // messages that were asked for and have not arrived
	err       error    // why nothing more arrives
	arrived   chan struct{}
}

func newReader(l *JetStream, consumer string, from fact.Seq) (*jetstreamReader, error) {
	nc := l.js.Conn()
	r := &jetstreamReader{
		games: l.games, kept: l.kept, nc: nc, inbox: nc.NewInbox(), want: from, arrived: make(chan struct{}, 1),
		next: "$JS.API.CONSUMER.MSG.NEXT." + streamName(l.games, l.epoch) + "." + consumer,
	}
	r.made = nc.Stats().Reconnects
	var err error
	if r.sub, err = nc.Subscribe(r.inbox, r.take); err != nil {
		return nil, err
	}
	if err := r.sub.SetPendingLimits(-1, -1); err != nil { // prefetch is the limit
		return nil, err
	}
	r.state = nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	go func() { // until Close
		for s := range r.state {
			r.lose("the connection is %v", s)
		}
	}()
	r.quiet = time.AfterFunc(maxSilence, func() { r.lose("nothing heard for %v", maxSilence) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ask()
	return r, nil
}

// ask asks for as many messages as there is room for, once that is worth it. The caller holds r.mu.
func (r *jetstreamReader) ask() {
	room := prefetch - len(r.ready) - r.asked
	if r.err != nil || room < prefetch/2 {
		return
	}
	request, err := json.Marshal(struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{room, pullExpiry, heartbeat})
	if err == nil {
		err = r.nc.PublishRequest(r.next, r.inbox, request)
	}
	if err != nil {
		r.end(fmt.Errorf("%w: the reader asked for more: %w", ErrUnreachable, err))
		return
	}
	r.asked += room
	r.quiet.Reset(maxSilence)
}

// take takes what the server sent.
func (r *jetstreamReader) take(msg *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	// Its own words are addressed to the reader; a fact keeps the subject that it was appended to.
	if status := msg.Header.Get("Status"); status != "" && msg.Subject == r.inbox {
		r.heed(status, msg.Header)
	} else {
		r.put(msg)
	}
	switch {
	case r.err != nil:
	case r.asked > 0:
		r.quiet.Reset(maxSilence)
	default:
		r.quiet.Stop() // the server has nothing to say
	}
}

// put makes a fact ready. The caller holds r.mu.
func (r *jetstreamReader) put(msg *nats.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		r.end(fmt.Errorf("%w: the reader got a message without its place: %w", ErrUnreachable, err))
		return
	}
	seq := fact.Seq(meta.Sequence.Stream)
	r.delivered++
	if meta.Sequence.Consumer != r.delivered {
		r.end(fmt.Errorf("%w: delivery %d follows %d", ErrUnreachable, meta.Sequence.Consumer, r.delivered-1))
		return
	}
	if seq != r.want {
		r.end(fmt.Errorf("%w: sequence %d stands where %d must", ErrGap, seq, r.want))
		return
	}
	m, err := message(r.games, r.kept, msg.Subject, seq, meta.Timestamp, msg.Header, msg.Data)
	if err != nil {
		r.end(err)
		return
	}
	r.want++
	r.asked--
	r.ready = append(r.ready, m)
	r.wake()
}

// heed does what the server says of a request. The caller holds r.mu.
func (r *jetstreamReader) heed(status string, h nats.Header) {
	switch status {
	case "100": // it holds the request
	case "408": // the request has ended
		rest, err := strconv.Atoi(h.Get("Nats-Pending-Messages"))
		if err != nil {
			r.end(fmt.Errorf("%w: the reader's request ended without a count: %w", ErrUnreachable, err))
			return
		}
		r.asked -= rest
		r.ask()
	default:
		r.end(fmt.Errorf("%w: the reader's consumer: %s %s", ErrUnreachable, status, h.Get("Description")))
	}
}

// Err implements Reader. It asks the connection too, whose end may not have been heeded yet.
func (r *jetstreamReader) Err() error {
	connected := r.nc.IsConnected() && r.nc.Stats().Reconnects == r.made
	r.mu.Lock()
	defer r.mu.Unlock()
	if !connected {
		r.end(fmt.Errorf("%w: the connection was lost", ErrUnreachable))
	}
	return r.err
}

func (r *jetstreamReader) lose(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(fmt.Errorf("%w: the reader lost its place: %s", ErrUnreachable, fmt.Sprintf(format, args...)))
}

// end lets nothing more arrive. The caller holds r.mu.
func (r *jetstreamReader) end(err error) {
	if r.err == nil {
		r.err = err
		r.quiet.Stop()
		r.wake()
	}
}

func (r *jetstreamReader) wake() {
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// Next implements Reader.
func (r *jetstreamReader) Next(ctx context.Context, max int) ([]Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if got, err := r.got(max); len(got) > 0 || err != nil {
			return got, err
		}
		select {
		case <-r.arrived:
		case <-ctx.Done():
		}
	}
}

// got returns what has arrived, at most max, or else why nothing will.
func (r *jetstreamReader) got(max int) ([]Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ready) == 0 {
		return nil, r.err
	}
	n := min(max, len(r.ready))
	got := r.ready[:n:n]
	r.ready = r.ready[n:]
	r.ask()
	return got, nil
}

// first returns the first message, if one comes within the wait.
func (r *jetstreamReader) first(ctx context.Context, wait time.Duration) (Message, bool, error) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	got, err := r.Next(limited, 1)
	switch {
	case err == nil:
		return got[0], true, nil
	case ctx.Err() == nil && limited.Err() != nil:
		return Message{}, false, nil
	}
	return Message{}, false, err
}

// Close implements Reader.
func (r *jetstreamReader) Close() {
	_ = r.sub.Unsubscribe() // an error says that the connection is gone
	r.nc.RemoveStatusListener(r.state)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(errClosed)
}
