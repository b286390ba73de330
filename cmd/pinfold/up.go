package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"pinfold/internal/eventlog"
	"pinfold/internal/serve"
	gateway "pinfold/services/gateway/server"
	rewards "pinfold/services/rewards/server"
	tap "pinfold/services/tap/server"
)

type upCommand struct {
	storeFlags
	gatewayFlags
	TapListen     string `help:"Address of the tap service's gRPC API; loopback only." default:"127.0.0.1:7401"`
	RewardsListen string `help:"Address of the rewards service's gRPC API; loopback only." default:"127.0.0.1:7402"`
}

func (c *upCommand) Run(s *session) error {
	return c.up(s.ctx, s.logger, func(_ context.Context, at addresses) error { return s.printAddresses(at) })
}

// addresses are where the services of one process listen.
type addresses struct {
	Gateway string `json:"gateway"`
	Tap     string `json:"tap"`
	Rewards string `json:"rewards"`
}

func (s *session) printAddresses(at addresses) error {
	if s.output == "json" {
		return json.NewEncoder(s.stdout).Encode(at)
	}
	_, err := fmt.Fprintf(s.stdout, "gateway  %s\ntap      %s\nrewards  %s\n", at.Gateway, at.Tap, at.Rewards)
	return err
}

// up runs all services on an embedded log, calls ready once they serve, and goes on until the context ends or one of
// them fails. The context that ready is given ends when a service fails.
func (c *upCommand) up(ctx context.Context, logger *slog.Logger, ready func(context.Context, addresses) error) (err error) {
	var listeners [3]net.Listener
	for i, address := range []string{c.Listen, c.TapListen, c.RewardsListen} {
		if listeners[i], err = serve.Listen(address); err != nil {
			return err
		}
		defer listeners[i].Close()
	}
	embedded, err := eventlog.StartEmbedded(filepath.Join(c.Data, "log"), 0, logger)
	if err != nil {
		return err
	}
	defer embedded.Stop()

	group, ctx := errgroup.WithContext(ctx)
	start := func(name string, listener net.Listener, run func(context.Context, serve.Config) error) error {
		nc, err := embedded.Connect()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		group.Go(func() error {
			defer nc.Close()
			return run(ctx, c.serviceConfig(nc, name, listener, logger))
		})
		return nil
	}
	at := addresses{Gateway: listeners[0].Addr().String(), Tap: listeners[1].Addr().String(), Rewards: listeners[2].Addr().String()}
	for _, service := range []struct {
		name     string
		listener net.Listener
		run      func(context.Context, serve.Config) error
	}{
		{"gateway", listeners[0], func(ctx context.Context, base serve.Config) error {
			config, err := c.config(base, at.Tap, at.Rewards, 1)
			if err != nil {
				return err
			}
			return gateway.Run(ctx, config)
		}},
		{"tap", listeners[1], tap.Run},
		{"rewards", listeners[2], rewards.Run},
	} {
		if err := start(service.name, service.listener, service.run); err != nil {
			group.Go(func() error { return err })
		}
	}
	group.Go(func() error {
		for _, address := range []string{at.Gateway, at.Tap, at.Rewards} {
			if err := awaitServing(ctx, address); err != nil {
				return serve.IgnoreEnd(ctx, err)
			}
		}
		return ready(ctx, at)
	})
	return group.Wait()
}

func (c *upCommand) serviceConfig(nc *nats.Conn, name string, l net.Listener, logger *slog.Logger) serve.Config {
	return serve.Config{NATS: nc, Games: c.Games, View: c.view(name), Listener: l, Logger: logger.With("service", name)}
}

// dialPlain connects to a service on this machine.
func dialPlain(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// healthPoll is how often a service is asked whether it serves yet.
const healthPoll = 20 * time.Millisecond

// awaitServing returns when the service at the address serves.
func awaitServing(ctx context.Context, address string) error {
	conn, err := dialPlain(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			return nil
		}
		select {
		case <-time.After(healthPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
