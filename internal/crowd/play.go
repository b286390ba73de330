package crowd

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

const (
	// deliverAtOnce is how many phones are online at the same time.
	deliverAtOnce = 128
	// maxOnTheWay bounds the halves that are signed and have no answer yet.
	maxOnTheWay = 20_000
)

// report is what a crowd has done.
type report struct {
	taps      int
	delivered int    // halves accepted, now or before
	refused   int    // halves refused for good
	lastSeq   uint64 // the highest sequence of an accepted half
}

// meeting is a tap whose two pins have approached each other.
type meeting struct {
	a, b         *phone
	sideA, sideB *Side
	at           fact.UnixMilli
}

// play lets all encounters happen. Pins approach in the order of the encounters, so that their counters are the same
// each time; from then on taps and uploads go on beside each other. It returns when every half has its answer.
func (c *Crowd) play(ctx context.Context) (report, error) {
	p := &game{
		crowd:  c,
		online: make(chan *phone, len(c.phones)),
		room:   semaphore.NewWeighted(maxOnTheWay),
		report: report{taps: len(c.config.Contacts.Encounters)},
	}
	meetings := make(chan meeting, 64)
	deliveries, ctx := errgroup.WithContext(ctx)
	for range deliverAtOnce {
		deliveries.Go(func() error { return p.deliver(ctx) })
	}
	taps, tapCtx := errgroup.WithContext(ctx)
	taps.Go(func() error { defer close(meetings); return p.approach(tapCtx, meetings) })
	for range runtime.GOMAXPROCS(0) {
		taps.Go(func() error { return p.tap(tapCtx, meetings) })
	}
	err := taps.Wait()
	if err == nil {
		err = p.room.Acquire(ctx, maxOnTheWay) // until every half has its answer
	}
	close(p.online)
	if failed := deliveries.Wait(); failed != nil {
		err = failed
	}
	return p.report, err
}

// game is one run of play.
type game struct {
	crowd  *Crowd
	online chan *phone // phones with something to deliver; each is in it at most once
	room   *semaphore.Weighted

	mu     sync.Mutex
	report report
}

func (g *game) approach(ctx context.Context, meetings chan<- meeting) error {
	for _, e := range g.crowd.config.Contacts.Encounters {
		if err := g.room.Acquire(ctx, 2); err != nil {
			return err
		}
		a, b := g.crowd.phones[e.A], g.crowd.phones[e.B]
		m := meeting{a: a, b: b, sideA: a.pin.Approach(), sideB: b.pin.Approach(), at: Midnight.Add(e.Begin)}
		select {
		case meetings <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (g *game) tap(ctx context.Context, meetings <-chan meeting) error {
	for m := range meetings {
		halfA, halfB, err := meet(m.sideA, m.sideB, m.at)
		if err != nil {
			return err
		}
		for _, out := range []struct {
			*phone
			Signed
		}{{m.a, halfA}, {m.b, halfB}} {
			if out.put(out.Signed) {
				g.online <- out.phone // has room for every phone
			}
		}
	}
	return ctx.Err()
}

func (g *game) deliver(ctx context.Context) error {
	for p := range g.online {
		for upload := p.take(); len(upload) > 0; upload = p.take() {
			if err := p.deliver(ctx, g.crowd.gateway, upload, g.answered); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *game) answered(s Signed, a *gatewayv1.Answer) {
	if g.crowd.config.Answered != nil {
		g.crowd.config.Answered(s.Statement, a)
	}
	g.mu.Lock()
	if a.GetStatus() == gatewayv1.Status_STATUS_REFUSED {
		g.report.refused++
	} else {
		g.report.delivered++
		g.report.lastSeq = max(g.report.lastSeq, a.GetSeq())
	}
	answered := g.report.delivered + g.report.refused
	g.mu.Unlock()
	if g.crowd.config.Progress != nil {
		g.crowd.config.Progress(answered, 2*g.report.taps)
	}
	g.room.Release(1)
}

// reasonOf returns the name of the reason that a gateway's error carries, or "".
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
