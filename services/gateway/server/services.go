package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"pinfold/internal/fact"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// services are the other services, as the gateway reads them.
type services struct {
	all     []*replicas
	conns   []*grpc.ClientConn
	line    atomic.Uint64 // what this gateway had folded behindAfter ago
	tap     tapv1.TapServiceClient
	rewards rewardsv1.RewardsServiceClient
	steps   stepsv1.StepsServiceClient
}

// dial opens the connections to the replicas of the services, whose addresses are separated by commas.
func dial(tap, rewards, steps string) (*services, error) {
	s := &services{}
	for _, service := range []struct{ name, addresses string }{{"tap", tap}, {"rewards", rewards}, {"steps", steps}} {
		r := &replicas{service: service.name, line: &s.line}
		s.all = append(s.all, r)
		for address := range strings.SplitSeq(service.addresses, ",") {
			address = strings.TrimSpace(address)
			conn, err := grpc.NewClient("passthrough:///"+address, dialOptions()...)
			if err != nil {
				s.close()
				return nil, fmt.Errorf("service %s at %.80q: %w", service.name, address, err)
			}
			s.conns = append(s.conns, conn)
			r.add(address, conn)
		}
	}
	s.tap = tapv1.NewTapServiceClient(s.all[0])
	s.rewards = rewardsv1.NewRewardsServiceClient(s.all[1])
	s.steps = stepsv1.NewStepsServiceClient(s.all[2])
	return s, nil
}

// dialOptions make a connection that is there again soon after its replica is: one that was left is asked each second.
func dialOptions() []grpc.DialOption {
	again := backoff.DefaultConfig
	again.BaseDelay, again.MaxDelay = maxReadPause, healthEvery
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: 2 * time.Second}),
		// Behind a cut that was long, TCP itself may wait for minutes before it tries again.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
	}
}

// run asks all replicas how they are, and keeps what is behind, until the context ends. The function says how far this
// gateway has folded the log.
func (s *services) run(ctx context.Context, folded func() fact.Seq, logger *slog.Logger) error {
	var group errgroup.Group
	for _, r := range s.all {
		for _, one := range r.list {
			group.Go(func() error { r.keepAsking(ctx, one, logger); return nil })
		}
	}
	group.Go(func() error { s.keepLine(ctx, folded); return nil })
	return group.Wait()
}

// keepLine notes each second how far this gateway is, and keeps the line where it was behindAfter ago.
func (s *services) keepLine(ctx context.Context, folded func() fact.Seq) {
	var past [behindAfter / time.Second]fact.Seq // a ring
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % len(past) {
		s.line.Store(uint64(past[i]))
		past[i] = folded()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *services) close() {
	for _, c := range s.conns {
		_ = c.Close() // nothing is sent any more
	}
}

// reasons says what is not to be relied on.
func (s *services) reasons() []string {
	var list []string
	for _, r := range s.all {
		list = append(list, r.reasons()...)
	}
	return list
}

// settle moves the min_seq of a request for a service behind tap to where it reflects what followed from it.
func (s *services) settle(ctx context.Context, req interface {
	GetMinSeq() uint64
	SetMinSeq(seq uint64)
},
) error {
	if req.GetMinSeq() == 0 {
		return nil
	}
	settled, err := s.tap.Settle(ctx, tapv1.SettleRequest_builder{Seq: req.GetMinSeq()}.Build())
	if err != nil {
		return err
	}
	req.SetMinSeq(settled.GetSeq())
	return nil
}

// today returns the day that it is for the steps service at the sequence or later.
func (s *services) today(ctx context.Context, minSeq fact.Seq) (string, error) {
	board, err := s.steps.ListLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{MinSeq: uint64(minSeq), PageSize: 1}.Build())
	return board.GetDay(), err
}
