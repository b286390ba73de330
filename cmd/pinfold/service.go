package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gateway "pinfold/services/gateway/server"
	rewards "pinfold/services/rewards/server"
	steps "pinfold/services/steps/server"
	tap "pinfold/services/tap/server"
)

// storeFlags say where things are kept and of which Games.
type storeFlags struct {
	Data  string `help:"Folder of everything that is kept." default:"pinfold-data" type:"path"`
	Games string `help:"The Games: 1 to 32 of a-z, 0-9 and -." default:"tokyo2020"`
}

// Validate implements kong.Validatable.
func (f storeFlags) Validate() error { return eventlog.CheckGames(f.Games) }

func (f storeFlags) view(service string) string { return filepath.Join(f.Data, "views", service+".db") }

func (f storeFlags) keys() string { return filepath.Join(f.Data, "keys") }

// natsFlags say where the log is.
type natsFlags struct {
	NATS string `name:"nats" help:"URLs of the servers of the NATS cluster, separated by commas." required:"" placeholder:"URL,..."`
}

// serviceFlags are those of one service of a cluster.
type serviceFlags struct {
	storeFlags
	natsFlags
}

// serve runs a service and the admin API of its process, with a connection to NATS that lasts as long.
func (f serviceFlags) serve(s *session, name, listen, adminAddress string, run func(context.Context, serve.Config) error) error {
	listener, err := serve.Listen(listen)
	if err != nil {
		return err
	}
	defer listener.Close() // for the ways out before it is served
	logger := s.logger.With("service", name)
	admin, err := serve.OpenAdmin(adminAddress, logger, name)
	if err != nil {
		return err
	}
	defer admin.Close()
	nc, err := eventlog.Connect(f.NATS, "pinfold "+name, true, logger)
	if err != nil {
		return fmt.Errorf("NATS at %s: %w", withoutSecrets(f.NATS), err)
	}
	defer nc.Close()
	if err := admin.ShowConnection(nc); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(s.ctx)
	group.Go(func() error {
		address := listener.Addr().String()
		if err := awaitServing(ctx, address); err != nil {
			return serve.IgnoreEnd(ctx, err)
		}
		return s.printService(name, address, admin.Address())
	})
	group.Go(func() error { return eventlog.UntilClosed(ctx, nc) })
	group.Go(func() error { return eventlog.LeaveCutOff(ctx, nc, logger) })
	group.Go(func() error { return admin.Run(ctx) })
	group.Go(func() error {
		return run(ctx, serve.Config{NATS: nc, Games: f.Games, View: f.view(name), Listener: listener, Logger: logger, Admin: admin})
	})
	return group.Wait()
}

// printService says where a service of a cluster serves.
func (s *session) printService(name, address, admin string) error {
	if s.output == "json" {
		at := map[string]string{name: address}
		if admin != "" {
			at["admin"] = admin
		}
		return s.answer(at)
	}
	_, err := fmt.Fprintf(s.stdout, "%-8s %s\n", name, address)
	if admin != "" && err == nil {
		_, err = fmt.Fprintf(s.stdout, "admin    %s\n", admin)
	}
	return err
}

type tapCommand struct {
	serviceFlags
	Listen string `help:"Address of the gRPC API; loopback only." default:"127.0.0.1:7401"`
	Admin  string `help:"Address of the admin HTTP listener: metrics, status, readiness, profiles; loopback only. An empty one is none." default:"127.0.0.1:7491"`
}

func (c *tapCommand) Run(s *session) error {
	return c.serve(s, "tap", c.Listen, c.Admin, tap.Run)
}

type rewardsCommand struct {
	serviceFlags
	Listen string `help:"Address of the gRPC API; loopback only." default:"127.0.0.1:7402"`
	Admin  string `help:"Address of the admin HTTP listener: metrics, status, readiness, profiles; loopback only. An empty one is none." default:"127.0.0.1:7492"`
}

func (c *rewardsCommand) Run(s *session) error {
	return c.serve(s, "rewards", c.Listen, c.Admin, rewards.Run)
}

type stepsCommand struct {
	serviceFlags
	Listen string `help:"Address of the gRPC API; loopback only." default:"127.0.0.1:7403"`
	Admin  string `help:"Address of the admin HTTP listener: metrics, status, readiness, profiles; loopback only. An empty one is none." default:"127.0.0.1:7493"`
}

func (c *stepsCommand) Run(s *session) error {
	return c.serve(s, "steps", c.Listen, c.Admin, steps.Run)
}

// gatewayFlags are those of a gateway, wherever the log is.
type gatewayFlags struct {
	Listen    string    `help:"Address of the public gRPC API; loopback only." default:"127.0.0.1:7400"`
	Rules     rulesFile `help:"File of the rules to be in force, as docs/rules.md describes one. In a new log the default is Tokyo 2020; a log that has others in force refuses." type:"existingfile" placeholder:"FILE"`
	Tolerance tolerance `help:"How far ahead of the gateway's a pin's clock may be." default:"${tolerance}"`
	PinRate   rate      `help:"Statements a second that are taken of one pin, in the long run." default:"${pin_rate}"`
	PinBurst  burst     `help:"Statements that are taken of one pin at once." default:"${pin_burst}"`

	CallerRate  rate  `help:"Bad signatures a second that are looked at from one connection, in the long run." default:"${caller_rate}"`
	CallerBurst burst `help:"Bad signatures that are looked at from one connection at once." default:"${caller_burst}"`

	CheckpointEvery factCount `help:"Facts from one checkpoint that the gateway signs unasked to the next." default:"${checkpoint_every}"`
}

// joinFlag lets a gateway that has no checkpoint key make one.
type joinFlag struct {
	Join bool `help:"Make a checkpoint key for a log that has begun, where DIR has none and has signed nothing: of a new gateway, or one whose folder is lost for good."`
}

// factCount is a number of facts, of which there is at least one. A flag of its own checks it: were the check one of
// gatewayFlags, it would hide those of the other flags of the same command.
type factCount uint64

// Validate implements kong.Validatable.
func (f factCount) Validate() error {
	if f == 0 {
		return errors.New("0: want 1 or more")
	}
	return nil
}

// tolerance is how far ahead a clock may be.
type tolerance time.Duration

// Validate implements kong.Validatable. A day and more would let a pin count the steps of tomorrow.
func (d tolerance) Validate() error {
	if d < 0 || time.Duration(d) > 24*time.Hour {
		return fmt.Errorf("%v: want 0s to 24h", time.Duration(d))
	}
	return nil
}

// UnmarshalText reads a duration as Go writes them.
func (d *tolerance) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.80q: want a duration such as 10m", text)
	}
	*d = tolerance(value)
	return nil
}

// String implements fmt.Stringer.
func (d tolerance) String() string { return time.Duration(d).String() }

// The most that an allowance may be: above it there is none.
const maxAllowance = 1_000_000

// rate is a number of statements a second.
type rate float64

// Validate implements kong.Validatable.
func (r rate) Validate() error {
	if !(r > 0 && r <= maxAllowance) { // NaN is neither
		return fmt.Errorf("%v: want more than 0, and at most %d", float64(r), maxAllowance)
	}
	return nil
}

// burst is a number of statements at once.
type burst int

// Validate implements kong.Validatable.
func (b burst) Validate() error {
	if b < 1 || b > maxAllowance {
		return fmt.Errorf("%d: want 1 to %d", int(b), maxAllowance)
	}
	return nil
}

// workerCount is a number of workers; 0 = as many as there are processors.
type workerCount int

// Validate implements kong.Validatable.
func (n workerCount) Validate() error {
	if n < 0 || n > 1024 {
		return fmt.Errorf("%d: want 0 to 1024", int(n))
	}
	return nil
}

// serverCount is a number of servers that keep a stream: JetStream has at most five do so.
type serverCount int

// Validate implements kong.Validatable.
func (n serverCount) Validate() error {
	if n < 1 || n > 5 {
		return fmt.Errorf("%d: want 1 to 5", n)
	}
	return nil
}

// byteCount is a number of bytes.
type byteCount int64

// Validate implements kong.Validatable.
func (n byteCount) Validate() error {
	if n < 0 {
		return fmt.Errorf("%d: want 0 or more", n)
	}
	return nil
}

// config fills in what the flags say. Where the other services are is left to the caller.
func (f gatewayFlags) config(base serve.Config, store storeFlags) (gateway.Config, error) {
	var inForce *fact.Rules
	if f.Rules != "" {
		r, err := readRules(string(f.Rules))
		if err != nil {
			return gateway.Config{}, err
		}
		inForce = &r
	}
	return gateway.Config{
		Config: base, Replicas: 1, Rules: inForce,
		Limits: gateway.Limits{
			Tolerance: time.Duration(f.Tolerance), Rate: float64(f.PinRate), Burst: int(f.PinBurst),
			CallerRate: float64(f.CallerRate), CallerBurst: int(f.CallerBurst),
		},
		Notary: gateway.Notary{Tree: store.view("tree"), Keys: store.keys(), Every: fact.Seq(f.CheckpointEvery)},
	}, nil
}

type gatewayCommand struct {
	serviceFlags
	gatewayFlags
	Admin    string      `help:"Address of the admin HTTP listener: metrics, status, readiness, profiles; loopback only. An empty one is none." default:"127.0.0.1:7490"`
	Tap      string      `help:"Addresses of the tap service, separated by commas." default:"127.0.0.1:7401" placeholder:"HOST:PORT,..."`
	Rewards  string      `help:"Addresses of the rewards service, separated by commas." default:"127.0.0.1:7402" placeholder:"HOST:PORT,..."`
	Steps    string      `help:"Addresses of the steps service, separated by commas." default:"127.0.0.1:7403" placeholder:"HOST:PORT,..."`
	Replicas serverCount `help:"Servers that keep the log, if this gateway makes it; one that fewer keep is refused." default:"1"`
	LogBytes byteCount   `help:"Bytes that the log may take at each server, if this gateway makes it, which they set aside; 0 = as many as they have." default:"0"`
	Begin    bool        `help:"Make the log of new Games, and before it a checkpoint key: only where DIR has signed nothing. Where there is a log it does nothing."`
	joinFlag
}

func (c *gatewayCommand) Run(s *session) error {
	return c.serve(s, "gateway", c.Listen, c.Admin, func(ctx context.Context, base serve.Config) error {
		config, err := c.config(base, c.storeFlags)
		if err != nil {
			return err
		}
		config.Tap, config.Rewards, config.Steps, config.Replicas = c.Tap, c.Rewards, c.Steps, int(c.Replicas)
		config.MaxBytes = int64(c.LogBytes)
		config.Notary.Begin, config.Notary.Join = c.Begin, c.Join
		return gateway.Run(ctx, config)
	})
}

// quiet is a logger that passes on warnings only, for where a crowd's progress is shown.
func quiet(s *session) *slog.Logger { return warnings(s.stderr) }

func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
