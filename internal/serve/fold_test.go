package serve_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// service is a Run that goes on.
type service struct {
	address string
	stop    context.CancelFunc
	ended   chan error
}

// runService runs a service of the goals core.
func runService(t *testing.T, c serve.Config, run func(context.Context, serve.Config) error) *service {
	t.Helper()
	var err error
	if c.Listener, err = serve.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s := &service{address: c.Listener.Addr().String(), ended: make(chan error, 1)}
	c.Games = "tokyo2020"
	if c.Logger == nil {
		c.Logger = quietly
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	t.Cleanup(s.stop)
	go func() { s.ended <- run(ctx, c) }()
	return s
}

// end stops the service and returns what Run returned.
func (s *service) end() error {
	s.stop()
	return <-s.ended
}

// watchHealth returns a function that waits for the next change of the service's health, and one that ends the watch:
// until then a service that is stopped waits for it, as for every call.
func (s *service) watchHealth(t *testing.T) (next func() grpc_health_v1.HealthCheckResponse_ServingStatus, end func()) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { _ = conn.Close() }) // what it was watched for is known
	t.Cleanup(end)
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return func() grpc_health_v1.HealthCheckResponse_ServingStatus {
		a, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return a.GetStatus()
	}, end
}

// awaitServing returns when the service serves.
func (s *service) awaitServing(t *testing.T) {
	t.Helper()
	health, end := s.watchHealth(t)
	defer end()
	for state := health(); state != servingNow; state = health() {
		t.Logf("health: %v", state)
	}
}

func viewFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "views", "goals.db")
}

// of returns a Run of the goals core over the log.
func of(log eventlog.Log, api func(*fold.Runner) serve.API) func(context.Context, serve.Config) error {
	return func(ctx context.Context, c serve.Config) error { return serve.Run(ctx, c, log, goals{}, api) }
}

func nothing(*fold.Runner) serve.API {
	return serve.API{Register: func(grpc.ServiceRegistrar) {}}
}

// TestRun: a service serves when it has folded what was in the log at its start, and not before; it ends without an
// error, and leaves its view for the next one.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	hold := make(chan struct{})
	var held atomic.Bool
	held.Store(true)
	log := eventlog.NewMemory(noon, eventlog.Faults{Enter: func(call string) error {
		if call == "Next" && held.Load() {
			<-hold
		}
		return nil
	}})
	var last fact.Seq
	for range 100 {
		last = appendTime(t, log, 1)
	}
	path := viewFile(t)
	var readyAt fold.Progress
	s := runService(t, serve.Config{View: path}, of(log, func(r *fold.Runner) serve.API {
		return serve.API{
			Register: func(grpc.ServiceRegistrar) {},
			Ready:    func() error { readyAt = r.Progress(); return nil },
		}
	}))
	health, unwatch := s.watchHealth(t)
	if got := health(); got != notServing {
		t.Errorf("before it has folded the log: %v", got)
	}
	held.Store(false)
	close(hold)
	if got := health(); got != servingNow {
		t.Errorf("after it has folded the log: %v", got)
	}
	if readyAt.Seq < last {
		t.Errorf("it was ready at sequence %d, the log ended at %d", readyAt.Seq, last)
	}
	s.stop()
	if got := health(); got != notServing {
		t.Errorf("when it stops: %v", got)
	}
	unwatch()
	if err := s.end(); err != nil {
		t.Errorf("Run: %v", err)
	}

	store, err := view.OpenBolt(path)
	if err != nil {
		t.Fatalf("the view is still in use: %v", err)
	}
	defer store.Close()
	if err := store.View(func(r view.Reader) error {
		at, err := fold.SnapshotOf(r, goals{}.Name())
		if at.Seq < last {
			t.Errorf("the view is at %d, the log ended at %d", at.Seq, last)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestRunErrors: what must not go on ends Run with its error, without a call being served.
func TestRunErrors(t *testing.T) {
	wrong := errors.New("wrong")
	for name, tt := range map[string]struct {
		log  func() *eventlog.Memory
		api  serve.API
		want string
	}{
		"not ready": {
			api:  serve.API{Ready: func() error { return wrong }},
			want: "wrong",
		},
		"a task fails": {
			api:  serve.API{Tasks: []func(context.Context) error{func(ctx context.Context) error { <-ctx.Done(); return nil }, func(context.Context) error { return wrong }}},
			want: "wrong",
		},
		"the log's end is not known": {
			log: func() *eventlog.Memory {
				return eventlog.NewMemory(noon, eventlog.Faults{Enter: func(call string) error {
					if call == "Head" {
						return wrong
					}
					return nil
				}})
			},
			want: "wrong",
		},
		"the fold diverges": {
			log: func() *eventlog.Memory {
				log := eventlog.NewMemory(noon, eventlog.Faults{})
				goal := fact.Record{Fact: fact.StepGoalReached{Day: 9}, Derivation: fact.Derivation{Cause: 1, Count: 1}}
				if _, err := log.Append(context.Background(), eventlog.Batch{Records: []fact.Record{goal}}); err != nil {
					panic(err)
				}
				return log
			},
			want: "DIVERGED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := eventlog.NewMemory(noon, eventlog.Faults{})
			if tt.log != nil {
				log = tt.log()
			}
			tt.api.Register = func(grpc.ServiceRegistrar) {}
			s := runService(t, serve.Config{View: viewFile(t)}, of(log, func(*fold.Runner) serve.API { return tt.api }))
			if err := <-s.ended; err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestRunTaskEnds: a task that was cut off by the end is no error.
func TestRunTaskEnds(t *testing.T) {
	began := make(chan struct{})
	s := runService(t, serve.Config{View: viewFile(t)}, of(eventlog.NewMemory(noon, eventlog.Faults{}), func(*fold.Runner) serve.API {
		return serve.API{
			Register: func(grpc.ServiceRegistrar) {},
			Tasks: []func(context.Context) error{func(ctx context.Context) error {
				close(began)
				<-ctx.Done()
				return ctx.Err()
			}},
		}
	}))
	<-began
	if err := s.end(); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestRunView: a view that another process uses, or that is of another log, is an error and stays as it is.
func TestRunView(t *testing.T) {
	log := eventlog.NewMemory(noon, eventlog.Faults{})
	appendTime(t, log, 1)
	path := viewFile(t)
	first := runService(t, serve.Config{View: path}, of(log, nothing))
	first.awaitServing(t)
	second := runService(t, serve.Config{View: path}, of(log, nothing))
	if err := <-second.ended; err == nil || !strings.Contains(err.Error(), "does another process use it?") {
		t.Errorf("a view in use: got %v", err)
	}
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	empty := eventlog.NewMemory(noon, eventlog.Faults{})
	other := runService(t, serve.Config{View: path}, of(empty, nothing))
	err := <-other.ended
	if _, misfit := errors.AsType[*fold.MisfitError](err); !misfit {
		t.Errorf("a view of another log: got %v, want a MisfitError", err)
	}
}

// said is a log handler that tells of a sentence.
type said struct {
	slog.Handler
	what string
	told chan struct{}
}

func (s said) Enabled(context.Context, slog.Level) bool { return true }

func (s said) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, s.what) {
		close(s.told)
	}
	return nil
}

// TestRunFold: a service that is started before there is a log waits for it, says so once, and then serves.
func TestRunFold(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, quietly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Stop)
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	register := func(grpc.ServiceRegistrar, *fold.Runner) {}
	waiting := func() (*service, chan struct{}) {
		told := make(chan struct{})
		return runService(t, serve.Config{NATS: nc, View: viewFile(t), Logger: slog.New(said{what: "waiting for the log", told: told})},
			func(ctx context.Context, c serve.Config) error { return serve.RunFold(ctx, c, goals{}, register) }), told
	}

	// One that is stopped while it still waits ends, and gives its address back.
	impatient, told := waiting()
	<-told
	if err := impatient.end(); err != nil {
		t.Errorf("stopped while it waits: %v", err)
	}
	if l, err := net.Listen("tcp", impatient.address); err != nil {
		t.Errorf("stopped while it waits: %v", err)
	} else {
		_ = l.Close()
	}

	patient, told := waiting()
	<-told
	log, err := eventlog.Create(t.Context(), nc, "tokyo2020", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{
		{Fact: fact.RulesAdopted{Rules: rules.Tokyo2020()}}, {Fact: fact.TimePassed{Time: 1}},
	}}); err != nil {
		t.Fatal(err)
	}
	patient.awaitServing(t)
	if err := patient.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestIgnoreEnd(t *testing.T) {
	wrong := errors.New("wrong")
	ctx, cancel := context.WithCancel(t.Context())
	if got := serve.IgnoreEnd(ctx, wrong); !errors.Is(got, wrong) {
		t.Errorf("while it goes on: got %v, want the error", got)
	}
	if got := serve.IgnoreEnd(ctx, nil); got != nil {
		t.Errorf("no error: got %v", got)
	}
	cancel()
	if got := serve.IgnoreEnd(ctx, wrong); got != nil {
		t.Errorf("after the end: got %v", got)
	}
}
