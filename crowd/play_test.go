package crowd

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/fact"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// whims make a fake gateway fail at random: away, answers lost, refusals that pass, and some that do not, which hit the
// same statements each time. The caller's lock guards rng.
func whims(g *fakeGateway, rng *rand.Rand) {
	g.fail = func(method string, after bool) error {
		switch {
		case rng.Float64() < 0.1:
			return away("a whim")
		case method == "PairPin" && !after && rng.Float64() < 0.1:
			return serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED, "a whim")
		}
		return nil
	}
	g.refuse = func(raw string) *gatewayv1.Answer {
		switch {
		case isDoomed(raw):
			return refusedFor(gatewayv1.Reason_REASON_IMPLAUSIBLE_STEPS, false)
		case rng.Float64() < 0.05:
			return refusedFor(gatewayv1.Reason_REASON_RATE_LIMITED, true)
		}
		return nil
	}
}

// isDoomed picks one of 16 statements, by the first byte of its author's id and the last of its counter.
func isDoomed(raw string) bool {
	counter := raw[15]
	if strings.HasPrefix(raw, "PFH1") {
		counter = raw[55]
	}
	return (raw[4]+counter)%16 == 0
}

// played is what came of a play.
type played struct {
	crowd    *Crowd
	gateway  *fakeGateway
	summary  Summary
	err      error
	answers  map[string][]*gatewayv1.Answer // by statement
	progress []int
}

// play plays a crowd against a fake, in a bubble.
func play(t *testing.T, ctx context.Context, g *fakeGateway, c Config) *played {
	t.Helper()
	p := &played{gateway: g, answers: map[string][]*gatewayv1.Answer{}}
	var mu sync.Mutex
	c.Gateway = connect(t, g)
	c.Answered = func(raw []byte, a *gatewayv1.Answer) {
		mu.Lock()
		defer mu.Unlock()
		p.answers[string(raw)] = append(p.answers[string(raw)], a)
	}
	c.Progress = func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if total != p.crowd.statements {
			t.Errorf("progress says %d in all, want %d", total, p.crowd.statements)
		}
		p.progress = append(p.progress, done)
	}
	p.crowd = New(c)
	p.summary, p.err = p.crowd.Play(ctx)
	return p
}

// TestPlay lets a crowd meet under whims of the gateway: every statement that comes to it gets its final answer, once
// for each phone that carries it.
func TestPlay(t *testing.T) {
	rng := newRand(t)
	for _, phones := range []Phones{PerfectPhones, RealPhones} {
		t.Run(string(phones), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				contacts := Synthetic(40, 2, 3)
				g := newFakeGateway()
				whims(g, rand.New(rand.NewPCG(rng.Uint64(), 0)))
				p := play(t, t.Context(), g, Config{Contacts: contacts, Phones: phones, Seed: 3})
				if p.err != nil {
					t.Fatal(p.err)
				}
				checkPaired(t, p)
				checkAnswers(t, p)
				checkStatements(t, p, contacts)
				if got := slices.Max(p.progress); len(p.progress) != p.crowd.statements || got != p.crowd.statements {
					t.Errorf("progress was told %d times, up to %d, want %d", len(p.progress), got, p.crowd.statements)
				}
				t.Logf("%d statements; calls: %v", p.crowd.statements, g.calls)
			})
		})
	}
}

func checkPaired(t *testing.T, p *played) {
	t.Helper()
	for i, phone := range p.crowd.phones {
		if got, want := p.gateway.wearers[phone.pin.ID()], p.crowd.Wearer(i).String(); got != want {
			t.Errorf("person %d: the pin is paired with %q, want %s", i, got, want)
		}
	}
}

// checkAnswers compares what was reported with what the gateway did.
func checkAnswers(t *testing.T, p *played) {
	t.Helper()
	total, refused, lastSeq := 0, 0, uint64(0)
	for raw, answers := range p.answers {
		for _, a := range answers {
			total++
			if a.GetStatus() == gatewayv1.Status_STATUS_REFUSED {
				refused++
				if a.GetRetry() || !isDoomed(raw) {
					t.Errorf("%x: reported as refused by %v", raw, a)
				}
				continue
			}
			lastSeq = max(lastSeq, a.GetSeq())
			if a.GetSeq() != p.gateway.accepted[raw] {
				t.Errorf("%x: reported with sequence %d, the gateway gave %d", raw, a.GetSeq(), p.gateway.accepted[raw])
			}
		}
	}
	if total != p.crowd.statements || refused != p.summary.NotAdmitted {
		t.Errorf("got %d answers, of which %d refusals; want %d and %d", total, refused, p.crowd.statements, p.summary.NotAdmitted)
	}
	for _, seq := range p.gateway.minSeqs {
		if seq != lastSeq {
			t.Errorf("the summary was asked for as of %d, want %d", seq, lastSeq)
		}
	}
	if !p.gateway.stepsAwaited {
		t.Error("the summary did not wait for what followed from the steps")
	}
}

// checkStatements counts what must have come of each encounter and walk.
func checkStatements(t *testing.T, p *played, contacts Contacts) {
	t.Helper()
	byPin := map[fact.PinID]*phone{}
	for _, phone := range p.crowd.phones {
		byPin[phone.pin.ID()] = phone
	}
	halves, reports := 0, 0
	taps := map[fact.TapID]int{}
	for raw, answers := range p.answers {
		carriers := map[string]bool{}
		for _, c := range p.gateway.carriers[raw] {
			carriers[c] = true
		}
		if len(carriers) != len(answers) {
			t.Errorf("%x: %d answers to %d phones", raw, len(answers), len(carriers))
		}
		for c := range carriers {
			id, err := fact.ParsePinID(c)
			if err != nil || byPin[id].never {
				t.Errorf("%x: carried by %s, which is never online (%v)", raw, c, err)
			}
		}
		if h, err := statement.ParseHalf([]byte(raw)); err == nil {
			halves++
			taps[statement.TapID(h)]++
			continue
		}
		reports++
	}
	if len(taps) != len(contacts.Encounters) || halves != 2*len(taps) {
		t.Errorf("got %d halves of %d taps, want two of each of %d", halves, len(taps), len(contacts.Encounters))
	}
	want := 0
	for _, w := range contacts.Walks {
		if p.crowd.phones[w.Person].countsSteps() {
			want++
		}
	}
	if reports != want {
		t.Errorf("got %d step reports, want %d", reports, want)
	}
}

// TestPlayAgain: the same seed makes the same statements, whatever goes wrong on the way; another seed makes others.
func TestPlayAgain(t *testing.T) {
	rng := newRand(t)
	contacts := Synthetic(20, 1, 3)
	statements := func(t *testing.T, seed uint64, phones Phones) (list []string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			g := newFakeGateway()
			whims(g, rand.New(rand.NewPCG(rng.Uint64(), 0)))
			p := play(t, t.Context(), g, Config{Contacts: contacts, Phones: phones, Seed: seed})
			if p.err != nil {
				t.Fatal(p.err)
			}
			list = sortedKeys(p.answers)
		})
		return list
	}
	for _, phones := range []Phones{PerfectPhones, RealPhones} {
		t.Run(string(phones), func(t *testing.T) {
			first := statements(t, 7, phones)
			if again := statements(t, 7, phones); !slices.Equal(first, again) {
				t.Error("the same seed made other statements")
			}
			for _, other := range statements(t, 8, phones) {
				if _, found := slices.BinarySearch(first, other); found {
					t.Fatalf("seeds 7 and 8 both made %x", other)
				}
			}
		})
	}
}

// TestCrowdSeeds: who takes part follows from the seed.
func TestCrowdSeeds(t *testing.T) {
	contacts := Contacts{People: 50}
	seen := map[fact.WearerID]bool{}
	for seed := range uint64(4) {
		a, b := New(Config{Contacts: contacts, Seed: seed}), New(Config{Contacts: contacts, Seed: seed})
		for i := range contacts.People {
			if a.Wearer(i) != b.Wearer(i) || a.phones[i].pin.ID() != b.phones[i].pin.ID() {
				t.Errorf("seed %d, person %d: another one the second time", seed, i)
			}
			if seen[a.Wearer(i)] {
				t.Errorf("seed %d, person %d: was there before", seed, i)
			}
			seen[a.Wearer(i)] = true
		}
	}
}

// TestPlayFails: a gateway that refuses for good ends the play, in whichever call, and nothing is left hanging.
func TestPlayFails(t *testing.T) {
	for method, want := range map[string]string{
		"RegisterPins": "register pins: ", "BeginPairing": "pair pin ", "PairPin": "pair pin ", "Deliver": "deliver for pin ",
		"GetOutcomes": "summary: ", "GetTotals": "summary: ",
	} {
		for _, phones := range []Phones{PerfectPhones, RealPhones} {
			t.Run(fmt.Sprint(method, " ", phones), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newFakeGateway()
					calls := 0
					g.fail = func(m string, after bool) error {
						if m == method && !after {
							if calls++; calls > 3 || method[0] == 'G' || method[0] == 'R' { // the first ones go well
								return status.Error(codes.Internal, "broken")
							}
						}
						return nil
					}
					p := play(t, t.Context(), g, Config{Contacts: Synthetic(15, 1, 1), Phones: phones, Seed: 1})
					if p.err == nil || !strings.HasPrefix(p.err.Error(), want) || !strings.Contains(p.err.Error(), "broken") {
						t.Errorf("got %v, want %q", p.err, want)
					}
				})
			})
		}
	}
}

// TestPlayCanceled: who stops the play does not wait for a gateway that is away.
func TestPlayCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		g.fail = func(m string, _ bool) error {
			if m == "Deliver" {
				return away("for ever")
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		p := play(t, ctx, g, Config{Contacts: Synthetic(15, 1, 1), Seed: 1})
		if p.err == nil || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want an error after a minute", p.err, time.Since(began))
		}
	})
}

// TestPlayNobody: nothing to do is done.
func TestPlayNobody(t *testing.T) {
	for _, c := range []Contacts{{}, {People: 3}} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, t.Context(), newFakeGateway(), Config{Contacts: c})
			if p.err != nil || len(p.answers) > 0 || p.summary.People != c.People {
				t.Errorf("got %+v, %v", p.summary, p.err)
			}
		})
	}
}

// TestEnrolMany: a gateway takes 1,000 registrations at once.
func TestEnrolMany(t *testing.T) {
	g := newFakeGateway()
	c := New(Config{Gateway: connect(t, g), Contacts: Contacts{People: 1001}})
	if err := c.enrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.registered, []int{1000, 1}) || len(g.wearers) != 1001 {
		t.Errorf("got requests for %v pins, and %d paired, want 1,000 and 1", g.registered, len(g.wearers))
	}
}

// TestSummary: the summary is what the services tell, and the halves that expired are none that were refused.
func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		g.outcomes = counted
		g.totals = rewardsv1.GetTotalsResponse_builder{Bronze: 3, Silver: 2, Gold: 1, Backgrounds: 44, CompleteCollections: 5}
		p := play(t, t.Context(), g, Config{Contacts: Contacts{People: 3, Encounters: []Encounter{meets(20, 0, 1), meets(20, 1, 2)}}, Seed: 1})
		if p.err != nil {
			t.Fatal(p.err)
		}
		got := p.summary
		got.Seconds, got.HalvesPerSecond = 0, 0
		want := Summary{
			People: 3, Taps: 2, Friendships: 30, Medals: Medals{Bronze: 3, Silver: 2, Gold: 1}, Backgrounds: 44,
			CompleteCollections: 5, Halves: 100, Duplicates: 7, Refused: 7,
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestHalvesPerSecond: reports of steps and what comes a second time are no halves.
func TestHalvesPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contacts := Contacts{
			People: 2, Encounters: []Encounter{meets(36_000, 0, 1), meets(36_010, 0, 1)}, Walks: []Walk{{Steps: []uint16{500}}, {Person: 1, Steps: []uint16{70}}},
		}
		for _, phones := range []Phones{"", RealPhones} {
			p := play(t, t.Context(), newFakeGateway(), Config{Contacts: contacts, Seed: 1, Speed: 1, Times: 2, Phones: phones})
			if got := p.summary.HalvesPerSecond * p.summary.Seconds; p.err != nil || math.Round(got) != 4 {
				t.Errorf("%q phones: %v halves a second for %v seconds, %v: want 4 halves", phones, p.summary.HalvesPerSecond, p.summary.Seconds, p.err)
			}
		}
	})
}

// TestSpeed: at 60 times real time, a minute of the crowd's takes a second, from its first encounter on.
func TestSpeed(t *testing.T) {
	contacts := Contacts{People: 2, Encounters: []Encounter{meets(36_000, 0, 1), meets(36_060, 0, 1), meets(36_600, 0, 1)}}
	for speed, want := range map[float64]time.Duration{0: 0, 60: 10 * time.Second, 1: 10 * time.Minute, 0.5: 20 * time.Minute} {
		t.Run(fmt.Sprint(speed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				p := play(t, t.Context(), newFakeGateway(), Config{Contacts: contacts, Seed: 1, Speed: speed})
				if took := time.Since(began); p.err != nil || took != want {
					t.Errorf("it took %v, %v, want %v", took, p.err, want)
				}
			})
		})
	}
}
