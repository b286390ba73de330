package server

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
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
			_, _, err := a.readFace(t.Context(), "", reflected{}, false)
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
