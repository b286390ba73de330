package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// register registers the pins of people through a gateway.
func register(ctx context.Context, a *api, people ...person) (*gatewayv1.RegisterPinsResponse, error) {
	var b gatewayv1.RegisterPinsRequest_builder
	for _, p := range people {
		key := p.pin.Key()
		b.Pins = append(b.Pins, gatewayv1.Registration_builder{Pin: p.pin.ID().String(), PublicKey: key[:]}.Build())
	}
	return (&operator{api: a}).RegisterPins(ctx, b.Build())
}

// pair pairs a pin with a wearer through a gateway.
func pair(ctx context.Context, a *api, wearer fact.WearerID, pin *client.Pin) (*gatewayv1.PairPinResponse, error) {
	c, err := a.BeginPairing(ctx, gatewayv1.BeginPairingRequest_builder{Wearer: wearer.String()}.Build())
	if err != nil {
		return nil, err
	}
	proof := pin.Prove(fact.Challenge(c.GetChallenge()), 0)
	return a.PairPin(ctx, gatewayv1.PairPinRequest_builder{Statement: proof.Statement, Signature: proof.Signature[:]}.Build())
}

// enrol registers and pairs the pins of people.
func enrol(t testing.TB, a *api, people ...person) {
	t.Helper()
	if _, err := register(t.Context(), a, people...); err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		if _, err := pair(t.Context(), a, p.wearer, p.pin); err != nil {
			t.Fatal(err)
		}
	}
}

// wantError compares a gRPC error with a code and a reason; 0 = none.
func wantError(t testing.TB, err error, code codes.Code, reason gatewayv1.Reason) {
	t.Helper()
	want := ""
	if reason != noReason {
		want = serve.ReasonName(reason)
	}
	if status.Code(err) != code || serve.Reason(err) != want {
		t.Errorf("got %v with reason %q, want %v with %q", err, serve.Reason(err), code, want)
	}
}

// onceEach checks that the log registers and pairs each of the people once.
func onceEach(t *testing.T, log eventlog.Log, people []person) {
	t.Helper()
	registered, paired := map[fact.PinID]int{}, map[fact.PinID]int{}
	for _, e := range entries(t, log) {
		switch f := e.Fact.(type) {
		case fact.PinRegistered:
			registered[f.Key.PinID()]++
		case fact.PinPaired:
			paired[f.Proof.Pin]++
		}
	}
	for i, p := range people {
		if registered[p.pin.ID()] != 1 || paired[p.pin.ID()] != 1 {
			t.Errorf("pin %d: registered %d times and paired %d times, want once each", i, registered[p.pin.ID()], paired[p.pin.ID()])
		}
	}
}

func crowdOf(n int) []person {
	people := make([]person, n)
	for i := range people {
		people[i] = newPerson(fmt.Sprint(i))
	}
	return people
}

// TestClerkFaults makes the first writes go wrong in every way. Each ends well, and the log holds the facts once: also
// where a batch is stored late, before or after the one that was written again.
func TestClerkFaults(t *testing.T) {
	for name, faults := range map[string][]eventlog.Fault{
		"none":                        nil,
		"lost":                        {eventlog.Lost},
		"refused":                     {eventlog.NotStored},
		"unanswered":                  {eventlog.Unanswered},
		"torn":                        {eventlog.Torn},
		"late":                        {eventlog.Late},
		"late, and lost again":        {eventlog.Late, eventlog.Lost},
		"late twice":                  {eventlog.Late, eventlog.Late},
		"refused, then unanswered":    {eventlog.NotStored, eventlog.Unanswered},
		"torn, then late":             {eventlog.Torn, eventlog.Late},
		"lost five times":             slices.Repeat([]eventlog.Fault{eventlog.Lost}, 5),
		"all of them, one by one":     {eventlog.Lost, eventlog.NotStored, eventlog.Late, eventlog.Torn, eventlog.Unanswered},
		"late, and what follows torn": {eventlog.Late, eventlog.Torn, eventlog.Lost},
	} {
		for _, arrives := range []string{"before it is written again", "after"} {
			for _, stale := range []int{0, 1} {
				t.Run(fmt.Sprintf("%s; late ones arrive %s; the log is %d behind", name, arrives, stale), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var log *eventlog.Memory
						calls := 0
						log = begun(t, eventlog.Faults{
							Append: sequence(faults...),
							Stale: func(fact.Family) int {
								// A log that never catches up would keep a clerk waiting for ever.
								if calls++; calls > 10 {
									return 0
								}
								return stale
							},
							Enter: func(call string) error {
								if call == "LastOf" && arrives == "before it is written again" {
									log.StoreLate()
								}
								return nil
							},
						})
						a := startGateway(t, log)
						people := crowdOf(4)
						enrol(t, a, people...)
						storeLate(log)
						onceEach(t, log, people)
						// It is all known, so nothing is left to write.
						head := len(entries(t, log))
						r, err := register(t.Context(), a, people...)
						if err != nil || r.GetRegistered() != 0 {
							t.Errorf("again: got %v, %v, want nothing registered", r, err)
						}
						if got := len(entries(t, log)); got != head {
							t.Errorf("the log went from %d to %d although nothing was new", head, got)
						}
					})
				})
			}
		}
	}
}

// TestClerkSequence: what an answer names as its sequence is folded, and holds the last of its facts.
func TestClerkSequence(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	a := startGateway(t, log)
	people := crowdOf(3)
	r, err := register(t.Context(), a, people...)
	if err != nil || r.GetSeq() != 5 || r.GetRegistered() != 3 {
		t.Fatalf("got %v, %v, want 3 pins registered, the last one at sequence 5", r, err)
	}
	// One of them is new: the answer counts that one, and the others are no error.
	r, err = register(t.Context(), a, people[0], newPerson("new"), people[2])
	if err != nil || r.GetSeq() != 6 || r.GetRegistered() != 1 {
		t.Errorf("got %v, %v, want one pin registered at sequence 6", r, err)
	}
	// None is: the answer is that of the state that knows them all.
	r, err = register(t.Context(), a, people...)
	if err != nil || r.GetSeq() != 6 || r.GetRegistered() != 0 {
		t.Errorf("got %v, %v, want nothing registered, as of sequence 6", r, err)
	}
	p, err := pair(t.Context(), a, people[0].wearer, people[0].pin)
	if err != nil || p.GetSeq() != 7 || p.GetPin() != people[0].pin.ID().String() || p.GetWearer() != people[0].wearer.String() {
		t.Errorf("got %v, %v, want the first pin paired at sequence 7", p, err)
	}
}

// TestClerksRace lets the phones of several gateways over one log register and pair the same pins at the same time.
// Each fact stands in the log once, and every one of them is told that it is done.
func TestClerksRace(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	gateways := []*api{startGateway(t, log), startGateway(t, log), startGateway(t, log)}
	people := crowdOf(30)
	var mu sync.Mutex
	registered := uint32(0)
	var wg sync.WaitGroup
	for _, a := range gateways {
		for first := range 3 { // each gateway has three callers, who begin at different pins
			wg.Go(func() {
				for i := range people {
					p := people[(10*first+i)%len(people)]
					r, err := register(t.Context(), a, p)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					registered += r.GetRegistered()
					mu.Unlock()
					if _, err := pair(t.Context(), a, p.wearer, p.pin); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	onceEach(t, log, people)
	if int(registered) != len(people) {
		t.Errorf("all callers together were told of %d registrations, want %d", registered, len(people))
	}
	if got, want := len(entries(t, log)), 2+2*len(people); got != want {
		t.Errorf("got %d facts in the log, want %d", got, want)
	}
}

// TestClerksRaceForPins lets two gateways pair the same pins with different wearers: one wins each, the other is told.
func TestClerksRaceForPins(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	gateways := []*api{startGateway(t, log), startGateway(t, log)}
	people := crowdOf(40)
	rivals := []fact.WearerID{newPerson("rival 0").wearer, newPerson("rival 1").wearer}
	if _, err := register(t.Context(), gateways[0], people...); err != nil {
		t.Fatal(err)
	}
	won := make([]int, 2)
	owner := make([]map[fact.PinID]bool, 2)
	var wg sync.WaitGroup
	for g, a := range gateways {
		owner[g] = map[fact.PinID]bool{}
		wg.Go(func() {
			for _, p := range people {
				switch _, err := pair(t.Context(), a, rivals[g], p.pin); {
				case err == nil:
					won[g]++
					owner[g][p.pin.ID()] = true
				case serve.Reason(err) != "PAIRED_ELSEWHERE" && serve.Reason(err) != "UNKNOWN_PIN":
					t.Errorf("got %v, want PAIRED_ELSEWHERE", err)
				case serve.Reason(err) == "UNKNOWN_PIN":
					// The second gateway may not have folded the registrations yet: that is what retry is for.
					if g == 0 {
						t.Errorf("got %v of the gateway that registered the pins", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := won[0] + won[1]; got != len(people) {
		t.Errorf("%d pairings won, want one for each of the %d pins", got, len(people))
	}
	for _, e := range entries(t, log) {
		if f, ok := e.Fact.(fact.PinPaired); ok {
			if g := slices.Index(rivals, f.Wearer); !owner[g][f.Proof.Pin] {
				t.Errorf("pin %v: the log pairs it with rival %d, who was not told so", f.Proof.Pin, g)
			}
		}
	}
	t.Logf("the gateways won %v pins", won)
}

// troubled returns a log that has begun, of which so many appends fail, in any way, others are stored late, and reads are behind.
func troubled(t *testing.T, rng *lockedRand, fails float64) (log *eventlog.Memory) {
	t.Helper()
	log = begun(t, eventlog.Faults{
		Append: func(eventlog.Batch) eventlog.Fault {
			if rng.chance(0.3) {
				log.StoreLate()
			}
			if rng.chance(fails) {
				return eventlog.Fault(rng.intN(int(eventlog.NotStored) + 1))
			}
			return eventlog.NoFault
		},
		Stale: func(fact.Family) int { return rng.intN(2) },
	})
	return log
}

// TestClerksRaceUnderFaults does the same while the log fails at random, for one wearer each.
func TestClerksRaceUnderFaults(t *testing.T) {
	rng := &lockedRand{rng: newRand(t)}
	log := troubled(t, rng, 0.5)
	gateways := []*api{startGateway(t, log), startGateway(t, log)}
	people := crowdOf(12)
	var wg sync.WaitGroup
	for _, a := range gateways {
		wg.Go(func() {
			for _, p := range people {
				if _, err := register(t.Context(), a, p); err != nil {
					t.Error(err)
				}
				if _, err := pair(t.Context(), a, p.wearer, p.pin); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	storeLate(log)
	onceEach(t, log, people)
}

// TestClerkDeadline: a log that is away for as long as the call lasts is told as such, and so is one's turn that does
// not come.
func TestClerkDeadline(t *testing.T) {
	for name, fault := range map[string]eventlog.Fault{
		"lost": eventlog.Lost, "refused": eventlog.NotStored, "late": eventlog.Late,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault { return fault }})
				a := startGateway(t, log)
				began := time.Now()
				first := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					_, err := register(ctx, a, newPerson("alice"))
					first <- err
				}()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := register(ctx, a, newPerson("bob"))
				wantError(t, err, codes.Unavailable, unavailably)
				if took := time.Since(began); took != time.Second {
					t.Errorf("who waits for its turn was answered after %v, want its own second", took)
				}
				wantError(t, <-first, codes.Unavailable, unavailably)
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("answered after %v, want 5 s", took)
				}
				if fault != eventlog.Late {
					return
				}
				// Each batch was fenced as the first one was, so one of them is stored and the others are not: one of the first
				// pin, or of both.
				storeLate(log)
				registered := map[fact.PinID]int{}
				for _, e := range entries(t, log) {
					if f, ok := e.Fact.(fact.PinRegistered); ok {
						registered[f.Key.PinID()]++
					}
				}
				if registered[newPerson("alice").pin.ID()] != 1 || registered[newPerson("bob").pin.ID()] > 1 {
					t.Errorf("the log registers %v, want the first pin once and no pin twice", registered)
				}
			})
		})
	}
}

// TestClerkNotFolded: the write is stored, but the gateway's own fold does not come to it within the deadline.
func TestClerkNotFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		log := begun(t, eventlog.Faults{Enter: func(call string) error {
			if call == "Next" && away.Load() {
				return errors.New("the log cannot be read")
			}
			return nil
		}})
		a := startGateway(t, log)
		synctest.Wait() // it has folded the beginning and waits for more
		away.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := register(ctx, a, newPerson("alice"))
		wantError(t, err, codes.Unavailable, unavailably)
		away.Store(false)
		r, err := register(t.Context(), a, newPerson("alice"))
		if err != nil || r.GetRegistered() != 0 || r.GetSeq() != 3 {
			t.Errorf("again: got %v, %v, want it registered before", r, err)
		}
		if got := len(entries(t, log)); got != 3 {
			t.Errorf("the log ends at %d, want 3", got)
		}
	})
}

// TestClerkErrors: what the log says for good is told at once.
func TestClerkErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		code   codes.Code
		reason gatewayv1.Reason
	}{
		"full":               {eventlog.ErrFull, codes.ResourceExhausted, full},
		"full, with details": {fmt.Errorf("%w: 10077", eventlog.ErrFull), codes.ResourceExhausted, full},
		"replaced":           {eventlog.ErrReplaced, codes.Unavailable, unavailably},
		"something else":     {errors.New("no route to host"), codes.Unavailable, unavailably},
	} {
		t.Run(name, func(t *testing.T) {
			failures := 0
			log := begun(t, eventlog.Faults{Enter: func(call string) error {
				if call == "Append" && failures == 0 {
					failures++
					return tt.err
				}
				return nil
			}})
			a := startGateway(t, log)
			_, err := register(t.Context(), a, newPerson("alice"))
			wantError(t, err, tt.code, tt.reason)
			if failures != 1 {
				t.Errorf("the log was asked %d times, want once", failures)
			}
			if _, err := register(t.Context(), a, newPerson("alice")); err != nil {
				t.Errorf("afterwards: got %v", err)
			}
		})
	}
}

// TestClerkDecides: a refusal is handed on as it is, and nothing is written.
func TestClerkDecides(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	a := startGateway(t, log)
	refused := errors.New("refused")
	for range 2 { // the turn is given back
		seq, written, err := a.roster.write(t.Context(), func(kv.Reader) ([]fact.Fact, error) { return nil, refused })
		if !errors.Is(err, refused) || written != 0 {
			t.Errorf("got %d, %d, %v, want the refusal", seq, written, err)
		}
	}
	if got := len(entries(t, log)); got != 2 {
		t.Errorf("the log ends at %d, want 2", got)
	}
}
