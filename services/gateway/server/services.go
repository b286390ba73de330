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
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// services are the other services, as the gateway reads them.
type services struct {
	conns   []*grpc.ClientConn
	tap     tapv1.TapServiceClient
	rewards rewardsv1.RewardsServiceClient
	steps   stepsv1.StepsServiceClient
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

func dial(tap, rewards, steps string) (*services, error) {
	s := &services{}
	var conns [3]*grpc.ClientConn
	for i, service := range []struct{ name, addresses string }{{"tap", tap}, {"rewards", rewards}, {"steps", steps}} {
		var err error
		if conns[i], err = s.dial(service.name, service.addresses); err != nil {
			s.close()
			return nil, err
		}
	}
	s.tap = tapv1.NewTapServiceClient(conns[0])
	s.rewards = rewardsv1.NewRewardsServiceClient(conns[1])
	s.steps = stepsv1.NewStepsServiceClient(conns[2])
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
