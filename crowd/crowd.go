// Package crowd simulates people with pins and phones. They speak the real protocol: pins sign with real keys and check
// each other, phones deliver to a gateway over gRPC.
package crowd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// Midnight is the midnight before the first day of every crowd: 23 July 2021 in Tokyo. It is fixed, so that a crowd
// that plays again signs the very same statements.
var Midnight = fact.UnixMilli(time.Date(2021, 7, 23, 0, 0, 0, 0, time.FixedZone("JST", 9*3600)).UnixMilli())

// Config says who meets whom, and through which gateway it is reported.
type Config struct {
	Gateway  grpc.ClientConnInterface
	Contacts Contacts
	Phones   Phones  // "" = perfect ones
	Seed     uint64  // of keys, wearers, nonces and habits; see New
	Times    int     // how often each upload is delivered; 0 = once
	Speed    float64 // how many times as fast as real time the days go by; 0 = as fast as they can
	// Progress, if not nil, is called as halves are delivered.
	Progress func(delivered, total int)
	// Answered, if not nil, is called with the final answer to each statement, by several goroutines.
	Answered func(raw []byte, a *gatewayv1.Answer)
}

// Crowd is a number of people, each with a pin and a phone.
type Crowd struct {
	config     Config
	gateway    gatewayv1.GatewayServiceClient
	phones     []*phone
	statements int // that will come to the gateway, each counted once for each phone that carries it
}

// New makes a crowd. With the same seed, contacts and phones it is the same one, and signs the same statements again. Where
// one of them differs, so do all pins and wearers: a pin that told another story with the counters that it has used would
// be taken for a copy.
func New(c Config) *Crowd {
	crowd := &Crowd{config: c, gateway: gatewayv1.NewGatewayServiceClient(c.Gateway)}
	all := make([]habits, c.Contacts.People)
	if c.Phones == RealPhones {
		all = realHabits(c.Contacts, c.Seed)
	}
	story := c.story()
	for i, h := range all {
		secret := sha256.Sum256(fmt.Appendf(story, " person %d", i))
		crowd.phones = append(crowd.phones, &phone{
			wearer: fact.WearerID(derive(secret, "wearer", 0)[:16]), pin: NewPin(secret), habits: h, times: c.Times,
		})
	}
	for _, e := range c.Contacts.Encounters {
		crowd.statements += crowd.phones[e.A].carries() + crowd.phones[e.B].carries()
	}
	for _, w := range c.Contacts.Walks {
		if crowd.phones[w.Person].countsSteps() {
			crowd.statements++
		}
	}
	return crowd
}

// story returns the hash of all that decides what the crowd's pins sign.
func (c *Config) story() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "crowd %d %q %d people\n", c.Seed, c.Phones, c.Contacts.People)
	for _, e := range c.Contacts.Encounters {
		fmt.Fprintln(h, e.Begin, e.A, e.B)
	}
	for _, w := range c.Contacts.Walks {
		fmt.Fprintln(h, w.Begin, w.Person, w.Steps)
	}
	return h.Sum(nil)
}

// Wearer returns the wearer with the given number.
func (c *Crowd) Wearer(i int) fact.WearerID { return c.phones[i].wearer }

// enrolAtOnce is how many wearers pair their pins at the same time.
const enrolAtOnce = 16

func (c *Crowd) enrol(ctx context.Context) error {
	const atOnce = 1000 // the most that a request may hold
	operator := gatewayv1.NewOperatorServiceClient(c.config.Gateway)
	for rest := c.phones; len(rest) > 0; rest = rest[min(atOnce, len(rest)):] {
		var b gatewayv1.RegisterPinsRequest_builder
		for _, p := range rest[:min(atOnce, len(rest))] {
			key := p.pin.Key()
			b.Pins = append(b.Pins, gatewayv1.Registration_builder{Pin: p.pin.ID().String(), PublicKey: key[:]}.Build())
		}
		if err := persist(ctx, func(ctx context.Context) error {
			_, err := operator.RegisterPins(ctx, b.Build())
			return err
		}); err != nil {
			return fmt.Errorf("register pins: %w", err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(enrolAtOnce)
	for _, p := range c.phones {
		group.Go(func() error { return p.pair(ctx, c.gateway) })
	}
	return group.Wait()
}

// meet plays one tap and returns both halves, which both pins keep.
func meet(m meeting) (halfA, halfB Signed, err error) {
	if halfA, err = m.sideA.Sign(m.sideB.Hello(), m.a.clock(m.at)); err != nil {
		return
	}
	if halfB, err = m.sideB.Sign(m.sideA.Hello(), m.b.clock(m.at)); err != nil {
		return
	}
	if err = m.sideA.Check(m.sideB.Hello(), halfB); err != nil {
		return
	}
	return halfA, halfB, m.sideB.Check(m.sideA.Hello(), halfA)
}
