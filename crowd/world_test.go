package crowd

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"pinfold/client"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random faults; 0 = a random one, printed")

// newRand returns a source of random faults, and says how to have the same again.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	t.Logf("seed %d; again: go test -run %s ./crowd -seed %d", seed, t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// fakeGateway is a gateway without a log behind it: it remembers what it accepted. It fails as its functions say.
type fakeGateway struct {
	gatewayv1.UnimplementedGatewayServiceServer
	gatewayv1.UnimplementedOperatorServiceServer

	// fail, if not nil, returns the error of this call; it is called before it has any effect, and, where there is an
	// answer to be lost, once more after it.
	fail func(method string, after bool) error
	// refuse, if not nil, returns the answer that refuses the statement, or nil.
	refuse func(raw string) *gatewayv1.Answer

	mu           sync.Mutex
	keys         map[fact.PinID]fact.PublicKey
	challenges   map[fact.Challenge]string
	wearers      map[fact.PinID]string
	accepted     map[string]uint64   // statement -> sequence
	carriers     map[string][]string // statement -> who delivered it, each time
	uploads      []int               // sizes
	registered   []int               // sizes of requests
	calls        map[string]int      // of each method
	minSeqs      []uint64            // of reads
	stepsAwaited bool                // what follows from the steps was waited for
	outcomes     tapv1.GetOutcomesResponse_builder
	totals       rewardsv1.GetTotalsResponse_builder
}

func newFakeGateway() *fakeGateway {
	return &fakeGateway{
		keys: map[fact.PinID]fact.PublicKey{}, challenges: map[fact.Challenge]string{}, wearers: map[fact.PinID]string{},
		accepted: map[string]uint64{}, carriers: map[string][]string{}, calls: map[string]int{},
	}
}

func (g *fakeGateway) enter(method string) error {
	g.calls[method]++
	return g.failure(method, false)
}

func (g *fakeGateway) failure(method string, after bool) error {
	if g.fail == nil {
		return nil
	}
	return g.fail(method, after)
}

func (g *fakeGateway) RegisterPins(_ context.Context, req *gatewayv1.RegisterPinsRequest) (*gatewayv1.RegisterPinsResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("RegisterPins"); err != nil {
		return nil, err
	}
	g.registered = append(g.registered, len(req.GetPins()))
	for _, p := range req.GetPins() {
		key := fact.PublicKey(p.GetPublicKey())
		if p.GetPin() != key.PinID().String() {
			return nil, status.Errorf(codes.InvalidArgument, "pin %s is not the hash of its key", p.GetPin())
		}
		g.keys[key.PinID()] = key
	}
	return &gatewayv1.RegisterPinsResponse{}, g.failure("RegisterPins", true)
}

func (g *fakeGateway) BeginPairing(_ context.Context, req *gatewayv1.BeginPairingRequest) (*gatewayv1.BeginPairingResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("BeginPairing"); err != nil {
		return nil, err
	}
	c := fact.Challenge{byte(len(g.challenges)), byte(len(g.challenges) >> 8), 1}
	g.challenges[c] = req.GetWearer()
	return gatewayv1.BeginPairingResponse_builder{Challenge: c[:]}.Build(), nil
}

func (g *fakeGateway) PairPin(_ context.Context, req *gatewayv1.PairPinRequest) (*gatewayv1.PairPinResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("PairPin"); err != nil {
		return nil, err
	}
	p, err := statement.ParseProof(req.GetStatement())
	if err != nil || !statement.Verify(g.keys[p.Pin], req.GetStatement(), fact.Signature(req.GetSignature())) {
		return nil, status.Errorf(codes.InvalidArgument, "not signed: %v", err)
	}
	wearer, known := g.challenges[p.Challenge]
	if !known {
		return nil, serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED, "unknown")
	}
	g.wearers[p.Pin] = wearer
	return &gatewayv1.PairPinResponse{}, g.failure("PairPin", true)
}

func (g *fakeGateway) Deliver(_ context.Context, req *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("Deliver"); err != nil {
		return nil, err
	}
	g.uploads = append(g.uploads, len(req.GetStatements()))
	var b gatewayv1.DeliverResponse_builder
	for _, s := range req.GetStatements() {
		b.Answers = append(b.Answers, g.answer(req.GetCarrier(), s))
	}
	return b.Build(), g.failure("Deliver", true)
}

func (g *fakeGateway) answer(carrier string, s *gatewayv1.SignedStatement) *gatewayv1.Answer {
	raw := string(s.GetStatement())
	g.carriers[raw] = append(g.carriers[raw], carrier)
	if seq, known := g.accepted[raw]; known {
		return gatewayv1.Answer_builder{Status: gatewayv1.Status_STATUS_ALREADY_ACCEPTED, Seq: seq}.Build()
	}
	if g.refuse != nil {
		if a := g.refuse(raw); a != nil {
			return a
		}
	}
	_, notHalf := statement.ParseHalf(s.GetStatement())
	_, notSteps := statement.ParseStepReport(s.GetStatement())
	if notHalf != nil && notSteps != nil {
		return refusedFor(gatewayv1.Reason_REASON_MALFORMED, false)
	}
	// The author's id stands at the same place in both.
	key, registered := g.keys[fact.PinID(s.GetStatement()[4:12])]
	if registered && !statement.Verify(key, s.GetStatement(), fact.Signature(s.GetSignature())) {
		return refusedFor(gatewayv1.Reason_REASON_BAD_SIGNATURE, false)
	}
	g.accepted[raw] = uint64(len(g.accepted) + 1)
	return gatewayv1.Answer_builder{Status: gatewayv1.Status_STATUS_ACCEPTED, Seq: g.accepted[raw]}.Build()
}

func refusedFor(r gatewayv1.Reason, retry bool) *gatewayv1.Answer {
	return gatewayv1.Answer_builder{Status: gatewayv1.Status_STATUS_REFUSED, Reason: r, Retry: retry}.Build()
}

func (g *fakeGateway) GetOutcomes(_ context.Context, req *tapv1.GetOutcomesRequest) (*tapv1.GetOutcomesResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("GetOutcomes"); err != nil {
		return nil, err
	}
	g.minSeqs = append(g.minSeqs, req.GetMinSeq())
	return g.outcomes.Build(), nil
}

func (g *fakeGateway) GetTotals(_ context.Context, req *rewardsv1.GetTotalsRequest) (*rewardsv1.GetTotalsResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("GetTotals"); err != nil {
		return nil, err
	}
	g.minSeqs = append(g.minSeqs, req.GetMinSeq())
	return g.totals.Build(), nil
}

func (g *fakeGateway) ListStepsLeaderboard(_ context.Context, req *stepsv1.ListLeaderboardRequest) (*stepsv1.ListLeaderboardResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.enter("ListStepsLeaderboard"); err != nil {
		return nil, err
	}
	g.minSeqs = append(g.minSeqs, req.GetMinSeq())
	g.stepsAwaited = true
	return &stepsv1.ListLeaderboardResponse{}, nil
}

// connect serves the fake within this process and returns a connection to it.
func connect(t *testing.T, g *fakeGateway) *grpc.ClientConn {
	t.Helper()
	return connectTo(t, g)
}

// connectTo does so for one that behaves otherwise.
func connectTo(t *testing.T, g interface {
	gatewayv1.GatewayServiceServer
	gatewayv1.OperatorServiceServer
},
) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer()
	gatewayv1.RegisterGatewayServiceServer(s, g)
	gatewayv1.RegisterOperatorServiceServer(s, g)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///gateway", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func away(why string) error { return status.Error(codes.Unavailable, why) }

// failing returns the errors one by one, and then none.
func failing(errs ...error) func(string, bool) error {
	return func(_ string, after bool) error {
		if after || len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	}
}

// counted are the outcomes of a log, as a test of the summary has them.
var counted = tapv1.GetOutcomesResponse_builder{
	Halves: 100, Duplicate: 7, Friendships: 30, Expired: 5, Matched: 1000,
	Refused: []*tapv1.RefusedCount{
		tapv1.RefusedCount_builder{Refusal: logv1.Refusal_REFUSAL_BLOCKED, Halves: 3}.Build(),
		tapv1.RefusedCount_builder{Refusal: logv1.Refusal_REFUSAL_EXPIRED, Halves: 5}.Build(),
		tapv1.RefusedCount_builder{Refusal: logv1.Refusal_REFUSAL_CLOSED, Halves: 4}.Build(),
	},
}

// sortedKeys returns the keys of a map in ascending order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// numbered returns statements that a pin signed: halves, with a number that can be read.
func numbered(t testing.TB, n int) []client.Signed {
	t.Helper()
	a, b := client.NewPin(), client.NewPin()
	list := make([]client.Signed, n)
	for i := range list {
		var err error
		if list[i], _, err = client.Tap(a.Approach(), b.Approach(), Midnight, Midnight); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func describe(a *gatewayv1.Answer) string {
	return fmt.Sprint(a.GetStatus(), " ", a.GetReason(), " ", a.GetSeq())
}
