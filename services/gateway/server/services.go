package server

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // so that replicas that are not serving are passed over
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// services are the other services, as the gateway reads them.
type services struct {
	conns   []*grpc.ClientConn
	tap     tapv1.TapServiceClient
	rewards rewardsv1.RewardsServiceClient
}

// readConfig spreads reads over the replicas that serve, waits for one while none does, and tries a read again that
// fell to a replica that just went: all within the deadline of the call, and harmless, since they are reads.
const readConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": ""},
	"methodConfig": [{
		"name": [{}],
		"waitForReady": true,
		"retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]
}`

func dial(tap, rewards string) (*services, error) {
	s := &services{}
	tapConn, err := s.dial("tap", tap)
	if err != nil {
		return nil, err
	}
	rewardsConn, err := s.dial("rewards", rewards)
	if err != nil {
		s.close()
		return nil, err
	}
	s.tap = tapv1.NewTapServiceClient(tapConn)
	s.rewards = rewardsv1.NewRewardsServiceClient(rewardsConn)
	return s, nil
}

func (s *services) dial(name, addresses string) (*grpc.ClientConn, error) {
	replicas := manual.NewBuilderWithScheme(name)
	var state resolver.State
	for address := range strings.SplitSeq(addresses, ",") {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: strings.TrimSpace(address)}}})
	}
	replicas.InitialState(state)
	conn, err := grpc.NewClient(name+":///"+name, grpc.WithResolvers(replicas),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(readConfig))
	if err != nil {
		return nil, fmt.Errorf("service %s at %q: %w", name, addresses, err)
	}
	s.conns = append(s.conns, conn)
	return conn, nil
}

func (s *services) close() {
	for _, c := range s.conns {
		_ = c.Close() // nothing is sent any more
	}
}

// settle returns the sequence to ask the services behind tap for, so that they reflect what followed from minSeq.
func (s *services) settle(ctx context.Context, minSeq uint64) (uint64, error) {
	if minSeq == 0 {
		return 0, nil
	}
	settled, err := s.tap.Settle(ctx, tapv1.SettleRequest_builder{Seq: minSeq}.Build())
	if err != nil {
		return 0, err
	}
	return settled.GetSeq(), nil
}
