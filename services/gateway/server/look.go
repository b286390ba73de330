package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/services/gateway"
)

// lookInterval is the least time from one look at the log to the next. Each costs the stream's leader a message; whoever
// names pins that do not exist causes ten in a second and no more, and waits a tenth of a second longer for its answer.
const lookInterval = 100 * time.Millisecond

// looker brings a gateway up to what a family of the log held when it was asked: another gateway may have written what
// this one has not folded yet. All who ask while a look is to begin share it.
type looker struct {
	log    eventlog.Log
	runner *fold.Runner
	family fact.Family

	mu    sync.Mutex
	next  *look // that has not begun; nil = none
	began time.Time
}

// look is one question to the log.
type look struct {
	done chan struct{} // closed when last and err are set
	last fact.Seq      // of the family
	err  error
}

func newLooker(log eventlog.Log, runner *fold.Runner, family fact.Family) *looker {
	return &looker{log: log, runner: runner, family: family}
}

// catchUp returns when the gateway has folded all that the family held at the time of the call.
func (l *looker) catchUp(ctx context.Context) error {
	look := l.join()
	select {
	case <-look.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if look.err != nil {
		return look.err
	}
	return l.runner.Wait(ctx, look.last)
}

// join returns the look that begins next.
func (l *looker) join() *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = &look{done: make(chan struct{})}
		time.AfterFunc(time.Until(l.began.Add(lookInterval)), l.ask)
	}
	return l.next
}

func (l *looker) ask() {
	l.mu.Lock()
	look := l.next
	l.next, l.began = nil, time.Now() // who comes from here on needs a later one
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	m, _, err := l.log.LastOf(ctx, l.family)
	look.last, look.err = m.Seq, err
	close(look.done)
}

// notInRoster reports whether a refusal may be for want of facts that the gateway has not folded yet.
func notInRoster(err error) bool {
	var r *gateway.Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Reason {
	case gateway.UnknownPin, gateway.UnknownPeer, gateway.UnpairedPin:
		return true
	}
	return false
}
