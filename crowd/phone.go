package crowd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// maxUpload is the most statements that a gateway takes at once.
const maxUpload = 500

// phone carries what its wearer's pin holds to the gateway.
type phone struct {
	wearer fact.WearerID
	pin    *Pin
	times  int // that it delivers each upload; 0 = once
	habits

	mu     sync.Mutex
	outbox []Signed
	busy   bool // it delivers, or is queued to
}

// countsSteps reports whether the pin reports steps: one whose clock was never set does not know when they were, and
// those of a phone that is never online come to nobody.
func (p *phone) countsSteps() bool { return !p.unset && !p.never }

// put adds statements to the outbox and reports whether the phone is to be queued for delivery.
func (p *phone) put(statements []Signed) bool {
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
func (p *phone) take() []Signed {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.outbox), maxUpload)
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
func (p *phone) pair(ctx context.Context, gateway gatewayv1.GatewayServiceClient) error {
	err := persist(ctx, func(ctx context.Context) error {
		c, err := gateway.BeginPairing(ctx, gatewayv1.BeginPairingRequest_builder{Wearer: p.wearer.String()}.Build())
		if err != nil {
			return err
		}
		raw, sig := p.pin.Prove(fact.Challenge(c.GetChallenge()), Midnight)
		_, err = gateway.PairPin(ctx, gatewayv1.PairPinRequest_builder{Statement: raw, Signature: sig[:]}.Build())
		return err
	})
	if err != nil {
		return fmt.Errorf("pair pin %v: %w", p.pin.ID(), err)
	}
	return nil
}

// deliver uploads the statements until each one has its final answer, which it hands to done.
func (p *phone) deliver(ctx context.Context, gateway gatewayv1.GatewayServiceClient, upload []Signed,
	done func(Signed, *gatewayv1.Answer),
) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		b := gatewayv1.DeliverRequest_builder{Carrier: p.pin.ID().String()}
		for _, s := range upload {
			b.Statements = append(b.Statements, gatewayv1.SignedStatement_builder{Statement: s.Statement, Signature: s.Signature[:]}.Build())
		}
		var answers []*gatewayv1.Answer
		for range max(p.times, 1) {
			err := persist(ctx, func(ctx context.Context) error {
				r, err := gateway.Deliver(ctx, b.Build())
				if err == nil && p.answerLost() {
					return errLost
				}
				answers = r.GetAnswers()
				return err
			})
			if err != nil {
				return fmt.Errorf("deliver for pin %v: %w", p.pin.ID(), err)
			}
		}
		if len(answers) != len(upload) {
			return fmt.Errorf("deliver for pin %v: %d answers to %d statements", p.pin.ID(), len(answers), len(upload))
		}
		var again []Signed
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
var errLost = status.Error(codes.Unavailable, "the answer was lost")

const (
	callTimeout = 20 * time.Second
	firstPause  = 10 * time.Millisecond
	maxPause    = time.Second
)

// persist makes a call again and again while its error is one that passes: the gateway is away, starts, or is slow.
func persist(ctx context.Context, call func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			return call(ctx)
		}()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted:
		case codes.FailedPrecondition:
			if !begunAnew(err) {
				return err
			}
		default:
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// begunAnew reports whether the call begins anew what went stale, so that doing it again helps: a challenge is
// forgotten by a gateway that was started again.
func begunAnew(err error) bool { return reasonOf(err) == "CHALLENGE_EXPIRED" }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
