// Package server is the shell of the gateway: it makes the log, writes what phones, apps and operators report, keeps
// the time, and routes reads to the services.
package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// Config is what a gateway is started with.
type Config struct {
	serve.Config
	Replicas int         // of the stream, if this gateway makes it
	MaxBytes int64       // of the stream at each server, if this gateway makes it; 0 = no bound of its own
	Rules    *fact.Rules // to be in force; nil = whatever the log says, or the default in a new log
	Tap      string      // addresses of the tap service, host:port, separated by commas
	Rewards  string      // addresses of the rewards service
	Steps    string      // addresses of the steps service
	Limits   Limits
	Notary   Notary
	Now      func() fact.UnixMilli // the clock; nil = this machine's
}

// Limits are what admission goes by beside the roster.
type Limits struct {
	Tolerance time.Duration // how far ahead of the gateway's a pin's clock may be
	Rate      float64       // statements a second of one pin, in the long run
	Burst     int           // statements of one pin at once

	CallerRate  float64 // bad signatures a second of one connection, in the long run
	CallerBurst int     // bad signatures of one connection at once
}

// DefaultLimits allow for the clocks of cheap watches, for a pin that was offline through the whole Games, and for a phone
// whose broken pin fills two uploads with bad signatures. To check a signature takes some tenth of a millisecond, so a
// connection that brings nothing but junk costs a tenth of a second, and then a thousandth of one core.
func DefaultLimits() Limits {
	return Limits{Tolerance: 10 * time.Minute, Rate: 20, Burst: 2000, CallerRate: 10, CallerBurst: 2 * MaxUpload}
}

// TimeInterval is how often a gateway says that time has passed (docs/design.md section 6: about once a minute).
const TimeInterval = time.Minute

// Run runs a gateway until the context ends, which is no error.
func Run(ctx context.Context, c Config) error {
	if c.Now == nil {
		c.Now = func() fact.UnixMilli { return fact.UnixMilli(time.Now().UnixMilli()) }
	}
	return serve.Rebuilding(ctx, c.Config, func(ctx context.Context, base serve.Config) error {
		c := c
		c.Config = base
		return runUntilDamaged(ctx, c)
	})
}

// runUntilDamaged runs a gateway until the context ends, or one of its files turns out to be damaged.
func runUntilDamaged(ctx context.Context, c Config) error {
	keys, err := openKeys(c.Notary, c.Games)
	if err != nil {
		return err
	}
	defer keys.close()
	log, err := begin(ctx, c, keys)
	if err != nil {
		return serve.IgnoreEnd(ctx, err)
	}
	var end eventlog.Position
	var last eventlog.Message
	if err := serve.Reach(ctx, c.Logger, func() (err error) {
		if end, err = eventlog.End(ctx, log); err == nil {
			last, _, err = log.At(ctx, end.Seq)
		}
		return err
	}); err != nil {
		return serve.IgnoreEnd(ctx, err)
	}
	services, err := dial(c.Tap, c.Rewards, c.Steps)
	if err != nil {
		return err
	}
	defer services.close()
	witness, err := openNotary(ctx, c, log, keys)
	if err != nil {
		return serve.IgnoreEnd(ctx, err)
	}
	defer witness.Close()
	return serve.Run(ctx, c.Config, log, gateway.Core{}, func(runner *fold.Runner) serve.API {
		a := newAPI(c, log, end, runner, services)
		return serve.API{
			Register: func(s grpc.ServiceRegistrar) {
				gatewayv1.RegisterGatewayServiceServer(s, a)
				gatewayv1.RegisterOperatorServiceServer(s, &operator{api: a})
				gatewayv1.RegisterAuditServiceServer(s, &auditor{api: a, log: log, notary: witness})
			},
			Options: a.options(),
			Ready:   func() error { return checkRules(c.Rules, runner, last.Stored) },
			Tasks: []func(context.Context) error{
				a.committer.run, a.keepTime, a.hub.run, a.hub.keepDay, witness.Run, keys.signed.Watch,
				func(ctx context.Context) error { return services.run(ctx, a.writes.folded, c.Logger) },
			},
			Numbers: func() map[string]uint64 { return withNotary(a.numbers(), witness) },
			Reasons: func() []string { return append(a.reasons(), witness.Reasons()...) },
			Metrics: append(a.metrics(), notaryMetrics(witness)...),
		}
	})
}

// checkRules returns an error if the operator gave rules, and others are in force in a log whose last fact is of that
// instant.
func checkRules(given *fact.Rules, runner *fold.Runner, last fact.UnixMilli) error {
	if given == nil {
		return nil
	}
	return runner.Query(func(seq fact.Seq, r view.Reader) error {
		inForce, ok := gateway.RulesInForce(r)
		if ok && rules.Same(inForce, *given, last) {
			return nil
		}
		return fmt.Errorf("--rules %.80q differ from %.80q, which are in force in the log at sequence %d (%s): rules are not changed in a "+
			"log that has begun, so leave --rules out", given.Name, inForce.Name, seq, strings.Join(rules.Differences(*given, inForce, last), "; "))
	})
}
