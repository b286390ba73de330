package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// gated is a log whose next append waits until it is let go, and that notes how many facts each batch had.
type gated struct {
	*eventlog.Memory
	mu      sync.Mutex
	gate    chan struct{} // nil = nothing waits
	batches []int
}

// hold lets the appends from now on wait for what is returned.
func (h *gated) hold() (letGo func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gate := make(chan struct{})
	h.gate, h.batches = gate, nil
	return func() { close(gate) }
}

// Append implements eventlog.Log.
func (h *gated) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	h.mu.Lock()
	gate := h.gate
	h.batches = append(h.batches, len(b.Records))
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return h.Memory.Append(ctx, b)
}

// asked is what a caller asked of a gateway, and what it was told.
type asked struct {
	name   string
	call   func(context.Context, *api) (seq uint64, err error)
	seq    uint64
	err    error
	within time.Duration // 0 = it waits for as long as it takes
}

func askPair(name string, wearer fact.WearerID, p person) *asked {
	return &asked{name: name, call: func(ctx context.Context, a *api) (uint64, error) {
		r, err := pair(ctx, a, wearer, p.pin)
		return r.GetSeq(), err
	}}
}

func askRegister(name string, people ...person) *asked {
	return &asked{name: name, call: func(ctx context.Context, a *api) (uint64, error) {
		r, err := register(ctx, a, people...)
		return r.GetSeq(), err
	}}
}

// askTogether asks all of it while a first write, of nobody else's pin, is on its way: so all of it waits, in its order, for
// the next one. Then the log goes on.
func askTogether(t *testing.T, a *api, log *gated, list ...*asked) {
	t.Helper()
	if err := a.runner.Wait(t.Context(), fact.Seq(len(entries(t, log)))); err != nil { // or the first write is refused, and joins the others
		t.Fatal(err)
	}
	letGo := log.hold()
	var wg sync.WaitGroup
	for _, one := range append([]*asked{askRegister("first", newPerson("the first"))}, list...) {
		wg.Go(func() {
			ctx := t.Context()
			if one.within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, one.within)
				defer cancel()
			}
			one.seq, one.err = one.call(ctx, a)
		})
		synctest.Wait()
	}
	for _, one := range list {
		<-time.After(one.within) // in the bubble
	}
	synctest.Wait() // who gave up has gone
	letGo()
	wg.Wait()
}

// TestPairTogether: what callers want of the roster while a batch is on its way goes into the next one together, and each
// is told where its own fact stands.
func TestPairTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gated{Memory: begun(t, eventlog.Faults{})}
		a := startGateway(t, log)
		people := crowdOf(60)
		if _, err := register(t.Context(), a, people...); err != nil {
			t.Fatal(err)
		}
		var list []*asked
		for i, p := range people {
			list = append(list, askPair(fmt.Sprint("pin ", i), p.wearer, p))
		}
		askTogether(t, a, log, list...)
		if want := []int{1, 60}; !slices.Equal(log.batches, want) {
			t.Errorf("got batches of %v facts, want %v", log.batches, want)
		}
		facts := entries(t, log)
		for i, one := range list {
			if one.err != nil {
				t.Errorf("%s: %v", one.name, one.err)
				continue
			}
			if f, ok := facts[one.seq-1].Fact.(fact.PinPaired); !ok || f.Wearer != people[i].wearer {
				t.Errorf("%s was told of sequence %d, which holds %+v", one.name, one.seq, facts[one.seq-1].Fact)
			}
		}
	})
}

// TestPairTogetherConflicts: callers who wait together and want other things of the same pin are each told what holds, as
// if they had come one after the other; what one of them is refused does not touch the rest.
func TestPairTogetherConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gated{Memory: begun(t, eventlog.Faults{})}
		a := startGateway(t, log)
		alice, bob, carol, rival := newPerson("alice"), newPerson("bob"), newPerson("carol"), newPerson("rival")
		if _, err := register(t.Context(), a, alice, bob); err != nil {
			t.Fatal(err)
		}
		list := []*asked{
			askPair("alice's pin", alice.wearer, alice),
			askPair("alice's pin with a rival", rival.wearer, alice),
			askPair("bob's pin", bob.wearer, bob),
			askRegister("carol's pin", carol),
			askPair("alice's pin again", alice.wearer, alice),
			askRegister("carol's pin and another", carol, newPerson("dora")),
			askPair("a pin that nobody knows", rival.wearer, newPerson("nobody")),
		}
		askTogether(t, a, log, list...)
		wantError(t, list[1].err, codes.AlreadyExists, gatewayv1.Reason_REASON_PAIRED_ELSEWHERE)
		wantError(t, list[6].err, codes.FailedPrecondition, gatewayv1.Reason_REASON_UNKNOWN_PIN)
		for _, i := range []int{0, 2, 3, 4, 5} {
			if list[i].err != nil {
				t.Errorf("%s: %v", list[i].name, list[i].err)
			}
		}
		if list[4].seq < list[0].seq {
			t.Errorf("the repeat was told of sequence %d, the first of %d", list[4].seq, list[0].seq)
		}
		paired := map[fact.PinID]fact.WearerID{}
		for _, e := range entries(t, log) {
			if f, ok := e.Fact.(fact.PinPaired); ok {
				if _, twice := paired[f.Proof.Pin]; twice {
					t.Errorf("pin %v is paired twice in the log", f.Proof.Pin)
				}
				paired[f.Proof.Pin] = f.Wearer
			}
		}
		if len(paired) != 2 || paired[alice.pin.ID()] != alice.wearer || paired[bob.pin.ID()] != bob.wearer {
			t.Errorf("the log pairs %v", paired)
		}
		if got := countOf[fact.PinRegistered](t, log); got != 5 { // with the one that was asked first
			t.Errorf("the log registers %d pins, want 5", got)
		}
	})
}

// TestPairTogetherFaults makes two writes in a row go wrong in each pair of ways while 20 callers wait together. Each is told
// that it is done, and the log holds each fact once, also where a batch is stored late.
func TestPairTogetherFaults(t *testing.T) {
	all := []eventlog.Fault{eventlog.NoFault, eventlog.Lost, eventlog.NotStored, eventlog.Unanswered, eventlog.Torn, eventlog.Late}
	for _, one := range all {
		for _, other := range all {
			t.Run(fmt.Sprintf("%v, then %v", one, other), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					var faults []eventlog.Fault
					inner := begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
						mu.Lock()
						defer mu.Unlock()
						if len(faults) == 0 {
							return eventlog.NoFault
						}
						f := faults[0]
						faults = faults[1:]
						return f
					}})
					log := &gated{Memory: inner}
					a := startGateway(t, log)
					people := crowdOf(20)
					if _, err := register(t.Context(), a, people...); err != nil {
						t.Fatal(err)
					}
					var list []*asked
					for i, p := range people {
						list = append(list, askPair(fmt.Sprint("pin ", i), p.wearer, p))
					}
					mu.Lock()
					faults = []eventlog.Fault{eventlog.NoFault, one, other} // the first is of whom they wait for
					mu.Unlock()
					askTogether(t, a, log, list...)
					storeLate(inner)
					for _, one := range list {
						if one.err != nil {
							t.Errorf("%s: %v", one.name, one.err)
						}
					}
					onceEach(t, log, people)
				})
			})
		}
	}
}

// TestPairTogetherRace lets two gateways pair the same pins with different wearers, all at once, while the log fails at
// random: one wins each pin, and each caller is told what the log holds.
func TestPairTogetherRace(t *testing.T) {
	rng := &lockedRand{rng: newRand(t)}
	log := troubled(t, rng, 0.4)
	gateways := []*api{startGateway(t, log), startGateway(t, log)}
	rivals := []fact.WearerID{newPerson("rival 0").wearer, newPerson("rival 1").wearer}
	people := crowdOf(40)
	if _, err := register(t.Context(), gateways[0], people...); err != nil {
		t.Fatal(err)
	}
	told := make([][]error, 2)
	var wg sync.WaitGroup
	for g, a := range gateways {
		told[g] = make([]error, len(people))
		for i, p := range people {
			wg.Go(func() { _, told[g][i] = pair(t.Context(), a, rivals[g], p.pin) })
		}
	}
	wg.Wait()
	storeLate(log)
	owner := map[fact.PinID]fact.WearerID{}
	for _, e := range entries(t, log) {
		if f, ok := e.Fact.(fact.PinPaired); ok {
			if _, twice := owner[f.Proof.Pin]; twice {
				t.Errorf("pin %v is paired twice in the log", f.Proof.Pin)
			}
			owner[f.Proof.Pin] = f.Wearer
		}
	}
	for g := range gateways {
		for i, p := range people {
			switch err := told[g][i]; {
			case owner[p.pin.ID()] == rivals[g] && err == nil:
			case owner[p.pin.ID()] == rivals[1-g] && serve.Reason(err) == "PAIRED_ELSEWHERE":
			default:
				t.Errorf("pin %d: gateway %d told %v, and the log pairs it with %v of %v", i, g, err, owner[p.pin.ID()], rivals)
			}
		}
	}
}

// TestPairTogetherGivenUp: a caller who gives up is told so in its own time, and the others, who waited with it, get what
// they asked for.
func TestPairTogetherGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gated{Memory: begun(t, eventlog.Faults{})}
		a := startGateway(t, log)
		people := crowdOf(5)
		if _, err := register(t.Context(), a, people...); err != nil {
			t.Fatal(err)
		}
		var list []*asked
		for i, p := range people {
			list = append(list, askPair(fmt.Sprint("pin ", i), p.wearer, p))
		}
		list[1].within = time.Second
		askTogether(t, a, log, list...)
		for i, one := range list {
			if i == 1 {
				wantError(t, one.err, codes.Unavailable, unavailably)
			} else if one.err != nil {
				t.Errorf("%s: %v", one.name, one.err)
			}
		}
		if got := countOf[fact.PinPaired](t, log); got != 4 {
			t.Errorf("the log holds %d pairings, want 4", got)
		}
		if n := len(a.roster.waiting); n != 0 {
			t.Errorf("%d entries are still there", n)
		}
	})
}

// TestRefusedTogether: where the server refuses all that is written to it for good, everybody is told, after as many tries
// as it takes to know that it is not the number of facts.
func TestRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		refuses := false
		log := &gated{Memory: begun(t, eventlog.Faults{Enter: func(call string) error {
			if call == "Append" && refuses {
				if tries++; tries > 1 { // not the one that they wait for
					return fmt.Errorf("%w: no permission", eventlog.ErrRefused)
				}
			}
			return nil
		}})}
		a := startGateway(t, log)
		people := crowdOf(64)
		if _, err := register(t.Context(), a, people...); err != nil {
			t.Fatal(err)
		}
		var list []*asked
		for i, p := range people {
			list = append(list, askPair(fmt.Sprint("pin ", i), p.wearer, p))
		}
		refuses = true
		askTogether(t, a, log, list...)
		for _, one := range list {
			if status.Code(one.err) != codes.FailedPrecondition {
				t.Errorf("%s: got %v", one.name, one.err)
			}
		}
		if want := []int{1, 64, 32, 16, 8, 4, 2, 1}; !slices.Equal(log.batches, want) {
			t.Errorf("got batches of %v facts, want %v", log.batches, want)
		}
	})
}

// TestGroupAlone: a fact that is not about one pin alone is decided and written by itself.
func TestGroupAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gated{Memory: begun(t, eventlog.Faults{})}
		a := startGateway(t, log)
		adopt := &asked{name: "rules", call: func(ctx context.Context, a *api) (uint64, error) {
			seq, _, err := a.roster.write(ctx, func(kv.Reader) ([]fact.Fact, error) {
				return []fact.Fact{fact.RulesAdopted{Rules: *otherRules()}}, nil
			})
			return uint64(seq), err
		}}
		one, other, third := newPerson("one"), newPerson("other"), newPerson("third")
		askTogether(t, a, log, askRegister("one", one), askRegister("other", other), adopt, askRegister("third", third))
		if want := []int{1, 2, 1, 1}; adopt.err != nil || !slices.Equal(log.batches, want) {
			t.Errorf("got %v and batches of %v facts, want %v", adopt.err, log.batches, want)
		}
	})
}
