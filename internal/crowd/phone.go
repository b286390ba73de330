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

// phone carries what its wearer's pin signed to the gateway.
type phone struct {
	wearer fact.WearerID
	pin    *Pin

	mu     sync.Mutex
	outbox []Signed
	busy   bool // it delivers, or is queued to
}

// put adds a statement to the outbox and reports whether the phone is to be queued for delivery.
func (p *phone) put(s Signed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox = append(p.outbox, s)
	queue := !p.busy
	p.busy = true
	return queue
}

// take removes the next upload from the outbox. An empty one means that the phone is no longer busy.
func (p *phone) take() []Signed {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.outbox), maxUpload)
	upload := p.outbox[:n:n]
	p.outbox = p.outbox[n:]
	p.busy = n > 0
	return upload
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
		err := persist(ctx, func(ctx context.Context) error {
			r, err := gateway.Deliver(ctx, b.Build())
			answers = r.GetAnswers()
			return err
		})
		if err != nil {
			return fmt.Errorf("deliver for pin %v: %w", p.pin.ID(), err)
		}
		var again []Signed
		for i, a := range answers {
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
