package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// fakeTap and fakeRewards stand for the services behind a gateway.
type fakeTap struct {
	tapv1.UnimplementedTapServiceServer
	settle func(ctx context.Context, seq uint64) (uint64, error)
}

func (f *fakeTap) Settle(ctx context.Context, req *tapv1.SettleRequest) (*tapv1.SettleResponse, error) {
	seq, err := f.settle(ctx, req.GetSeq())
	return tapv1.SettleResponse_builder{Seq: seq}.Build(), err
}

type fakeRewards struct {
	rewardsv1.UnimplementedRewardsServiceServer
	minSeqs chan uint64
}

func (f *fakeRewards) GetTotals(_ context.Context, req *rewardsv1.GetTotalsRequest) (*rewardsv1.GetTotalsResponse, error) {
	f.minSeqs <- req.GetMinSeq()
	return &rewardsv1.GetTotalsResponse{}, nil
}

// startReads returns an API that reads from fakes over the network.
func startReads(t *testing.T, settle func(ctx context.Context, seq uint64) (uint64, error)) (*api, *fakeRewards) {
	t.Helper()
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(quiet)
	rewards := &fakeRewards{minSeqs: make(chan uint64, 1)}
	tapv1.RegisterTapServiceServer(server, &fakeTap{settle: settle})
	rewardsv1.RegisterRewardsServiceServer(server, rewards)
	server.Serving(true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	at := l.Addr().String()
	s, err := dial(at, at, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the services ended: %v", err)
		}
	})
	return &api{services: s}, rewards
}

// TestReadSettles: rewards is asked for where tap has settled what followed from the caller's sequence.
func TestReadSettles(t *testing.T) {
	a, rewards := startReads(t, func(_ context.Context, seq uint64) (uint64, error) {
		if seq == 0 {
			return 0, errors.New("asked without need")
		}
		return seq + 4, nil
	})
	for minSeq, want := range map[uint64]uint64{0: 0, 5: 9} {
		if _, err := a.GetTotals(t.Context(), rewardsv1.GetTotalsRequest_builder{MinSeq: minSeq}.Build()); err != nil {
			t.Fatal(err)
		}
		if got := <-rewards.minSeqs; got != want {
			t.Errorf("min_seq %d: rewards was asked for %d, want %d", minSeq, got, want)
		}
	}
}

// TestReadNotReached: a service that has not come to min_seq says so in time for the gateway's caller to hear it, and
// not to be told only that the deadline is over.
func TestReadNotReached(t *testing.T) {
	behind := startGateway(t, eventlog.NewMemory(machineClock, eventlog.Faults{})).runner
	var asked atomic.Int32
	a, _ := startReads(t, func(ctx context.Context, seq uint64) (uint64, error) {
		asked.Add(1)
		reached, err := serve.Settle(ctx, behind, seq)
		return uint64(reached), err
	})
	// A machine under load may take longer for the way back than is kept for it, so it is given several tries.
	const tries = 10
	for range tries {
		asked.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := a.GetTotals(ctx, rewardsv1.GetTotalsRequest_builder{MinSeq: 5}.Build())
		cancel()
		if status.Code(err) == codes.DeadlineExceeded {
			t.Logf("got %v", err)
			continue
		}
		wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
		if got := asked.Load(); got != 1 {
			t.Errorf("tap was asked %d times, want once", got)
		}
		return
	}
	t.Errorf("got no SEQ_NOT_REACHED in %d tries", tries)
}

// TestReadTriedAgain: a read that fell to a replica that just went is tried again.
func TestReadTriedAgain(t *testing.T) {
	var asked atomic.Int32
	a, rewards := startReads(t, func(_ context.Context, seq uint64) (uint64, error) {
		if asked.Add(1) < 3 {
			return 0, serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE, "going down")
		}
		return seq, nil
	})
	if _, err := a.GetTotals(t.Context(), rewardsv1.GetTotalsRequest_builder{MinSeq: 5}.Build()); err != nil {
		t.Fatal(err)
	}
	if got := <-rewards.minSeqs; got != 5 || asked.Load() != 3 {
		t.Errorf("rewards was asked for %d after %d tries, want 5 after 3", got, asked.Load())
	}
}

// TestReadPastSilence: beside a replica that takes connections and says nothing every read is answered.
func TestReadPastSilence(t *testing.T) {
	silence, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silence.Close()
	a, rewards := startReads(t, func(_ context.Context, seq uint64) (uint64, error) { return seq, nil })
	good := a.services.all[0].list[0].address
	s, err := dial(good+", "+silence.Addr().String(), good, good)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	goUntilEnd(t, func(ctx context.Context) error { return s.run(ctx, func() fact.Seq { return 0 }, quiet) })
	a = &api{services: s}
	for range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := a.GetTotals(ctx, rewardsv1.GetTotalsRequest_builder{MinSeq: 5}.Build())
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		<-rewards.minSeqs
	}
}
