package crowd

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"pinfold/client"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

const (
	// deliverAtOnce is how many phones are online at the same time.
	deliverAtOnce = 128
	// maxOnTheWay bounds the statements of perfect phones that are signed and have no answer yet.
	maxOnTheWay = 20_000
)

// report is what a crowd has done.
type report struct {
	delivered int    // statements accepted, now or before
	halves    int    // of these, halves, each counted once
	refused   int    // statements refused for good
	lastSeq   uint64 // the highest sequence of an accepted statement
}

// game is one run of play.
type game struct {
	crowd  *Crowd
	online chan *phone // phones with something to deliver; each is in it at most once
	room   *semaphore.Weighted
	limit  int64 // of room

	mu     sync.Mutex
	report report
	seen   map[[8]byte]bool // of real phones: halves that were accepted, by the beginning of their signature
}

// play lets all encounters and walks happen, and returns when every statement that comes to a gateway has its answer.
// Pins approach each other and count in the order of time, so that their counters are the same each time; from then on
// taps and uploads go on beside each other.
func (c *Crowd) play(ctx context.Context) (report, error) {
	g := &game{crowd: c, online: make(chan *phone, len(c.phones)), limit: maxOnTheWay, seen: map[[8]byte]bool{}}
	if c.config.Phones == RealPhones {
		g.limit = int64(c.statements) + 1 // they keep what they have not delivered to themselves
	}
	g.room = semaphore.NewWeighted(g.limit)
	meetings := make(chan meeting, 64)
	deliveries, ctx := errgroup.WithContext(ctx)
	for range deliverAtOnce {
		deliveries.Go(func() error { return g.deliver(ctx) })
	}
	taps, tapCtx := errgroup.WithContext(ctx)
	taps.Go(func() error { defer close(meetings); return g.live(tapCtx, meetings) })
	for range runtime.GOMAXPROCS(0) {
		taps.Go(func() error { return g.tap(tapCtx, meetings) })
	}
	err := taps.Wait()
	if err == nil {
		g.goOnline()
		err = g.room.Acquire(ctx, g.limit) // until every statement has its answer
	}
	close(g.online)
	if failed := deliveries.Wait(); failed != nil {
		err = failed
	}
	return g.report, err
}

// meeting is a tap whose two pins have approached each other.
type meeting struct {
	a, b         *phone
	sideA, sideB *client.Side
	at           fact.UnixMilli
}

// live goes through the days of the crowd.
func (g *game) live(ctx context.Context, meetings chan<- meeting) error {
	walks := g.crowd.config.Contacts.Walks
	pace := newPace(g.crowd.config)
	for _, e := range g.crowd.config.Contacts.Encounters {
		n := slices.IndexFunc(walks, func(w Walk) bool { return w.Begin > e.Begin })
		if n < 0 {
			n = len(walks)
		}
		if err := g.walk(ctx, walks[:n]); err != nil {
			return err
		}
		walks = walks[n:]
		if err := pace.wait(ctx, e.Begin); err != nil {
			return err
		}
		a, b := g.crowd.phones[e.A], g.crowd.phones[e.B]
		if err := g.room.Acquire(ctx, int64(a.carries()+b.carries())); err != nil {
			return err
		}
		m := meeting{a: a, b: b, sideA: a.pin.Approach(), sideB: b.pin.Approach(), at: Midnight.Add(e.Begin)}
		select {
		case meetings <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.walk(ctx, walks)
}

// walk lets pins report their steps.
func (g *game) walk(ctx context.Context, walks []Walk) error {
	for _, w := range walks {
		p := g.crowd.phones[w.Person]
		if !p.countsSteps() {
			continue
		}
		if err := g.room.Acquire(ctx, 1); err != nil {
			return err
		}
		g.hand(p, p.pin.Count(client.SlotAt(Midnight.Add(w.Begin)), w.Steps))
	}
	return nil
}

func (g *game) tap(ctx context.Context, meetings <-chan meeting) error {
	for m := range meetings {
		halfA, halfB, err := client.Tap(m.sideA, m.sideB, m.a.clock(m.at), m.b.clock(m.at))
		if err != nil {
			return err
		}
		g.hand(m.a, halfA, halfB)
		g.hand(m.b, halfB, halfA)
	}
	return ctx.Err()
}

// hand gives a phone what its pin holds, its own statement first.
func (g *game) hand(p *phone, statements ...client.Signed) {
	if p.put(statements[:min(p.carries(), len(statements))]) {
		g.online <- p // has room for every phone
	}
}

// goOnline lets every phone deliver what it still holds.
func (g *game) goOnline() {
	for _, p := range g.crowd.phones {
		if p.wakeUp() {
			g.online <- p
		}
	}
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

func (g *game) answered(s client.Signed, a *gatewayv1.Answer) {
	if g.crowd.config.Answered != nil {
		g.crowd.config.Answered(s.Statement, a)
	}
	g.mu.Lock()
	if a.GetStatus() == gatewayv1.Status_STATUS_REFUSED {
		g.report.refused++
	} else {
		g.report.delivered++
		if kind, _ := statement.KindOf(s.Statement); kind == statement.KindHalf && g.first(s) {
			g.report.halves++
		}
		g.report.lastSeq = max(g.report.lastSeq, a.GetSeq())
	}
	answered := g.report.delivered + g.report.refused
	g.mu.Unlock()
	if g.crowd.config.Progress != nil {
		g.crowd.config.Progress(answered, g.crowd.statements)
	}
	g.room.Release(1)
}

// first says that a half was not accepted before: a perfect phone delivers its own pin's only, once.
func (g *game) first(s client.Signed) bool {
	if g.crowd.config.Phones != RealPhones {
		return true
	}
	key := [8]byte(s.Signature[:])
	if g.seen[key] {
		return false
	}
	g.seen[key] = true
	return true
}

// pace lets the crowd's time go by a number of times as fast as real time, or as fast as it can.
type pace struct {
	speed float64 // 0 = as fast as it can
	first time.Duration
	began time.Time
}

func newPace(c Config) pace {
	p := pace{speed: c.Speed, began: time.Now()}
	if len(c.Contacts.Encounters) > 0 {
		p.first = c.Contacts.Encounters[0].Begin
	}
	return p
}

func (p pace) wait(ctx context.Context, at time.Duration) error {
	if p.speed == 0 {
		return nil
	}
	return sleep(ctx, time.Until(p.began.Add(time.Duration(float64(at-p.first)/p.speed))))
}
