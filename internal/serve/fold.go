package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
)

// Config is what every service is started with.
type Config struct {
	NATS     *nats.Conn   // where the log is; the service does not close it
	Games    string       // whose log it is
	View     string       // path of the view's file
	Listener net.Listener // where the gRPC API is served; the service closes it
	Logger   *slog.Logger
	Admin    *Admin // shows the service while it runs; nil = nobody does
}

// API is what a service serves beside its fold.
type API struct {
	// Register puts the service's gRPC services on the server.
	Register func(grpc.ServiceRegistrar)
	// Options are those of its gRPC server beside those that all have.
	Options []grpc.ServerOption
	// Ready, if not nil, is called when the fold has caught up, before the first call is served. Its error ends Run.
	Ready func() error
	// Tasks go on beside the fold until the context ends.
	Tasks []func(context.Context) error
	// Numbers, if not nil, returns what /status shows of the service beside its fold, by name.
	Numbers func() map[string]uint64
	// Reasons, if not nil, returns what is to be said against the service though it serves, one short text for each,
	// without ids of wearers and pins: /readyz, /status and `pinfold status` show it. It is called often and must not wait.
	Reasons func() []string
	// Metrics are the service's own. No label may hold a wearer or a pin.
	Metrics []prometheus.Collector
}

// Run runs a service: it folds the log into the view, and serves the API once it has folded what was in the log when it
// started. It returns nil when the context ends, and an error when the service must not go on.
func Run(ctx context.Context, c Config, log eventlog.Log, core fold.Core, api func(*fold.Runner) API) error {
	store, err := OpenView(c.View, c.Logger)
	if err != nil {
		return err
	}
	defer store.Close()
	var runner *fold.Runner
	if err := Reach(ctx, c.Logger, func() (err error) {
		runner, err = fold.Open(ctx, fold.Config{Core: core, Log: log, View: store, Logger: c.Logger})
		return err
	}); err != nil {
		return IgnoreEnd(ctx, err)
	}
	a := api(runner)
	server := New(c.Logger, a.Options...)
	server.health.folded = func() fact.Seq { return runner.Progress().Seq }
	a.Register(server)
	page := &shown{log: log, runner: runner, server: server, view: c.View, numbers: a.Numbers, reasons: a.Reasons}
	leave, err := c.Admin.show(core.Name(), page, a.Metrics)
	if err != nil {
		return err
	}
	defer leave()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return runner.Run(ctx) })
	group.Go(func() error { return store.Watch(ctx) })
	group.Go(func() error { return server.Run(ctx, c.Listener) })
	group.Go(func() error { return IgnoreEnd(ctx, catchUp(ctx, c, page, a.Ready)) })
	for _, task := range a.Tasks {
		group.Go(func() error { return IgnoreEnd(ctx, task(ctx)) })
	}
	return group.Wait()
}

func catchUp(ctx context.Context, c Config, shown *shown, ready func() error) error {
	log, runner, server := shown.log, shown.runner, shown.server
	var head eventlog.Head
	if err := Reach(ctx, c.Logger, func() (err error) {
		head, err = log.Head(ctx)
		return err
	}); err != nil {
		return err
	}
	shown.rebuild.begin(runner.Progress().Seq, head.Last)
	following, end := context.WithCancel(ctx)
	var progress sync.WaitGroup
	progress.Go(func() { shown.rebuild.follow(following, c.Logger, func() fact.Seq { return runner.Progress().Seq }) })
	err := runner.Wait(ctx, head.Last)
	end()
	progress.Wait()
	if err != nil {
		return err
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	server.Serving(true)
	c.Logger.Info("serving", "address", c.Listener.Addr().String(), "seq", uint64(head.Last))
	return nil
}

// RunFold runs a service that is a fold and nothing else: it waits for the log, then does as Run.
func RunFold(ctx context.Context, c Config, core fold.Core, register func(grpc.ServiceRegistrar, *fold.Runner)) error {
	return RunAfterLog(ctx, c, core, func(runner *fold.Runner) API {
		return API{Register: func(s grpc.ServiceRegistrar) { register(s, runner) }}
	})
}

// RunAfterLog waits for the log, then does as Run, again whenever the view turns out to be damaged.
func RunAfterLog(ctx context.Context, c Config, core fold.Core, api func(*fold.Runner) API) error {
	return Rebuilding(ctx, c, func(ctx context.Context, c Config) error {
		log, err := awaitLog(ctx, c)
		if err != nil {
			return IgnoreEnd(ctx, err)
		}
		return Run(ctx, c, log, core, api)
	})
}

// pollLog is how often a service that starts asks a log that is not there, or not reached.
const pollLog = 200 * time.Millisecond

// Reach calls f until the log is there and answers, and returns what f returns then. It is for the start of a service,
// which may come before that of its NATS cluster.
func Reach(ctx context.Context, logger *slog.Logger, f func() error) error {
	for failures := 0; ; failures++ {
		err := f()
		if !errors.Is(err, eventlog.ErrNoLog) && !errors.Is(err, eventlog.ErrUnreachable) {
			return err
		}
		if eventlog.Noteworthy(failures) {
			logger.Info("waiting for the log", "tries", failures+1, "why", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollLog):
		}
	}
}

// awaitLog opens the log of the Games, and waits until there is one: a gateway makes it.
func awaitLog(ctx context.Context, c Config) (log eventlog.Log, err error) {
	err = Reach(ctx, c.Logger, func() (err error) {
		log, err = eventlog.Open(ctx, c.NATS, c.Games)
		return err
	})
	return log, err
}

// IgnoreEnd drops the error of something that was cut off because the context ended.
func IgnoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
