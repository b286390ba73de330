package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

const (
	// staleAfter is for how long a write may wait before writes have stopped (docs/design.md section 7, "Fresh or behind").
	staleAfter = 5 * time.Second
	// givenUpAfter is for how long a write that failed counts as one that waits, unless another fails: who wrote it comes
	// again or has gone, and the time is written every minute.
	givenUpAfter = TimeInterval
	// maxToCome bounds the stored writes that are remembered until they come by.
	maxToCome = 1024
)

// writes is a log that knows whether what this gateway appends gets through: a batch waits until it has come by in the
// gateway's own reading. Nothing else proves that the log takes writes and that what is read is not old: a server that is
// cut off answers questions about the stream, and heartbeats, for ever.
type writes struct {
	eventlog.Log
	folded func() fact.Seq // how far the gateway reads

	mu       sync.Mutex
	inFlight map[*write]struct{} // not answered yet
	unread   []*write            // stored, and not come by yet, in the order of the answers
	failed   failure             // of those that were not stored since the last one that came by
}

// write is a batch that this gateway appends.
type write struct {
	began time.Time
	seq   fact.Seq // where it ends; 0 = not known yet
}

// failure is why writes fail, and when the first of them began and the last one ended.
type failure struct {
	err         error // nil = none does
	first, last time.Time
}

func newWrites(log eventlog.Log, folded func() fact.Seq) *writes {
	return &writes{Log: log, folded: folded, inFlight: map[*write]struct{}{}}
}

// Append implements eventlog.Log.
func (w *writes) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	one := &write{began: time.Now()}
	w.mu.Lock()
	w.inFlight[one] = struct{}{}
	w.mu.Unlock()
	seq, err := w.Log.Append(ctx, b)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inFlight, one)
	w.comeBy()
	switch {
	case err == nil:
		if one.seq = seq; len(w.unread) < maxToCome {
			w.unread = append(w.unread, one)
		}
	case isOutage(err), errors.Is(err, eventlog.ErrRefused) && len(b.Records) == 1: // it was not their number
		if w.failed.err == nil {
			w.failed.first = one.began
		}
		w.failed.err, w.failed.last = err, time.Now()
	}
	return seq, err
}

// isOutage reports whether a batch was not stored, as far as is known, because the log takes none: not because another
// was first, or because its writer has gone.
func isOutage(err error) bool {
	for _, outage := range []error{
		eventlog.ErrFull, eventlog.ErrNotStored, eventlog.ErrUnanswered, eventlog.ErrUnreachable, context.DeadlineExceeded,
	} {
		if errors.Is(err, outage) {
			return true
		}
	}
	return false
}

// comeBy forgets the writes that have come by, the failures that began before them, and those that are given up. The
// caller holds w.mu.
func (w *writes) comeBy() {
	at, kept := w.folded(), w.unread[:0]
	for _, one := range w.unread {
		if one.seq > at {
			kept = append(kept, one)
		} else if one.began.After(w.failed.first) {
			w.failed = failure{}
		}
	}
	clear(w.unread[len(kept):])
	w.unread = kept
	if time.Since(w.failed.last) > givenUpAfter {
		w.failed = failure{}
	}
}

// stopped returns for how long the write that waits longest has waited, if that is too long, else 0, and the error of
// the last one if it failed.
func (w *writes) stopped() (time.Duration, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.comeBy()
	oldest := time.Now()
	note := func(t time.Time) {
		if t.Before(oldest) {
			oldest = t
		}
	}
	if w.failed.err != nil {
		note(w.failed.first)
	}
	for one := range w.inFlight {
		note(one.began)
	}
	for _, one := range w.unread {
		note(one.began)
	}
	if d := time.Since(oldest); d > staleAfter {
		return d, w.failed.err
	}
	return 0, nil
}

// reasons says whether writes have stopped.
func (w *writes) reasons() []string {
	d, err := w.stopped()
	switch {
	case d == 0:
		return nil
	case err != nil:
		return []string{fmt.Sprintf("writes stopped %v ago: %v", d.Round(time.Second), err)}
	}
	return []string{fmt.Sprintf("writes stopped %v ago", d.Round(time.Second))}
}
