package crowd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"pinfold/client"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

func raws(list []client.Signed) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s.Statement))
	}
	return out
}

func signed(words ...string) []client.Signed {
	var list []client.Signed
	for _, w := range words {
		list = append(list, client.Signed{Statement: []byte(w)})
	}
	return list
}

// TestOutbox: a phone is queued for delivery once, however much it is given, until it has found its outbox empty.
func TestOutbox(t *testing.T) {
	p := &phone{}
	step := func(name string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: to be queued: %t, want %t", name, got, want)
		}
	}
	upload := func(want ...string) {
		t.Helper()
		if got := raws(p.take()); !slices.Equal(got, want) {
			t.Errorf("got the upload %q, want %q", got, want)
		}
	}
	step("nothing", p.put(nil), false)
	step("nothing to wake up for", p.wakeUp(), false)
	step("the first", p.put(signed("a")), true)
	step("while it is queued", p.put(signed("b", "c")), false)
	step("woken up while it is queued", p.wakeUp(), false)
	upload("a", "b", "c")
	step("while it delivers", p.put(signed("d")), false)
	upload("d")
	upload()
	step("after it was done", p.put(signed("e")), true)
	upload("e")
	upload()
	upload() // it does not matter how often it is asked
	step("woken up with nothing", p.wakeUp(), false)
}

// TestOutboxSize: an upload holds at most what a gateway takes, and the next one goes on where it ended.
func TestOutboxSize(t *testing.T) {
	p := &phone{}
	var want []string
	for i := range 1203 {
		want = append(want, fmt.Sprint(i))
	}
	p.put(signed(want...))
	var got []string
	var sizes []int
	for upload := p.take(); len(upload) > 0; upload = p.take() {
		sizes = append(sizes, len(upload))
		got = append(got, raws(upload)...)
		if len(sizes) == 1 { // what comes meanwhile does not get into an upload that was taken
			p.put(signed("late"))
		}
	}
	if !slices.Equal(sizes, []int{500, 500, 204}) || !slices.Equal(got, append(want, "late")) {
		t.Errorf("got uploads of %v, and %d statements in order, want 500, 500, 204", sizes, len(got))
	}
}

// TestOutboxModel gives and takes at random: nothing is lost or comes twice, and a phone that holds something is queued,
// or is one that comes online when it likes.
func TestOutboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		real := rapid.Bool().Draw(t, "real phones")
		p := &phone{}
		if real {
			p.habits = realHabits(Contacts{People: 1}, rapid.Uint64().Draw(t, "seed"))[0]
			p.never = false
		}
		queued, held, n := false, map[string]bool{}, 0
		took := func() {
			upload := raws(p.take())
			if len(upload) == 0 != (len(held) == 0) {
				t.Fatalf("an upload of %d while %d are held", len(upload), len(held))
			}
			if len(upload) > client.MaxUpload {
				t.Fatalf("an upload of %d", len(upload))
			}
			for _, s := range upload {
				if !held[s] {
					t.Fatalf("%s was taken twice, or never given", s)
				}
				delete(held, s)
			}
			queued = len(upload) > 0
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"put", "take", "wakeUp"}).Draw(t, "step") {
			case "put":
				var words []string
				for range rapid.SampledFrom([]int{0, 1, 2, 600}).Draw(t, "statements") {
					words = append(words, fmt.Sprint(n))
					held[words[len(words)-1]] = true
					n++
				}
				queue := p.put(signed(words...))
				if queue && (queued || len(held) == 0) || !queue && !queued && len(held) > 0 && !real {
					t.Fatalf("to be queued: %t, while it is: %t, and holds %d", queue, queued, len(held))
				}
				queued = queued || queue
			case "take":
				if queued { // nobody else takes
					took()
				}
			case "wakeUp":
				if got, want := p.wakeUp(), !queued && len(held) > 0; got != want {
					t.Fatalf("woken up: %t, want %t", got, want)
				}
				queued = queued || len(held) > 0
			}
		}
		if p.wakeUp() {
			queued = true
		}
		for queued {
			took()
		}
		if len(held) > 0 {
			t.Fatalf("%d statements were never taken", len(held))
		}
	})
}

// TestRealHabits: of two who meet, one at least comes online; nobody's clock is further off than it may be.
func TestRealHabits(t *testing.T) {
	const people = 400
	for seed := range uint64(3) {
		c := Synthetic(people, 2, seed)
		all := realHabits(c, seed)
		never, unset := 0, 0
		for _, h := range all {
			if h.never {
				never++
			}
			if h.unset {
				unset++
			}
			if h.clockOff < -clockWrong || h.clockOff >= clockWrong || !h.real {
				t.Errorf("got %+v, want a clock that is at most %v off", h, clockWrong)
			}
		}
		if never == 0 || never > people/10 || unset < people/10 || unset > people*3/10 {
			t.Errorf("seed %d: %d are never online and %d have no clock, of %d", seed, never, unset, people)
		}
		for _, e := range c.Encounters {
			if all[e.A].never && all[e.B].never {
				t.Fatalf("seed %d: %d and %d meet, and neither is ever online", seed, e.A, e.B)
			}
		}
		for i, again := range realHabits(c, seed) {
			if again.never != all[i].never || again.unset != all[i].unset || again.clockOff != all[i].clockOff {
				t.Errorf("seed %d: person %d has other habits the second time", seed, i)
			}
		}
	}
	var perfect habits
	if perfect.clock(Midnight) != Midnight || perfect.carries() != 1 || (habits{real: true}).carries() != 2 || (habits{real: true, never: true}).carries() != 0 {
		t.Error("want a perfect phone to be on time and carry its own half, and a real one both, unless it is never online")
	}
	if got := (habits{unset: true, clockOff: time.Hour}).clock(Midnight); got != 0 {
		t.Errorf("a clock that was never set shows %v", got)
	}
	if got := (habits{clockOff: -time.Second}).clock(Midnight); got != Midnight-1000 {
		t.Errorf("a clock that is a second late shows %v", got)
	}
}

// delivery is what came of one phone.deliver.
type delivery struct {
	answers []string // by the order in which they were reported
	err     error
	took    time.Duration
}

// deliverTo delivers statements to the fake, in a bubble.
func deliverTo(t *testing.T, ctx context.Context, g *fakeGateway, list []client.Signed) delivery {
	t.Helper()
	conn := connect(t, g)
	p := &phone{pin: client.RestorePin([32]byte{1}, 0), times: 1}
	var d delivery
	began := time.Now()
	d.err = p.deliver(ctx, client.New(conn), list, func(s client.Signed, a *gatewayv1.Answer) {
		i := slices.IndexFunc(list, func(o client.Signed) bool { return string(o.Statement) == string(s.Statement) })
		d.answers = append(d.answers, fmt.Sprintf("%d: %s", i, describe(a)))
	})
	d.took = time.Since(began)
	return d
}

const (
	taken   = "STATUS_ACCEPTED REASON_UNSPECIFIED "
	known   = "STATUS_ALREADY_ACCEPTED REASON_UNSPECIFIED "
	forGood = "STATUS_REFUSED REASON_RETIRED_PIN 0"
)

// TestDeliver: a phone goes on until every statement has its final answer, which it reports once.
func TestDeliver(t *testing.T) {
	later := func(times int) func(string) *gatewayv1.Answer { // each statement is refused for now so many times
		seen := map[string]int{}
		return func(raw string) *gatewayv1.Answer {
			if seen[raw]++; seen[raw] > times {
				return nil
			}
			return refusedFor(gatewayv1.Reason_REASON_RATE_LIMITED, true)
		}
	}
	list := numbered(t, 3)
	only := func(i int, a *gatewayv1.Answer, times int) func(string) *gatewayv1.Answer {
		return func(raw string) *gatewayv1.Answer {
			if raw == string(list[i].Statement) && times > 0 {
				times--
				return a
			}
			return nil
		}
	}
	lost := 0
	for name, tt := range map[string]struct {
		fail    func(string, bool) error
		refuse  func(string) *gatewayv1.Answer
		uploads []int
		answers []string
		took    time.Duration // of pauses
	}{
		"at once": {
			uploads: []int{3}, answers: []string{"0: " + taken + "1", "1: " + taken + "2", "2: " + taken + "3"},
		},
		"the gateway is away three times": {
			fail:    failing(away("a"), away("b"), away("c")),
			uploads: []int{3}, answers: []string{"0: " + taken + "1", "1: " + taken + "2", "2: " + taken + "3"}, took: milliseconds(10 + 20 + 40),
		},
		"slow, aborted, full": {
			fail: failing(status.Error(codes.DeadlineExceeded, ""), status.Error(codes.Aborted, ""),
				serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_LOG_FULL, "")),
			uploads: []int{3}, answers: []string{"0: " + taken + "1", "1: " + taken + "2", "2: " + taken + "3"}, took: milliseconds(10 + 20 + 40),
		},
		"the answer is lost": {
			fail: func(_ string, after bool) error {
				if after && lost == 0 {
					lost++
					return away("the answer")
				}
				return nil
			},
			uploads: []int{3, 3}, answers: []string{"0: " + known + "1", "1: " + known + "2", "2: " + known + "3"}, took: milliseconds(10),
		},
		"all are to come later": {
			refuse:  later(2),
			uploads: []int{3, 3, 3}, answers: []string{"0: " + taken + "1", "1: " + taken + "2", "2: " + taken + "3"}, took: milliseconds(10 + 20),
		},
		"one is to come later": {
			refuse:  only(1, refusedFor(gatewayv1.Reason_REASON_UNPAIRED_PIN, true), 2),
			uploads: []int{3, 1, 1}, answers: []string{"0: " + taken + "1", "2: " + taken + "2", "1: " + taken + "3"}, took: milliseconds(10 + 20),
		},
		"one is refused for good": {
			refuse:  only(1, refusedFor(gatewayv1.Reason_REASON_RETIRED_PIN, false), 1000),
			uploads: []int{3}, answers: []string{"0: " + taken + "1", "1: " + forGood, "2: " + taken + "2"},
		},
		"one later, and then for good": {
			refuse: func() func(string) *gatewayv1.Answer {
				first := only(0, refusedFor(gatewayv1.Reason_REASON_LOG_UNAVAILABLE, true), 1)
				then := only(0, refusedFor(gatewayv1.Reason_REASON_RETIRED_PIN, false), 1000)
				return func(raw string) *gatewayv1.Answer {
					if a := first(raw); a != nil {
						return a
					}
					return then(raw)
				}
			}(),
			uploads: []int{3, 1}, answers: []string{"1: " + taken + "1", "2: " + taken + "2", "0: " + forGood}, took: milliseconds(10),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFakeGateway()
				g.fail, g.refuse = tt.fail, tt.refuse
				d := deliverTo(t, t.Context(), g, list)
				if d.err != nil {
					t.Fatal(d.err)
				}
				if !slices.Equal(d.answers, tt.answers) {
					t.Errorf("got the answers %q, want %q", d.answers, tt.answers)
				}
				if !slices.Equal(g.uploads, tt.uploads) {
					t.Errorf("got uploads of %v, want %v", g.uploads, tt.uploads)
				}
				if d.took != tt.took {
					t.Errorf("it took %v, want %v", d.took, tt.took)
				}
			})
		})
	}
}

// TestDeliverPatience: the pauses grow up to a second and no further, whatever the fault.
func TestDeliverPatience(t *testing.T) {
	const times = 20
	want := milliseconds(10 + 20 + 40 + 80 + 160 + 320 + 640 + (times-7)*1000)
	left := times
	for name, g := range map[string]*fakeGateway{
		"away": {fail: failing(slices.Repeat([]error{away("")}, times)...)},
		"refused for now": {refuse: func(string) *gatewayv1.Answer {
			if left--; left < 0 {
				return nil
			}
			return refusedFor(gatewayv1.Reason_REASON_RATE_LIMITED, true)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeGateway()
				fake.fail, fake.refuse = g.fail, g.refuse
				d := deliverTo(t, t.Context(), fake, numbered(t, 1))
				if d.err != nil || len(d.answers) != 1 || d.took != want {
					t.Errorf("got %+v, want one answer after %v", d, want)
				}
			})
		})
	}
}

// hanging is a gateway that does not answer the first calls.
type hanging struct {
	*fakeGateway
	times int
}

func (h *hanging) Deliver(ctx context.Context, req *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	if h.times > 0 {
		h.times--
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return h.fakeGateway.Deliver(ctx, req)
}

// TestDeliverHanging: a gateway that does not answer is asked again.
func TestDeliverHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &hanging{fakeGateway: newFakeGateway(), times: 2}
		conn := connectTo(t, g)
		p := &phone{pin: client.NewPin(), times: 1}
		answers := 0
		began := time.Now()
		if err := p.deliver(t.Context(), client.New(conn), numbered(t, 1), func(client.Signed, *gatewayv1.Answer) { answers++ }); err != nil {
			t.Fatal(err)
		}
		if took, want := time.Since(began), 2*20*time.Second+milliseconds(10+20); answers != 1 || took != want {
			t.Errorf("got %d answers after %v, want one after %v", answers, took, want)
		}
	})
}

// TestDeliverErrors: an error that does not pass ends it, and names the pin; nothing was reported.
func TestDeliverErrors(t *testing.T) {
	for name, err := range map[string]error{
		"too large": serve.Errorf(codes.InvalidArgument, gatewayv1.Reason_REASON_UPLOAD_TOO_LARGE, "501"),
		"unknown":   serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_UNKNOWN_PIN, "carrier"),
		"internal":  status.Error(codes.Internal, ""),
		"begun":     serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFakeGateway()
				g.fail = failing(away("first"), err)
				d := deliverTo(t, t.Context(), g, numbered(t, 2))
				if status.Code(errors.Unwrap(d.err)) != status.Code(err) || !strings.Contains(d.err.Error(), client.RestorePin([32]byte{1}, 0).ID().String()) || len(d.answers) > 0 {
					t.Errorf("got %+v, want %v, and the pin's id", d, err)
				}
			})
		})
	}
}

// TestDeliverClosed: Games that are closed end it with their words, and no crowd waits for the opening.
func TestDeliverClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		g.refuse = func(string) *gatewayv1.Answer {
			return gatewayv1.Answer_builder{
				Status: gatewayv1.Status_STATUS_REFUSED, Reason: gatewayv1.Reason_REASON_CLOSED, Retry: true, Detail: "closed until then",
			}.Build()
		}
		d := deliverTo(t, t.Context(), g, numbered(t, 2))
		if d.err == nil || !strings.HasSuffix(d.err.Error(), "the Games are closed until then") || d.took != 0 {
			t.Errorf("got %+v, want it to end at once: the Games are closed until then", d)
		}
	})
}

// TestDeliverCanceled: who stops does not wait for a gateway that is away.
func TestDeliverCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		g.fail = func(string, bool) error { return away("for ever") }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := deliverTo(t, ctx, g, numbered(t, 1))
		if d.err == nil || d.took != time.Minute {
			t.Errorf("got %+v, want an error after a minute", d)
		}
		g.fail = nil
		g.refuse = func(string) *gatewayv1.Answer { return refusedFor(gatewayv1.Reason_REASON_LOG_FULL, true) }
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d = deliverTo(t, ctx, g, numbered(t, 1))
		if d.err == nil || d.took != time.Minute || len(d.answers) > 0 {
			t.Errorf("got %+v, want an error after a minute", d)
		}
	})
}

// miscounting is a gateway that answers less, or more, than it was asked.
type miscounting struct {
	*fakeGateway
	answers int
}

func (m *miscounting) Deliver(context.Context, *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	var b gatewayv1.DeliverResponse_builder
	for range m.answers {
		b.Answers = append(b.Answers, gatewayv1.Answer_builder{Status: gatewayv1.Status_STATUS_ACCEPTED, Seq: 1}.Build())
	}
	return b.Build(), nil
}

// TestDeliverMiscounted: a statement without an answer would be waited for for ever.
func TestDeliverMiscounted(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		conn := connectTo(t, &miscounting{newFakeGateway(), n})
		p := &phone{pin: client.NewPin(), times: 1}
		err := p.deliver(t.Context(), client.New(conn), numbered(t, 2), func(client.Signed, *gatewayv1.Answer) {
			t.Errorf("%d answers to 2 statements: one was reported", n)
		})
		if want := fmt.Sprintf("%d answers to 2 statements", n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestDeliverTimes: an upload that is delivered several times is answered once, by what it was told last.
func TestDeliverTimes(t *testing.T) {
	g := newFakeGateway()
	p := &phone{pin: client.NewPin(), times: 3}
	var got []string
	if err := p.deliver(t.Context(), client.New(connect(t, g)), numbered(t, 2), func(_ client.Signed, a *gatewayv1.Answer) {
		got = append(got, describe(a))
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{known + "1", known + "2"}; !slices.Equal(got, want) || !slices.Equal(g.uploads, []int{2, 2, 2}) {
		t.Errorf("got %q to uploads of %v, want %q to three of 2", got, g.uploads, want)
	}
}

// TestPair: a challenge that a gateway has forgotten, since it was started again, is asked for anew.
func TestPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		forgotten := 0
		g.fail = func(method string, after bool) error {
			if method == "PairPin" && !after && forgotten < 2 {
				forgotten++
				return serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED, "begin again")
			}
			return nil
		}
		p := &phone{pin: client.NewPin(), times: 1, wearer: fact.WearerID{7}}
		g.keys[p.pin.ID()] = p.pin.Key()
		if err := p.pair(t.Context(), client.New(connect(t, g))); err != nil {
			t.Fatal(err)
		}
		if g.wearers[p.pin.ID()] != p.wearer.String() || g.calls["BeginPairing"] != 3 {
			t.Errorf("got the wearer %q after %d challenges, want %v after 3", g.wearers[p.pin.ID()], g.calls["BeginPairing"], p.wearer)
		}
	})
}

func TestPairRefused(t *testing.T) {
	g := newFakeGateway()
	g.fail = func(method string, _ bool) error {
		if method == "PairPin" {
			return serve.Errorf(codes.AlreadyExists, gatewayv1.Reason_REASON_PAIRED_ELSEWHERE, "for ever")
		}
		return nil
	}
	p := &phone{pin: client.NewPin(), times: 1}
	err := p.pair(t.Context(), client.New(connect(t, g)))
	if err == nil || !strings.Contains(err.Error(), "pair pin "+p.pin.ID().String()) || g.calls["PairPin"] != 1 {
		t.Errorf("got %v after %d calls, want an error that names the pin after one", err, g.calls["PairPin"])
	}
}
