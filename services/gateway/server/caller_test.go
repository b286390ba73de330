package server

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// startServer serves the API over the network, and returns what makes connections to it.
func startServer(t *testing.T, a *api, options ...grpc.ServerOption) (connect func() *client.Gateway) {
	t.Helper()
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(quiet, append(a.options(), options...)...)
	gatewayv1.RegisterGatewayServiceServer(server, a)
	server.Serving(true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	return func() *client.Gateway {
		g, err := client.Dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() }) // of one that is closed already
		return g
	}
}

// forge returns the statement with a signature that its pin did not make.
func forge(s client.Signed, i int) client.Signed {
	s.Signature[i%32]++
	return s
}

// junk returns that many statements in the name of a pin, none of which it signed.
func junk(t *testing.T, by, peer person, n int) []client.Signed {
	t.Helper()
	list := halves(t, by, peer, n)
	for i, s := range list {
		list[i] = forge(s, i)
	}
	return list
}

// TestForgedFlood: who floods the gateway with bad signatures in the name of a pin is listened to up to the allowance of
// its connection, and no signature is looked at after that. The owner of the pin, who comes over another connection
// meanwhile, delivers all that its pin may, and so do others.
func TestForgedFlood(t *testing.T) {
	const burst, allowed, uploads = 40, 25, 8
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) {
		c.Limits.Rate, c.Limits.Burst, c.Limits.CallerRate, c.Limits.CallerBurst = 0, burst, 0, allowed
	})
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	connect := startServer(t, a)
	attacker, owner := connect(), connect()
	mine := halves(t, alice, bob, burst)

	var flood sync.WaitGroup
	looked := make([]int, uploads)
	for i := range uploads {
		upload := junk(t, alice, bob, MaxUpload/uploads)
		flood.Go(func() {
			r, err := attacker.Deliver(t.Context(), bob.pin.ID(), upload...)
			if err != nil {
				t.Error(err)
				return
			}
			for _, answer := range r.GetAnswers() {
				switch {
				case answer.GetReason() == gatewayv1.Reason_REASON_BAD_SIGNATURE && !answer.GetRetry():
					looked[i]++
				case answer.GetReason() == gatewayv1.Reason_REASON_RATE_LIMITED && answer.GetRetry():
				default:
					t.Errorf("junk was answered with %v", answer)
				}
			}
		})
	}
	r, err := owner.Deliver(t.Context(), alice.pin.ID(), mine[:burst/2]...)
	wantAllAccepted(t, "the owner, while the flood comes", r, err)
	flood.Wait()
	r, err = owner.Deliver(t.Context(), alice.pin.ID(), mine[burst/2:]...)
	wantAllAccepted(t, "the owner, after it", r, err)

	total := 0
	for _, n := range looked {
		total += n
	}
	// Uploads are looked at beside each other: what is under way when the allowance ends is finished.
	if total < allowed || total >= allowed+uploads {
		t.Errorf("%d signatures of the flood were checked, want %d and no more than were under way then, of %d uploads", total, allowed, uploads)
	}
	// Whoever shares the attacker's connection comes later, or over another one.
	r, err = attacker.Deliver(t.Context(), bob.pin.ID(), halves(t, bob, alice, 1)...)
	if got := brief(t, r, err); got != "RATE_LIMITED?" {
		t.Errorf("a good statement over the attacker's connection: got %s", got)
	}
	r, err = connect().Deliver(t.Context(), bob.pin.ID(), halves(t, bob, alice, 3)...)
	wantAllAccepted(t, "another connection", r, err)
}

func wantAllAccepted(t *testing.T, who string, r *gatewayv1.DeliverResponse, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	for i, answer := range r.GetAnswers() {
		if answer.GetStatus() != gatewayv1.Status_STATUS_ACCEPTED {
			t.Errorf("%s: statement %d: got %v", who, i, answer)
		}
	}
}

// TestSharedConnection: many phones that share one connection are not held to what one bad signature would leave.
func TestSharedConnection(t *testing.T) {
	const phones, each = 40, 20
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Limits.CallerRate, c.Limits.CallerBurst = 0, 1 })
	people := crowdOf(phones)
	enrol(t, a, people...)
	shared := startServer(t, a)()
	var wg sync.WaitGroup
	for i, p := range people {
		upload := halves(t, p, people[(i+1)%phones], each)
		wg.Go(func() {
			r, err := shared.Deliver(t.Context(), p.pin.ID(), upload...)
			if err != nil {
				t.Error(err)
				return
			}
			wantAllAccepted(t, fmt.Sprint("phone ", i), r, nil)
		})
	}
	wg.Wait()
}

// TestForgedProofs: bad proofs are counted as bad statements are.
func TestForgedProofs(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Limits.CallerRate, c.Limits.CallerBurst = 0, 3 })
	alice := newPerson("alice")
	if _, err := register(t.Context(), a, alice); err != nil {
		t.Fatal(err)
	}
	connect := startServer(t, a)
	attacker := connect()
	challenge, err := attacker.BeginPairing(t.Context(), newPerson("mallory").wearer)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range 5 {
		got = append(got, strings.TrimPrefix(client.ReasonOf(attacker.PairPin(t.Context(), forge(alice.pin.Prove(challenge, 0), i))).String(), "REASON_"))
	}
	if want := append(slices.Repeat([]string{"BAD_SIGNATURE"}, 3), "RATE_LIMITED", "RATE_LIMITED"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	err = attacker.PairPin(t.Context(), alice.pin.Prove(challenge, 0))
	wantError(t, unwrap(err), codes.ResourceExhausted, gatewayv1.Reason_REASON_RATE_LIMITED)
	if !client.Passes(err) {
		t.Errorf("%v: want that it may succeed later", err)
	}
	other := connect()
	if challenge, err = other.BeginPairing(t.Context(), alice.wearer); err != nil {
		t.Fatal(err)
	}
	if err := other.PairPin(t.Context(), alice.pin.Prove(challenge, 0)); err != nil {
		t.Errorf("over another connection: %v", err)
	}
}

// unwrap returns the error of gRPC that a call of the client failed with.
func unwrap(err error) error {
	if e, ok := err.(interface{ Unwrap() error }); ok {
		return e.Unwrap()
	}
	return err
}

// TestCallerIsFreed: what a gateway keeps of a connection goes with it.
func TestCallerIsFreed(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}))
	callers := make(chan weak.Pointer[caller], 1)
	connect := startServer(t, a, grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			callers <- weak.Make(a.caller(ctx))
			return handler(ctx, req)
		}))
	var kept []weak.Pointer[caller]
	for range 3 {
		g := connect()
		for range 2 {
			if _, err := g.BeginPairing(t.Context(), fact.WearerID{1}); err != nil {
				t.Fatal(err)
			}
			kept = append(kept, <-callers)
		}
		if kept[len(kept)-1] != kept[len(kept)-2] || len(kept) > 2 && kept[len(kept)-1] == kept[len(kept)-3] {
			t.Errorf("got the callers %v, want one for each connection", kept)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for slices.ContainsFunc(kept, func(p weak.Pointer[caller]) bool { return p.Value() != nil }) {
		if time.Now().After(deadline) {
			t.Fatal("the callers of connections that are closed are still there")
		}
		runtime.GC()
		runtime.Gosched()
	}
}

// TestAllowanceIsGivenBack: a pin's allowance is whole again after answers that the log took nothing, whatever the log did
// with the statements, and each fault of it.
func TestAllowanceIsGivenBack(t *testing.T) {
	for name, fault := range map[string]eventlog.Fault{
		"lost": eventlog.Lost, "not stored": eventlog.NotStored, "torn": eventlog.Torn, "late": eventlog.Late, "stored all the same": eventlog.Unanswered,
	} {
		t.Run(name, func(t *testing.T) {
			faults := make(chan eventlog.Fault, 3)
			log := begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
				select {
				case f := <-faults:
					return f
				default:
					return eventlog.NoFault
				}
			}})
			a := startGateway(t, log, func(c *Config) { c.Limits.Rate, c.Limits.Burst = 0, 1 })
			alice, bob := newPerson("alice"), newPerson("bob")
			enrol(t, a, alice, bob)
			h := halves(t, alice, bob, 2)
			for range cap(faults) {
				faults <- fault
				r, err := deliver(t.Context(), a, alice, h[0])
				if got := brief(t, r, err); got != "LOG_UNAVAILABLE?" {
					t.Fatalf("got %s, want LOG_UNAVAILABLE", got)
				}
			}
			r, err := deliver(t.Context(), a, alice, h[0])
			wantAllAccepted(t, "once the log takes it", r, err)
			r, err = deliver(t.Context(), a, alice, h[1])
			if got := brief(t, r, err); got != "RATE_LIMITED?" {
				t.Errorf("the next one: got %s, want RATE_LIMITED: the pin may have one", got)
			}
		})
	}
}

// TestRepeatTakesNothing: of one statement that two phones bring at the same time, only the first takes of its pin's
// allowance.
func TestRepeatTakesNothing(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Limits.Rate, c.Limits.Burst = 0, 2 })
	key, f := stranger(1)
	other, g := stranger(2)
	for _, step := range []struct {
		key [32]byte
		f   fact.Fact
	}{{key, f}, {key, f}, {key, f}, {other, g}} {
		if _, refusal := a.submit(step.key, step.f); refusal != nil {
			t.Errorf("got %v", refusal)
		}
	}
}
