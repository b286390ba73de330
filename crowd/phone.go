package crowd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pinfold/client"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// phone carries what its wearer's pin holds to the gateway.
type phone struct {
	wearer fact.WearerID
	pin    *client.Pin
	times  int // that it delivers each upload; 0 = once
	habits

	mu     sync.Mutex
	outbox []client.Signed
	busy   bool        // it delivers, or is queued to
	failed func(error) // as in Config
}

// countsSteps reports whether the pin reports steps: one whose clock was never set does not know when they were, and
// those of a phone that is never online come to nobody.
func (p *phone) countsSteps() bool { return !p.unset && !p.never }

// put adds statements to the outbox and reports whether the phone is to be queued for delivery.
func (p *phone) put(statements []client.Signed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox = append(p.outbox, statements...)
	if p.busy || len(p.outbox) == 0 || p.real && p.rng.Float64() >= comesOnline {
		return false
	}
	p.busy = true
	return true
}

// wakeUp reports whether the phone is to be queued for delivery because it holds something.
func (p *phone) wakeUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || len(p.outbox) == 0 {
		return false
	}
	p.busy = true
	return true
}

// take removes the next upload from the outbox. An empty one means that the phone is no longer busy.
func (p *phone) take() []client.Signed {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.outbox), client.MaxUpload)
	if p.real && n > 0 {
		p.rng.Shuffle(len(p.outbox), func(i, j int) { p.outbox[i], p.outbox[j] = p.outbox[j], p.outbox[i] })
		n = 1 + p.rng.IntN(n)
	}
	upload := p.outbox[:n:n]
	p.outbox = p.outbox[n:]
	p.busy = n > 0
	return upload
}

// answerLost reports whether the answer to an upload does not arrive.
func (p *phone) answerLost() bool {
	if !p.real {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.Float64() < losesAnswer
}

// pair proves to the gateway that the wearer has the pin.
func (p *phone) pair(ctx context.Context, gateway *client.Gateway) error {
	for {
		err := client.Persist(ctx, func(ctx context.Context) error {
			challenge, err := gateway.BeginPairing(ctx, p.wearer)
			if err != nil {
				return err
			}
			return gateway.PairPin(ctx, p.pin.Prove(challenge, Midnight))
		}, p.failed)
		switch {
		case client.ReasonOf(err) == gatewayv1.Reason_REASON_CHALLENGE_EXPIRED: // the gateway was started again meanwhile
		case err != nil:
			return fmt.Errorf("pair pin %v: %w", p.pin.ID(), err)
		default:
			return nil
		}
	}
}

// deliver uploads the statements until each one has its final answer, which it hands to done.
func (p *phone) deliver(ctx context.Context, gateway *client.Gateway, upload []client.Signed,
	done func(client.Signed, *gatewayv1.Answer),
) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		var answers []*gatewayv1.Answer
		for range max(p.times, 1) {
			err := client.Persist(ctx, func(ctx context.Context) error {
				r, err := gateway.Deliver(ctx, p.pin.ID(), upload...)
				if err == nil && p.answerLost() {
					return errLost
				}
				answers = r.GetAnswers()
				return err
			}, func(err error) {
				if p.failed != nil && !errors.Is(err, errLost) {
					p.failed(err)
				}
			})
			if err != nil {
				return fmt.Errorf("deliver for pin %v: %w", p.pin.ID(), err)
			}
		}
		var again []client.Signed
		for i, a := range answers {
			if a.GetReason() == gatewayv1.Reason_REASON_CLOSED { // a crowd's days are played at once: it waits for no opening
				return fmt.Errorf("deliver for pin %v: the Games are %s", p.pin.ID(), a.GetDetail())
			}
			if a.GetStatus() == gatewayv1.Status_STATUS_REFUSED && a.GetRetry() {
				again = append(again, upload[i])
				continue
			}
			done(upload[i], a)
		}
		if len(again) == 0 {
			return nil
		}
		upload = again
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// errLost stands for an answer that the radio swallowed.
var errLost = &client.Error{Detail: "the answer was lost", Passes: true}

const (
	firstPause = 10 * time.Millisecond
	maxPause   = time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
