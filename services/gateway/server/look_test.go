package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// lagging is a log whose readers come by each fact late, and which counts what it is asked.
type lagging struct {
	*eventlog.Memory
	lag  time.Duration
	away atomic.Bool // it cannot be asked
	asks atomic.Int64
}

func newLagging(t *testing.T, lag time.Duration) *lagging {
	s := &lagging{lag: lag}
	s.Memory = begun(t, eventlog.Faults{Enter: func(call string) error {
		switch call {
		case "Next":
			<-time.After(s.lag)
		case "LastOf":
			s.asks.Add(1)
			if s.away.Load() {
				return eventlog.ErrUnreachable
			}
		}
		return nil
	}})
	return s
}

// TestPairAtAnother: what one gateway has written counts at once at another, which has not read it yet.
func TestPairAtAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLagging(t, 500*time.Millisecond)
		one, other := startGateway(t, log), startGateway(t, log)
		anna, ben := newPerson("anna"), newPerson("ben")
		if _, err := log.Append(t.Context(), batch(registrations(anna, ben), nil)); err != nil {
			t.Fatal(err)
		}
		for _, p := range []person{anna, ben} {
			if _, err := pair(t.Context(), other, p.wearer, p.pin); err != nil {
				t.Errorf("pairing a pin that another gateway registered just now: %v", err)
			}
		}
		r, err := deliver(t.Context(), one, anna, append(halves(t, anna, ben, 2), halves(t, ben, anna, 1)...)...)
		if got, want := brief(t, r, err), "7 8 9"; got != want {
			t.Errorf("at a gateway that has not read the pairings yet: got %s, want %s", got, want)
		}
		if r.GetEpoch() != 1 {
			t.Errorf("got epoch %d, want 1", r.GetEpoch())
		}
		// While the log cannot be asked, the peer of a half may be known there.
		log.away.Store(true)
		r, err = deliver(t.Context(), one, anna, halves(t, anna, newPerson("carl"), 1)...)
		if got, want := brief(t, r, err), "LOG_UNAVAILABLE?"; got != want {
			t.Errorf("a peer that may be known: got %s, want %s", got, want)
		}
	})
}

// TestUnknownStaysUnknown: a pin that no gateway knows is called unknown, and strangers who ask for many at once have the
// log asked now and then.
func TestUnknownStaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLagging(t, time.Millisecond)
		a := startGateway(t, log)
		synctest.Wait()
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				for n := range 20 {
					p := newPerson(fmt.Sprint("stranger ", i, n))
					_, err := pair(t.Context(), a, p.wearer, p.pin)
					wantError(t, err, codes.FailedPrecondition, gatewayv1.Reason_REASON_UNKNOWN_PIN)
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		if asks, most := log.asks.Load(), int64(took/lookInterval)+1; asks > most {
			t.Errorf("4,000 strangers had the log asked %d times in %v, want %d at most", asks, took, most)
		}
		if each := took / 20; each > 2*lookInterval {
			t.Errorf("a stranger waited %v for an answer", each)
		}
	})
}

// TestUnknownUntilAsked: while the log cannot be asked, or the gateway does not come to what it holds, no pin is called
// unknown for good.
func TestUnknownUntilAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLagging(t, 0)
		a := startGateway(t, log)
		synctest.Wait()
		p, other := newPerson("p"), newPerson("other")

		log.away.Store(true)
		_, err := pair(t.Context(), a, p.wearer, p.pin)
		wantError(t, err, codes.Unavailable, unavailably)
		_, err = deliver(t.Context(), a, p, halves(t, p, other, 1)...)
		wantError(t, err, codes.Unavailable, unavailably)

		log.away.Store(false)
		log.lag = time.Hour
		if _, err := log.Append(t.Context(), batch(registrations(p, other), nil)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err = pair(ctx, a, p.wearer, p.pin)
		wantError(t, err, codes.Unavailable, unavailably)
		if took := time.Since(began); took != time.Second {
			t.Errorf("answered after %v, want the call's second", took)
		}
	})
}

func registrations(people ...person) (facts []fact.Fact) {
	for _, p := range people {
		facts = append(facts, fact.PinRegistered{Key: p.pin.Key()})
	}
	return facts
}
