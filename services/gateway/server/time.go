package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// keepTime writes that time has passed, unless another gateway just has. It begins when the log's end, as this gateway found
// it, is folded: before that, the folds' time is of long ago.
func (a *api) keepTime(ctx context.Context) error {
	if err := a.runner.Wait(ctx, a.end); err != nil {
		return nil // the context has ended
	}
	ticker := time.NewTicker(TimeInterval / 4)
	defer ticker.Stop()
	for {
		if err := a.claimTime(ctx); err != nil && ctx.Err() == nil {
			a.config.Logger.Warn("the time was not written, trying again", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *api) claimTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, TimeInterval/4)
	defer cancel()
	var folds fact.UnixMilli
	var corrected fact.Seq
	if err := a.runner.Query(func(_ fact.Seq, r view.Reader) error {
		folds, corrected = roster.Now(r), gateway.LastCorrection(r)
		return nil
	}); err != nil {
		return err
	}
	claim, last := a.time.next(folds, corrected)
	_, written, err := a.clock.write(ctx, func(r kv.Reader) ([]fact.Fact, error) {
		if claim < max(roster.Now(r), last).Add(TimeInterval) || gateway.LastCorrection(r) != corrected {
			return nil, nil
		}
		return []fact.Fact{fact.TimePassed{Time: claim}}, nil
	})
	if written > 0 {
		a.time.claimed(claim)
	}
	return err
}

// timekeeper reads the clock of the machine, and says what is wrong with it.
type timekeeper struct {
	config Config
	began  time.Time // by the monotonic clock
	jumps  prometheus.Counter

	mu     sync.Mutex
	claims claims
}

func newTimekeeper(c Config) *timekeeper {
	return &timekeeper{config: c, began: time.Now(), jumps: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pinfold_clock_jumps_total",
		Help: "Times that the clock of this gateway's machine went ahead by more than a minute, or was found a day ahead at the start.",
	})}
}

// next returns the time that may be claimed now, and the last one that was claimed; see claims.
func (k *timekeeper) next(folds fact.UnixMilli, corrected fact.Seq) (claim, last fact.UnixMilli) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := reading{wall: k.config.Now(), mono: time.Since(k.began), folds: folds, corrected: corrected}
	claim, due, v := k.claims.next(r)
	switch v {
	case jumped:
		k.jumps.Inc()
		k.config.Logger.Warn("the clock of this machine went ahead and is believed: if it is wrong, set it, and then correct-time",
			"clock", r.wall.String(), "expected", due.String())
	case doubted:
		k.jumps.Inc()
		k.config.Logger.Warn("the clock of this machine is too far ahead to be believed at once", "why", k.claims.doubt.String())
	case believed:
		k.config.Logger.Warn("the clock of this machine has said so for an hour and is believed: if it is wrong, set it, and then correct-time",
			"clock", r.wall.String(), "expected", due.String())
	}
	return claim, k.claims.last
}

// claimed takes note of a claim that is in the log.
func (k *timekeeper) claimed(t fact.UnixMilli) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claims.last = t
}

// reasons says whether the clock is in doubt.
func (k *timekeeper) reasons() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claims.doubt == (doubt{}) {
		return nil
	}
	return []string{k.claims.doubt.String()}
}

func (d doubt) String() string {
	return fmt.Sprintf("the clock showed %v where %v was expected: the log's time goes on from there until the clock has said so for an hour; "+
		"set the clock if it is wrong, or the time of the log at once if it is right: correct-time", d.wall, d.due)
}
