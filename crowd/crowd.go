// Package crowd simulates people with pins and phones. They speak the real protocol: pins sign with real keys and check
// each other, phones deliver to a gateway over gRPC.
package crowd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"pinfold/client"
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
	// Enrolled, if not nil, is called as people pair their pins, by several goroutines: each has its turn.
	Enrolled func(enrolled, total int)
	// Progress, if not nil, is called as statements get their final answer.
	Progress func(answered, total int)
	// Failed, if not nil, is told of each error after which a call to the gateway is made again, by several goroutines.
	Failed func(error)
	// Answered, if not nil, is called with the final answer to each statement, by several goroutines.
	Answered func(raw []byte, a *gatewayv1.Answer)
}

// Crowd is a number of people, each with a pin and a phone.
type Crowd struct {
	config     Config
	gateway    *client.Gateway
	phones     []*phone
	statements int // that will come to the gateway, each counted once for each phone that carries it
}

// New makes a crowd. With the same seed, contacts and phones it is the same one, and signs the same statements again. Where
// one of them differs, so do all pins and wearers: a pin that told another story with the counters that it has used would
// be taken for a copy.
func New(c Config) *Crowd {
	crowd := &Crowd{config: c, gateway: client.New(c.Gateway)}
	all := make([]habits, c.Contacts.People)
	if c.Phones == RealPhones {
		all = realHabits(c.Contacts, c.Seed)
	}
	story := c.story()
	for i, h := range all {
		secret := sha256.Sum256(fmt.Appendf(story, " person %d", i))
		crowd.phones = append(crowd.phones, &phone{
			wearer: wearerOf(secret), pin: client.RestorePin(secret, 0), habits: h, times: c.Times, failed: c.Failed,
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

// wearerOf returns the wearer that follows from the secret of their pin.
func wearerOf(secret [32]byte) fact.WearerID {
	sum := sha256.Sum256(slices.Concat(secret[:], []byte("wearer"), make([]byte, 8)))
	return fact.WearerID(sum[:len(fact.WearerID{})])
}

// Wearer returns the wearer with the given number.
func (c *Crowd) Wearer(i int) fact.WearerID { return c.phones[i].wearer }

// enrolAtOnce is how many wearers pair their pins at the same time: a gateway writes what is asked of it at once together,
// up to 1,000 facts.
const enrolAtOnce = 1024

// enrol registers the pins, and lets those that are registered be paired meanwhile.
func (c *Crowd) enrol(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(enrolAtOnce)
	var paired atomic.Int64
	var err error
	for some := range slices.Chunk(c.phones, client.MaxRegister) {
		var keys []client.PublicKey
		for _, p := range some {
			keys = append(keys, p.pin.Key())
		}
		if err = client.Persist(ctx, func(ctx context.Context) error { return c.gateway.Register(ctx, keys...) }, c.config.Failed); err != nil {
			err = fmt.Errorf("register pins: %w", err)
			break
		}
		for _, p := range some {
			group.Go(func() error {
				err := p.pair(ctx, c.gateway)
				if n := paired.Add(1); err == nil && c.config.Enrolled != nil {
					c.config.Enrolled(int(n), len(c.phones))
				}
				return err
			})
		}
	}
	if failed := group.Wait(); failed != nil {
		return failed // then registering ended because of it
	}
	return err
}
