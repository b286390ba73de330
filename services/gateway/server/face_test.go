package server

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// pouring serves WatchFace by sending faces without end.
type pouring struct {
	gatewayv1.UnimplementedGatewayServiceServer
	ended chan error // why it stopped
}

func (p *pouring) WatchFace(_ *gatewayv1.GetFaceRequest, stream grpc.ServerStreamingServer[gatewayv1.Face]) error {
	face := gatewayv1.Face_builder{Background: strings.Repeat("x", 1000)}.Build()
	for {
		if err := sendFace(stream, face, 100*time.Millisecond); err != nil {
			p.ended <- err
			return err
		}
	}
}

// TestSlowReader watches over a real connection, and takes nothing: the transport holds a bounded number of faces, and
// then the watcher is dropped with the reason.
func TestSlowReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	p := &pouring{ended: make(chan error, 1)}
	gatewayv1.RegisterGatewayServiceServer(server, p)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := gatewayv1.NewGatewayServiceClient(conn).WatchFace(ctx, &gatewayv1.GetFaceRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; status.Code(err) != codes.ResourceExhausted || serve.Reason(err) != "SLOW_READER" {
		t.Errorf("the server ended the watch with %v", err)
	}
	faces := 0
	for err == nil {
		if _, err = stream.Recv(); err == nil {
			faces++
		}
	}
	if serve.Reason(err) != "SLOW_READER" || faces == 0 || faces > 1000 {
		t.Errorf("the watcher got %d faces and then %v, want some hundreds at most and SLOW_READER", faces, err)
	}
}

// Services that do not answer until the caller gives up.
type (
	rewardsAway struct {
		rewardsv1.RewardsServiceClient
		asked chan struct{}
	}
	stepsAway struct {
		stepsv1.StepsServiceClient
		asked chan struct{}
	}
)

func (s rewardsAway) GetAwards(ctx context.Context, _ *rewardsv1.GetAwardsRequest, _ ...grpc.CallOption) (*rewardsv1.GetAwardsResponse, error) {
	close(s.asked)
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

func (s stepsAway) GetDay(ctx context.Context, _ *stepsv1.GetDayRequest, _ ...grpc.CallOption) (*stepsv1.GetDayResponse, error) {
	close(s.asked)
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// TestWatchEndsWithTheGateway: a watcher whose face is being read when the gateway stops is told at once, though the
// services do not answer.
func TestWatchEndsWithTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rewards, steps := rewardsAway{asked: make(chan struct{})}, stepsAway{asked: make(chan struct{})}
		a := &api{services: &services{rewards: rewards, steps: steps}, hub: newHub(nil, eventlog.Position{}, nil, nil, nil)}
		ended := make(chan error, 1)
		go func() {
			_, err := a.readFace(t.Context(), "", nil, false)
			ended <- err
		}()
		<-rewards.asked
		<-steps.asked
		begin := time.Now()
		a.hub.end()
		if err := <-ended; status.Code(err) != codes.Unavailable || time.Since(begin) > 0 {
			t.Errorf("after %v: %v, want that the gateway stops, at once", time.Since(begin), err)
		}
	})
}

// Services that answer with what they are told, and say what they were asked for.
type (
	rewardsSay struct {
		rewardsv1.RewardsServiceClient
		seq   uint64 // of the answer
		asked []uint64
	}
	stepsSay struct {
		stepsv1.StepsServiceClient
		seq   uint64
		asked []uint64
	}
	tapSays struct {
		tapv1.TapServiceClient
		settled uint64
	}
)

func (s *rewardsSay) GetAwards(_ context.Context, req *rewardsv1.GetAwardsRequest, _ ...grpc.CallOption) (*rewardsv1.GetAwardsResponse, error) {
	s.asked = append(s.asked, req.GetMinSeq())
	return rewardsv1.GetAwardsResponse_builder{Seq: max(s.seq, req.GetMinSeq()), Friends: uint32(len(s.asked))}.Build(), nil
}

func (s *stepsSay) GetDay(_ context.Context, req *stepsv1.GetDayRequest, _ ...grpc.CallOption) (*stepsv1.GetDayResponse, error) {
	s.asked = append(s.asked, req.GetMinSeq())
	return stepsv1.GetDayResponse_builder{Seq: max(s.seq, req.GetMinSeq())}.Build(), nil
}

func (s *tapSays) Settle(context.Context, *tapv1.SettleRequest, ...grpc.CallOption) (*tapv1.SettleResponse, error) {
	return tapv1.SettleResponse_builder{Seq: s.settled}.Build(), nil
}

// TestFaceSeq: a face is read of where tap has settled what followed from the caller's sequence, and reflects no more of
// the log than the one of its parts that reflects less.
func TestFaceSeq(t *testing.T) {
	for _, tt := range []struct {
		minSeq, rewards, steps uint64 // asked for, and where the services are
		asked, want            uint64
	}{
		{0, 12, 10, 0, 10},
		{0, 10, 12, 0, 10},
		{5, 12, 10, 9, 10},
		{5, 3, 4, 9, 9},
		{5, 3, 12, 9, 9},
	} {
		rewards, steps := &rewardsSay{seq: tt.rewards}, &stepsSay{seq: tt.steps}
		a := &api{services: &services{tap: &tapSays{settled: 9}, rewards: rewards, steps: steps}}
		face, err := a.GetFace(t.Context(), gatewayv1.GetFaceRequest_builder{Wearer: "w", MinSeq: tt.minSeq}.Build())
		if err != nil {
			t.Fatal(err)
		}
		if face.GetSeq() != tt.want || !slices.Equal(rewards.asked, []uint64{tt.asked}) || !slices.Equal(steps.asked, []uint64{tt.asked}) {
			t.Errorf("%+v: got the sequence %d, rewards asked for %d and steps for %d", tt, face.GetSeq(), rewards.asked, steps.asked)
		}
	}
}

// faces is the stream of a watcher.
type faces struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // of the stream
	sent chan *gatewayv1.Face
}

func (f *faces) Context() context.Context { return f.ctx }

func (f *faces) Send(face *gatewayv1.Face) error {
	f.sent <- face
	return nil
}

// TestWatchDoesNotGoBack: each part of a watched face is read of where it was last shown of, or of what woke the watcher,
// whichever is later: replicas differ, and so do the services.
func TestWatchDoesNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wearer := fact.WearerID{1}
		rewards, steps := &rewardsSay{seq: 20}, &stepsSay{seq: 10}
		h := newHub(nil, eventlog.Position{Seq: 7}, nil, nil, nil)
		a := &api{services: &services{rewards: rewards, steps: steps}, hub: h}
		ctx, cancel := context.WithCancel(t.Context())
		stream := &faces{ctx: ctx, sent: make(chan *gatewayv1.Face, 9)}
		ended := make(chan error, 1)
		go func() {
			ended <- a.WatchFace(gatewayv1.GetFaceRequest_builder{Wearer: wearer.String()}.Build(), stream)
		}()
		for _, tt := range []struct {
			woken         fact.Seq // by what
			awards, steps uint64   // asked for
			seq           uint64   // shown
		}{
			{0, 7, 7, 10},
			{15, 20, 15, 15},
			{25, 25, 25, 25},
		} {
			if tt.woken > 0 {
				h.mu.Lock()
				wakeAll(h.watchers[wearer], tt.woken)
				h.mu.Unlock()
			}
			synctest.Wait()
			if face := <-stream.sent; face.GetSeq() != tt.seq || rewards.asked[len(rewards.asked)-1] != tt.awards || steps.asked[len(steps.asked)-1] != tt.steps {
				t.Errorf("woken by %d: got %v, rewards asked for %d, steps for %d, want %d, %d and %d",
					tt.woken, face, rewards.asked, steps.asked, tt.seq, tt.awards, tt.steps)
			}
		}
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

// Replicas of rewards and of steps that have folded the log up to a sequence, and do not go on. A wearer has as many friends,
// and as many steps, as that is.
type (
	stuckRewards struct {
		rewardsv1.UnimplementedRewardsServiceServer
		seq uint64
	}
	stuckSteps struct {
		stepsv1.UnimplementedStepsServiceServer
		seq uint64
	}
)

func (s *stuckRewards) GetAwards(_ context.Context, req *rewardsv1.GetAwardsRequest) (*rewardsv1.GetAwardsResponse, error) {
	return rewardsv1.GetAwardsResponse_builder{Seq: s.seq, Friends: uint32(s.seq)}.Build(), reach(s.seq, req.GetMinSeq())
}

func (s *stuckSteps) GetDay(_ context.Context, req *stepsv1.GetDayRequest) (*stepsv1.GetDayResponse, error) {
	day := stepsv1.Day_builder{Steps: uint32(s.seq)}.Build()
	return stepsv1.GetDayResponse_builder{Seq: s.seq, Day: day}.Build(), reach(s.seq, req.GetMinSeq())
}

func reach(seq, minSeq uint64) error {
	if minSeq > seq {
		return serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED, "min_seq %d: at %d", minSeq, seq)
	}
	return nil
}

// startStuck runs services each of which has one replica at each of its sequences, and an API that reads them.
func startStuck(t *testing.T, rewards, steps []uint64) *api {
	t.Helper()
	var addresses [2][]string
	for i, seqs := range [][]uint64{rewards, steps} {
		for _, seq := range seqs {
			l, err := serve.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := serve.New(quiet)
			rewardsv1.RegisterRewardsServiceServer(server, &stuckRewards{seq: seq})
			stepsv1.RegisterStepsServiceServer(server, &stuckSteps{seq: seq})
			server.Serving(true)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- server.Run(ctx, l) }()
			t.Cleanup(func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			addresses[i] = append(addresses[i], l.Addr().String())
		}
	}
	s, err := dial("127.0.0.1:1", strings.Join(addresses[0], ","), strings.Join(addresses[1], ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close) // before the servers, which wait for its connections
	return &api{services: s, hub: newHub(nil, eventlog.Position{}, nil, nil, nil)}
}

// TestFaceDoesNotGoBack: two replicas of rewards, one of which is held back, and steps that lag behind both, or the other
// way round. Who hands back what the last face reflected gets nothing older, however often they ask or watch anew, and
// whatever replica answers. The seq of that face, as min_seq, cannot say it: it is that of the part that lags.
func TestFaceDoesNotGoBack(t *testing.T) {
	const behind, held, ahead = 3, 4, 5
	for name, at := range map[string]struct{ rewards, steps []uint64 }{
		"of rewards": {[]uint64{ahead, held}, []uint64{behind}},
		"of steps":   {[]uint64{behind}, []uint64{held, ahead}},
	} {
		t.Run(name, func(t *testing.T) {
			a := startStuck(t, at.rewards, at.steps)
			furthest := func(f *gatewayv1.Face) uint32 { return max(f.GetFriends(), f.GetToday().GetSteps()) }
			req := gatewayv1.GetFaceRequest_builder{Wearer: fact.WearerID{1}.String()}.Build()
			var seen *gatewayv1.Face
			for furthest(seen) < ahead {
				var err error
				if seen, err = a.GetFace(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}
			if seen.GetSeq() != behind {
				t.Errorf("the face has the sequence %d, want %d, the lower of its parts", seen.GetSeq(), behind)
			}
			req.SetSeen(seen.GetReflected())
			for range 4 {
				face, err := a.GetFace(t.Context(), req)
				if err != nil || furthest(face) != ahead {
					t.Errorf("after %v: got %v, %v", seen, face, err)
				}
				if face := firstOf(t, a, req); furthest(face) != ahead {
					t.Errorf("after %v: the next watch began with %v", seen, face)
				}
			}
		})
	}
}

// firstOf returns the face that a watch begins with.
func firstOf(t *testing.T, a *api, req *gatewayv1.GetFaceRequest) *gatewayv1.Face {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream := &faces{ctx: ctx, sent: make(chan *gatewayv1.Face, 1)}
	ended := make(chan error, 1)
	go func() { ended <- a.WatchFace(req, stream) }()
	face := <-stream.sent
	cancel()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Errorf("the watch ended with %v", err)
	}
	return face
}

// TestFaceSeenOfAnotherLog: what was seen of a log that was cut since is never reached, and a watch says so instead of
// waiting for ever.
func TestFaceSeenOfAnotherLog(t *testing.T) {
	a := startStuck(t, []uint64{4}, []uint64{4})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req := gatewayv1.GetFaceRequest_builder{Wearer: fact.WearerID{1}.String(), Seen: gatewayv1.Reflected_builder{Steps: 5}.Build()}.Build()
	err := a.WatchFace(req, &faces{ctx: ctx, sent: make(chan *gatewayv1.Face, 1)})
	wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
}
