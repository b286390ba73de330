package server

import (
	"context"
	"crypto/sha256"
	"flag"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// games names the Games of these tests.
const games = "tokyo2020"

var seedFlag = flag.Uint64("seed", 0, "seed of the random faults; 0 = a random one, printed")

// newRand returns a source of random faults, and says how to have the same again.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	t.Logf("seed %d; again: go test -run %s ./services/gateway/server -seed %d", seed, t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// lockedRand is a source for several goroutines.
type lockedRand struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// chance returns true with probability p.
func (r *lockedRand) chance(p float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.Float64() < p
}

func (r *lockedRand) intN(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

// machineClock is the clock of this machine, or of the bubble that a test runs in.
func machineClock() fact.UnixMilli { return fact.UnixMilli(time.Now().UnixMilli()) }

var quiet = slog.New(slog.DiscardHandler)

// sequence makes the first Appends to a log go wrong, each by its fault, and no further one.
func sequence(list ...eventlog.Fault) func(eventlog.Batch) eventlog.Fault {
	var mu sync.Mutex
	return func(eventlog.Batch) eventlog.Fault {
		mu.Lock()
		defer mu.Unlock()
		if len(list) == 0 {
			return eventlog.NoFault
		}
		f := list[0]
		list = list[1:]
		return f
	}
}

// begun returns a log that has begun, and what makes its further Appends go wrong.
func begun(t testing.TB, faults eventlog.Faults) *eventlog.Memory {
	t.Helper()
	started := false
	inner := faults
	faults.Append = func(b eventlog.Batch) eventlog.Fault {
		if !started || inner.Append == nil {
			return eventlog.NoFault
		}
		return inner.Append(b)
	}
	faults.Enter = func(call string) error {
		if !started || inner.Enter == nil {
			return nil
		}
		return inner.Enter(call)
	}
	log := eventlog.NewMemory(machineClock, faults)
	if err := genesis(t.Context(), Config{Config: serve.Config{Logger: quiet}, Now: machineClock}, log); err != nil {
		t.Fatal(err)
	}
	started = true
	return log
}

// entries returns all facts of the log.
func entries(t testing.TB, log eventlog.Log) []fact.Entry {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var list []fact.Entry
	for len(list) < int(head.Last) {
		msgs, err := reader.Next(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			e, err := m.Decode()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, e)
		}
	}
	return list
}

// storeLate lets all batches arrive that are still on their way.
func storeLate(log *eventlog.Memory) {
	for log.StoreLate() {
	}
}

// countOf returns how many facts of type F the log holds.
func countOf[F fact.Fact](t testing.TB, log eventlog.Log) int {
	t.Helper()
	n := 0
	for _, e := range entries(t, log) {
		if _, ok := e.Fact.(F); ok {
			n++
		}
	}
	return n
}

// startGateway runs a gateway on the log without its network: the fold, the committer, and the API to call.
func startGateway(t testing.TB, log eventlog.Log, change ...func(*Config)) *api {
	t.Helper()
	c := Config{Config: serve.Config{Games: games, Logger: quiet}, Limits: DefaultLimits(), Now: machineClock}
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	runner, err := fold.Open(ctx, fold.Config{
		Core: gateway.Core{}, Log: log, View: view.NewMemory(), Logger: quiet,
		Backoff: func(int) time.Duration { return time.Millisecond },
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	a := newAPI(c, log, eventlog.Position{Epoch: 1}, runner, &services{})
	if head, err := log.Head(ctx); err == nil { // the hub of these tests reads from the beginning
		a.end = head.Last
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return runner.Run(ctx) })
	group.Go(func() error { return a.committer.run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("the gateway ended: %v", err)
		}
	})
	return a
}

// person is a wearer with a pin.
type person struct {
	wearer fact.WearerID
	pin    *client.Pin
}

func newPerson(name string) person {
	secret := sha256.Sum256([]byte("person " + name))
	return person{wearer: fact.WearerID(secret[:16]), pin: client.RestorePin(secret, 0)}
}

// stranger is a half that nobody signed, made of a number: the committer does not look into it.
func stranger(i uint32) (key [32]byte, f fact.Fact) {
	h := fact.Half{Pin: fact.PinID{1}, Peer: fact.PinID{2}, Counter: fact.Counter(i), Link: fact.LinkWire}
	return sha256.Sum256(statement.AppendHalf(nil, h)), fact.HalfReported{Half: h}
}

// numberOf returns the number that the half in the log was made of, if it is one.
func numberOf(e fact.Entry) (i uint32, ok bool) {
	f, ok := e.Fact.(fact.HalfReported)
	return uint32(f.Half.Counter), ok
}

// otherRules are rules that differ from the default.
func otherRules() *fact.Rules {
	r := rules.Tokyo2020()
	r.Name, r.StepGoal = "other", 8000
	return &r
}
