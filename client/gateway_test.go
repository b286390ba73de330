package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// fakeGateway answers as its fields say.
type fakeGateway struct {
	gatewayv1.UnimplementedGatewayServiceServer
	challenge []byte
	delivered *gatewayv1.DeliverResponse
	err       error // of every call that is not a watch
	friends   int

	mu      sync.Mutex
	watches []watched
	minSeqs []uint64 // of watches
}

// watched is one stream of faces: the sequences of the faces and what ends it.
type watched struct {
	seqs []uint64
	err  error // nil = it stays open
}

func (g *fakeGateway) BeginPairing(context.Context, *gatewayv1.BeginPairingRequest) (*gatewayv1.BeginPairingResponse, error) {
	return gatewayv1.BeginPairingResponse_builder{Challenge: g.challenge}.Build(), g.err
}

func (g *fakeGateway) Deliver(context.Context, *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	return g.delivered, g.err
}

func (g *fakeGateway) ListFriends(_ context.Context, req *tapv1.ListFriendsRequest) (*tapv1.ListFriendsResponse, error) {
	if g.err != nil {
		return nil, g.err
	}
	from := 0
	if t := req.GetPageToken(); t != "" {
		if _, err := fmt.Sscan(t, &from); err != nil {
			return nil, err
		}
	}
	b := tapv1.ListFriendsResponse_builder{}
	for i := from; i < min(from+int(req.GetPageSize()), g.friends); i++ {
		b.Friends = append(b.Friends, tapv1.Friend_builder{Friendship: uint64(i)}.Build())
	}
	if next := from + len(b.Friends); next < g.friends {
		b.NextPageToken = fmt.Sprint(next)
	}
	return b.Build(), nil
}

func (g *fakeGateway) WatchFace(req *gatewayv1.GetFaceRequest, stream grpc.ServerStreamingServer[gatewayv1.Face]) error {
	g.mu.Lock()
	g.minSeqs = append(g.minSeqs, req.GetMinSeq())
	w := watched{}
	if len(g.watches) > 0 {
		w, g.watches = g.watches[0], g.watches[1:]
	}
	g.mu.Unlock()
	for _, seq := range w.seqs {
		if err := stream.Send(gatewayv1.Face_builder{Seq: seq}.Build()); err != nil {
			return err
		}
	}
	if w.err == nil {
		<-stream.Context().Done()
	}
	return w.err
}

// connect serves the fake within this process and returns it as an app has it.
func connect(t *testing.T, g *fakeGateway) *Gateway {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer()
	gatewayv1.RegisterGatewayServiceServer(s, g)
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
	return New(conn)
}

// TestDial: plain text stays on this machine.
func TestDial(t *testing.T) {
	for _, address := range []string{"127.0.0.1:7400", "localhost:7400", "[::1]:7400"} {
		g, err := Dial(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err := g.Close(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, want := range map[string]string{
		"": "host:port", "127.0.0.1": "host:port", ":7400": "loopback", "0.0.0.0:7400": "loopback", "192.0.2.1:7400": "loopback",
		"example.com:443": "loopback", strings.Repeat("x", 1_000_000) + ":1": "loopback",
	} {
		if _, err := Dial(address); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.80q: got %.300v, want an error with %q", address, err, want)
		}
	}
}

// TestErrors: a call fails with the reason, whether it passes, and the error of gRPC.
func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		want   string
		reason gatewayv1.Reason
		passes bool
	}{
		"with a reason": {
			serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_UNKNOWN_PIN, "pin 00: not registered"),
			"UNKNOWN_PIN: pin 00: not registered", gatewayv1.Reason_REASON_UNKNOWN_PIN, false,
		},
		"with a reason that passes": {
			serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_LOG_FULL, "full"),
			"LOG_FULL: full", gatewayv1.Reason_REASON_LOG_FULL, true,
		},
		"a reason that this program does not know": {
			serve.Errorf(codes.Unavailable, 9999, "later"), "9999: later", gatewayv1.Reason_REASON_UNSPECIFIED, true,
		},
		"away":              {status.Error(codes.Unavailable, "away"), "away", gatewayv1.Reason_REASON_UNSPECIFIED, true},
		"slow":              {status.Error(codes.DeadlineExceeded, "slow"), "slow", gatewayv1.Reason_REASON_UNSPECIFIED, true},
		"too large a frame": {status.Error(codes.ResourceExhausted, "large"), "large", gatewayv1.Reason_REASON_UNSPECIFIED, false},
		"no such call":      {status.Error(codes.Unimplemented, "what"), "what", gatewayv1.Reason_REASON_UNSPECIFIED, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := connect(t, &fakeGateway{err: tt.err})
			_, err := g.BeginPairing(t.Context(), WearerID{})
			e, ok := errors.AsType[*Error](err)
			if !ok || err.Error() != tt.want || e.Reason != tt.reason || ReasonOf(err) != tt.reason || Passes(err) != tt.passes ||
				status.Code(err) != status.Code(tt.err) {
				t.Errorf("got %#v, want %q, reason %v, passes %t, code %v", err, tt.want, tt.reason, tt.passes, status.Code(tt.err))
			}
			if ReasonOf(tt.err) != tt.reason || Passes(tt.err) != tt.passes {
				t.Errorf("of gRPC's own error: got %v, %t", ReasonOf(tt.err), Passes(tt.err))
			}
		})
	}
	if Passes(nil) || Passes(errors.New("no")) || ReasonOf(nil) != gatewayv1.Reason_REASON_UNSPECIFIED {
		t.Error("what is no error of a gateway passes, or has a reason")
	}
}

// TestRefusal: what an answer says, as an error.
func TestRefusal(t *testing.T) {
	for _, s := range []gatewayv1.Status{gatewayv1.Status_STATUS_ACCEPTED, gatewayv1.Status_STATUS_ALREADY_ACCEPTED} {
		if err := Refusal(gatewayv1.Answer_builder{Status: s, Seq: 1}.Build()); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	err := Refusal(gatewayv1.Answer_builder{
		Status: gatewayv1.Status_STATUS_REFUSED, Reason: gatewayv1.Reason_REASON_UNPAIRED_PIN, Retry: true, Detail: "pin 00", RetryForMs: 1500,
	}.Build())
	if e, ok := errors.AsType[*Error](err); !ok || e.Error() != "UNPAIRED_PIN: pin 00" || !e.Passes || e.For != 1500*time.Millisecond {
		t.Errorf("got %#v, want UNPAIRED_PIN, for one and a half seconds", err)
	}
	if err := Refusal(gatewayv1.Answer_builder{Status: 77}.Build()); err == nil || !Passes(err) || !strings.Contains(err.Error(), "77") {
		t.Errorf("a status that nobody knows: got %v, want an error that passes", err)
	}
}

// TestMalformedAnswers: an answer that does not fit the question is an error, and no panic.
func TestMalformedAnswers(t *testing.T) {
	g := connect(t, &fakeGateway{challenge: make([]byte, 31), delivered: &gatewayv1.DeliverResponse{}})
	if _, err := g.BeginPairing(t.Context(), WearerID{}); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("got %v, want an error about 31 bytes", err)
	}
	if _, err := g.Deliver(t.Context(), PinID{}, Signed{}); err == nil || !strings.Contains(err.Error(), "0 answers to 1 statements") {
		t.Errorf("got %v, want an error about 0 answers", err)
	}
}

// TestFriends: all pages, and no more than the caller wants.
func TestFriends(t *testing.T) {
	fake := &fakeGateway{friends: 1201}
	g := connect(t, fake)
	next := uint64(0)
	for f, err := range g.Friends(t.Context(), WearerID{}, 0) {
		if err != nil || f.GetFriendship() != next {
			t.Fatalf("got %v, %v, want friendship %d", f, err, next)
		}
		next++
	}
	if next != 1201 {
		t.Errorf("got %d friends, want 1201", next)
	}
	for _, err := range g.Friends(t.Context(), WearerID{}, 0) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	fake.err = status.Error(codes.Internal, "no")
	var got []error
	for _, err := range g.Friends(t.Context(), WearerID{}, 0) {
		got = append(got, err)
	}
	if len(got) != 1 || got[0] == nil {
		t.Errorf("got %v, want one error", got)
	}
}

// TestWatch: an interrupted watch goes on behind what it has shown, until the caller has enough.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeGateway{watches: []watched{
			{seqs: []uint64{5, 6}, err: status.Error(codes.Unavailable, "stops")},
			{err: serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_SLOW_READER, "slow")},
			{seqs: []uint64{9}},
		}}
		g := connect(t, fake)
		var got []string
		for face, err := range g.Watch(t.Context(), WearerID{}, 3) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, fmt.Sprint(face.GetSeq()))
			if face.GetSeq() == 9 {
				break
			}
		}
		if want := []string{"5", "6", "stops", "SLOW_READER: slow", "9"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []uint64{3, 6, 6}; !slices.Equal(fake.minSeqs, want) {
			t.Errorf("got the min_seqs %v, want %v", fake.minSeqs, want)
		}
	})
}

// TestWatchEnds: when the context ends, and at the first error if the caller leaves there.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := connect(t, &fakeGateway{watches: []watched{{seqs: []uint64{1}}, {err: status.Error(codes.Internal, "no")}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began, faces := time.Now(), 0
		for _, err := range g.Watch(ctx, WearerID{}, 0) {
			if err != nil {
				t.Errorf("got %v, want nothing but a face", err)
			}
			faces++
		}
		if took := time.Since(began); faces != 1 || took != time.Minute {
			t.Errorf("got %d faces in %v, want one in a minute", faces, took)
		}
		for _, err := range g.Watch(t.Context(), WearerID{}, 0) {
			if err == nil {
				t.Error("got a face, want an error")
			}
			break
		}
	})
}

// TestPersist: only what passes is tried again, with pauses that grow to a second.
func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &Error{Detail: "away", Passes: true}
		calls, told, began := 0, 0, time.Now()
		err := Persist(t.Context(), func(context.Context) error {
			if calls++; calls <= 9 {
				return away
			}
			return nil
		}, func(error) { told++ })
		if took, want := time.Since(began), (10+20+40+80+160+320+640+1000+1000)*time.Millisecond; err != nil || calls != 10 || told != 9 || took != want {
			t.Errorf("got %v after %d calls and %d errors told, in %v, want none after 10 and 9, in %v", err, calls, told, took, want)
		}
		stays := &Error{Detail: "stays"}
		if err := Persist(t.Context(), func(context.Context) error { return stays }, nil); err != stays { //nolint:errorlint // the very same
			t.Errorf("got %v, want %v", err, stays)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Persist(ctx, func(context.Context) error { return away }, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
		// A gateway that says nothing is given 20 seconds.
		began, calls = time.Now(), 0
		if err := Persist(t.Context(), func(ctx context.Context) error {
			if calls++; calls == 1 {
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			}
			return nil
		}, nil); err != nil || time.Since(began) != 20*time.Second+10*time.Millisecond {
			t.Errorf("got %v after %v, want none after 20.01 s", err, time.Since(began))
		}
	})
}
