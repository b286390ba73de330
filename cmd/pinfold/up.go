package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"pinfold/internal/eventlog"
	"pinfold/internal/serve"
	gateway "pinfold/services/gateway/server"
	rewards "pinfold/services/rewards/server"
	steps "pinfold/services/steps/server"
	tap "pinfold/services/tap/server"
)

type upCommand struct {
	storeFlags
	gatewayFlags
	joinFlag
	TapListen     string `help:"Address of the tap service's gRPC API; loopback only." default:"127.0.0.1:7401"`
	RewardsListen string `help:"Address of the rewards service's gRPC API; loopback only." default:"127.0.0.1:7402"`
	Admin         string `help:"Address of the admin HTTP listener: metrics, status, readiness, profiles; loopback only. An empty one is none." default:"127.0.0.1:7490"`
	StepsListen   string `help:"Address of the steps service's gRPC API; loopback only." default:"127.0.0.1:7403"`
}

func (c *upCommand) Run(s *session) error {
	return c.up(s.ctx, s.logger, func(_ context.Context, at addresses) error { return s.printAddresses(at) })
}

// addresses are where the services of one process listen.
type addresses struct {
	Gateway string `json:"gateway"`
	Tap     string `json:"tap"`
	Rewards string `json:"rewards"`
	Steps   string `json:"steps"`
	Admin   string `json:"admin,omitempty"` // "" = none
}

func (s *session) printAddresses(at addresses) error {
	if s.output == "json" {
		return s.answer(at)
	}
	fmt.Fprintf(s.stdout, "gateway  %s\ntap      %s\nrewards  %s\nsteps    %s\n", at.Gateway, at.Tap, at.Rewards, at.Steps)
	if at.Admin != "" {
		fmt.Fprintf(s.stdout, "admin    %s\n", at.Admin)
	}
	return nil
}

// up runs all services on an embedded log, calls ready once they serve, and goes on until the context ends or one of
// them fails. The context that ready is given ends when a service fails.
func (c *upCommand) up(ctx context.Context, logger *slog.Logger, ready func(context.Context, addresses) error) (err error) {
	at := addresses{Gateway: c.Listen, Tap: c.TapListen, Rewards: c.RewardsListen, Steps: c.StepsListen}
	services := []*service{
		{name: "gateway", address: &at.Gateway, run: func(ctx context.Context, base serve.Config) error {
			config, err := c.config(base, c.storeFlags)
			if err != nil {
				return err
			}
			config.Tap, config.Rewards, config.Steps = at.Tap, at.Rewards, at.Steps
			config.Notary.Begin, config.Notary.Join = true, c.Join
			return gateway.Run(ctx, config)
		}},
		{name: "tap", address: &at.Tap, run: tap.Run},
		{name: "rewards", address: &at.Rewards, run: rewards.Run},
		{name: "steps", address: &at.Steps, run: steps.Run},
	}
	for _, s := range services {
		if s.listener, err = serve.Listen(*s.address); err != nil {
			return err
		}
		defer s.listener.Close()
		*s.address = s.listener.Addr().String()
	}
	admin, err := serve.OpenAdmin(c.Admin, logger, "gateway", "tap", "rewards", "steps")
	if err != nil {
		return err
	}
	defer admin.Close()
	at.Admin = admin.Address()
	embedded, err := eventlog.StartEmbedded(filepath.Join(c.Data, "log"), 0, logger)
	if err != nil {
		return err
	}
	defer embedded.Stop()
	if err := c.rightGames(ctx, embedded); err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		group.Go(func() error {
			nc, err := embedded.Connect()
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			defer nc.Close()
			running, ctx := errgroup.WithContext(ctx)
			running.Go(func() error { return eventlog.UntilClosed(ctx, nc) })
			running.Go(func() error {
				return s.run(ctx, serve.Config{
					NATS: nc, Games: c.Games, View: c.view(s.name), Listener: s.listener, Logger: logger.With("service", s.name),
					Admin: admin,
				})
			})
			return running.Wait()
		})
	}
	group.Go(func() error { return admin.Run(ctx) })
	group.Go(func() error {
		for _, s := range services {
			if err := awaitServing(ctx, *s.address); err != nil {
				return serve.IgnoreEnd(ctx, err)
			}
		}
		return ready(ctx, at)
	})
	return group.Wait()
}

// rightGames refuses to begin a second Games in a folder: an id that was mistyped would.
func (c *upCommand) rightGames(ctx context.Context, embedded *eventlog.Embedded) error {
	nc, err := embedded.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	there, err := eventlog.Games(ctx, nc)
	if err != nil {
		return err
	}
	if len(there) > 0 && !slices.Contains(there, c.Games) {
		return fmt.Errorf("--games %s: the folder %s holds the log of %s: give that, or another --data", c.Games, c.Data, strings.Join(there, ", "))
	}
	return nil
}

// service is one service of `up`.
type service struct {
	name     string
	address  *string // where it is to listen, and then where it does
	listener net.Listener
	run      func(context.Context, serve.Config) error
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
	return awaitServingAt(ctx, conn)
}

// awaitServingAt returns when the service at the other end of the connection serves.
func awaitServingAt(ctx context.Context, conn grpc.ClientConnInterface) error {
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
