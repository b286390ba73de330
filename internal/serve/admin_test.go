package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
)

// idle is a core that does nothing.
type idle struct{}

func (idle) Name() string                       { return "idle" }
func (idle) ActsOn() []fact.Family              { return []fact.Family{fact.Clock} }
func (idle) Derives() fact.Family               { return "" }
func (idle) Step(kv.Tx, fact.Entry) []fact.Fact { return nil }
func idleClock() fact.UnixMilli                 { return 1 }
func idleNumbers() map[string]uint64            { return map[string]uint64{"marbles": 7} }
func noServices(grpc.ServiceRegistrar)          {}
func discard() *slog.Logger                     { return slog.New(slog.DiscardHandler) }
func adminGet(t *testing.T, a *Admin, path string) (code int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + a.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func wantAnswer(t *testing.T, a *Admin, path string, wantCode int, want string) {
	t.Helper()
	if code, got := adminGet(t, a, path); code != wantCode || !strings.Contains(got, want) {
		t.Errorf("%s: got %d %q, want %d and %q", path, code, got, wantCode, want)
	}
}

// runAdmin runs an Admin until stop is called.
func runAdmin(t *testing.T, services ...string) (a *Admin, stop func()) {
	t.Helper()
	a, err := OpenAdmin("127.0.0.1:0", discard(), services...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("admin ended: %v", err)
		}
	}
}

// idleService runs a service of the idle core that the Admin shows. It serves once ready is closed.
func idleService(t *testing.T, a *Admin, log eventlog.Log, ready <-chan struct{}, catching chan<- struct{}) (address string, stop func()) {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	c := Config{Games: "test", View: filepath.Join(t.TempDir(), "idle.db"), Listener: l, Logger: discard(), Admin: a}
	go func() {
		ended <- Run(ctx, c, log, idle{}, func(*fold.Runner) API {
			return API{
				Register: noServices, Numbers: idleNumbers, Reasons: func() []string { return []string{"marbles are lost"} },
				Ready:   func() error { catching <- struct{}{}; <-ready; return nil },
				Metrics: []prometheus.Collector{prometheus.NewGauge(prometheus.GaugeOpts{Name: "pinfold_marbles", Help: "Marbles."})},
			}
		})
	}()
	return l.Addr().String(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("service ended: %v", err)
		}
	}
}

// awaitHealth returns when the service at the address says that it serves, and asks it once more.
func awaitHealth(t *testing.T, address string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			break
		}
	}
	if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
}

// TestAdmin starts and stops a service twice under one Admin: it is shown as long as it runs, and leaves nothing behind.
func TestAdmin(t *testing.T) {
	had := goleak.IgnoreCurrent()
	log := eventlog.NewMemory(idleClock, eventlog.Faults{})
	if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimePassed{Time: 1}}, {Fact: fact.TimePassed{Time: 2}}}}); err != nil {
		t.Fatal(err)
	}
	a, stopAdmin := runAdmin(t, "idle", "absent")
	wantAnswer(t, a, "/healthz", http.StatusOK, "alive")
	wantAnswer(t, a, "/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile")
	for range 2 {
		wantAnswer(t, a, "/readyz", http.StatusServiceUnavailable, "not ready: idle does not serve; absent does not serve\n")
		wantAnswer(t, a, "/digest", http.StatusOK, "[]\n")
		checkScrape(t, a, false)
		ready, catching := make(chan struct{}), make(chan struct{})
		address, stop := idleService(t, a, log, ready, catching)
		<-catching
		wantAnswer(t, a, "/readyz", http.StatusServiceUnavailable, "idle does not serve")
		close(ready)
		awaitHealth(t, address)
		wantAnswer(t, a, "/readyz", http.StatusOK, "ready, but: idle: marbles are lost; absent does not serve\n")
		checkStatus(t, a)
		wantAnswer(t, a, "/digest", http.StatusOK, `[{"service":"idle","epoch":1,"seq":2,`+
			`"digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]`)
		checkScrape(t, a, true)
		stop()
	}
	wantAnswer(t, a, "/status", http.StatusOK, `{"name":"idle","serving":false,`)
	stopAdmin()
	goleak.VerifyNone(t, had)
}

func checkStatus(t *testing.T, a *Admin) {
	t.Helper()
	_, body := adminGet(t, a, "/status")
	var got Status
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	if len(got.Services) != 2 || got.Services[0].Numbers["marbles"] != 7 {
		t.Fatalf("got %+v, want two services, the first with 7 marbles", got)
	}
	if got := got.Services[0].Reasons; !slices.Equal(got, []string{"marbles are lost"}) {
		t.Errorf("got the reasons %q, want the service's own", got)
	}
	got.Services[0].Numbers, got.Services[1].Numbers = nil, nil
	const epoch = 1
	if at := got.Services[0]; at.Name != "idle" || !at.Serving || at.Epoch != epoch || at.Seq != 2 || at.Settled != 2 || at.Head != 2 || at.Lag != 0 {
		t.Errorf("got %+v, want idle serving at 2 of 2", at)
	}
	if at := got.Services[1]; at.Name != "absent" || at.Serving || at.Seq != 0 {
		t.Errorf("got %+v, want absent not serving", at)
	}
}

// checkScrape checks that the metrics of a running service are there, and that those of one that has stopped are not.
func checkScrape(t *testing.T, a *Admin, running bool) {
	t.Helper()
	_, text := adminGet(t, a, "/metrics")
	for _, name := range []string{"go_goroutines", "go_build_info", `pinfold_serving{service="absent"} 0`} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s in the scrape", name)
		}
	}
	for _, name := range []string{
		`pinfold_fold_seq{service="idle"} 2`, `pinfold_fold_settled_seq{service="idle"} 2`, `pinfold_fold_lag{service="idle"} 0`,
		`pinfold_view_bytes{service="idle"}`, `pinfold_serving{service="idle"} 1`, "pinfold_marbles",
		`pinfold_reasons{service="idle"} 1`, "pinfold_log_answers 1", "pinfold_log_head_seq 2",
		`pinfold_grpc_calls_total{code="OK",method="grpc.health.v1.Health/Check",service="idle"} 1`,
		`pinfold_grpc_call_seconds_count{method="grpc.health.v1.Health/Check",service="idle"} 1`,
	} {
		if got := strings.Contains(text, "\n"+name); got != running {
			t.Errorf("%s in the scrape: %t, want %t", name, got, running)
		}
	}
}

func TestAdminIsLocal(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:7490": http.StatusOK, "localhost:7490": http.StatusOK, "localhost": http.StatusOK, "[::1]:7490": http.StatusOK,
		"[::1]": http.StatusOK, "evil.example:7490": http.StatusForbidden, "192.0.2.1": http.StatusForbidden, "": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/status", http.NoBody)
		r.Host = host
		w := httptest.NewRecorder()
		onlyLocal(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: got %d, want %d", host, w.Code, want)
		}
	}
	if _, err := OpenAdmin("0.0.0.0:0", discard()); err == nil || !strings.Contains(err.Error(), "only a loopback address") {
		t.Errorf("got %v, want only loopback addresses to be allowed", err)
	}
}

func TestAdminOff(t *testing.T) {
	a, err := OpenAdmin("", discard(), "idle")
	if a != nil || err != nil {
		t.Fatalf("got %v, %v, want none", a, err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Error(err)
	}
	a.Close()
	leave, err := a.show("idle", nil, nil)
	if err != nil || a.Address() != "" {
		t.Errorf("got %v at %q, want nothing", err, a.Address())
	}
	leave()
}

// TestStreamCounts shows that a stream is counted at its end, with its code.
func TestStreamCounts(t *testing.T) {
	c, registry := newCalls(), prometheus.NewRegistry()
	registry.MustRegister(c.collectors()...)
	count := func() int {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		return len(families)
	}
	ended := status.Error(codes.Unavailable, "the service stops")
	err := c.stream(nil, nil, &grpc.StreamServerInfo{FullMethod: "/a/Watch"}, func(any, grpc.ServerStream) error {
		if n := count(); n != 0 {
			t.Errorf("got %d metrics while the stream is open, want none", n)
		}
		return ended
	})
	if !errors.Is(err, ended) || count() != 2 {
		t.Errorf("got %v and %d metrics, want %v and 2", err, count(), ended)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if want := `pinfold_grpc_calls_total{code="Unavailable",method="a/Watch"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("got %s, want %s in it", w.Body, want)
	}
}

// TestHeadIsAskedOnce looks many times at once: the log is asked once, and an error of it is told.
func TestHeadIsAskedOnce(t *testing.T) {
	log := &failingHead{}
	a := &Admin{shown: map[string]*shown{"idle": {log: log}}}
	for range 3 {
		if _, err := a.logEnd(); !errors.Is(err, eventlog.ErrReplaced) {
			t.Errorf("got %v, want %v", err, eventlog.ErrReplaced)
		}
	}
	if log.asked != 1 {
		t.Errorf("asked %d times, want 1", log.asked)
	}
}

// TestReadyz: a process is not ready while none of its services serves; whatever else is said against it stands in the
// text of one that is. Without an answer of the log nobody is told a lag.
func TestReadyz(t *testing.T) {
	var away atomic.Bool
	log := eventlog.NewMemory(idleClock, eventlog.Faults{Enter: func(call string) error {
		if away.Load() && call == "Head" {
			return eventlog.ErrUnreachable
		}
		return nil
	}})
	a, stopAdmin := runAdmin(t, "idle")
	defer stopAdmin()
	a.AddReasons(func() []string { return []string{"the roof leaks"} })
	wantAnswer(t, a, "/readyz", http.StatusServiceUnavailable, "not ready: the roof leaks; idle does not serve\n")
	ready, catching := make(chan struct{}), make(chan struct{}, 1)
	close(ready)
	address, stop := idleService(t, a, log, ready, catching)
	defer stop()
	awaitHealth(t, address)
	wantAnswer(t, a, "/readyz", http.StatusOK, "ready, but: the roof leaks; idle: marbles are lost\n")
	away.Store(true)
	a.head.mu.Lock()
	a.head.asked = time.Time{} // as if it were long ago
	a.head.mu.Unlock()
	wantAnswer(t, a, "/readyz", http.StatusOK, "ready, but: the log does not answer: "+eventlog.ErrUnreachable.Error()+"; the roof leaks; idle: marbles are lost\n")
	_, scrape := adminGet(t, a, "/metrics")
	if !strings.Contains(scrape, "\npinfold_log_answers 0\n") || strings.Contains(scrape, "\npinfold_fold_lag{") || strings.Contains(scrape, "\npinfold_log_head_seq") {
		t.Errorf("got %s, want a log that does not answer, and no lag behind it", scrape)
	}
}

type failingHead struct {
	eventlog.Log
	asked int
}

func (l *failingHead) Head(context.Context) (eventlog.Head, error) {
	l.asked++
	return eventlog.Head{}, eventlog.ErrReplaced
}

// TestPanicsWithoutIDs lets a call panic with a wearer in its message and in its arguments: neither is logged, what Go
// itself says and where it was are.
func TestPanicsWithoutIDs(t *testing.T) {
	wearer := fact.WearerID{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for name, tt := range map[string]struct {
		panics func(w fact.WearerID)
		want   string
	}{
		"text":    {func(w fact.WearerID) { panic("no wearer " + w.String()) }, "panic=string"},
		"runtime": {func(w fact.WearerID) { _ = any(w).(fact.PinID) }, "is fact.WearerID, not fact.PinID"},
	} {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			handler := func(context.Context, any) (any, error) { tt.panics(wearer); return nil, nil }
			_, err := recoverPanic(slog.New(slog.NewTextHandler(&logged, nil)))(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/a/B"}, handler)
			if err == nil {
				t.Error("got no error")
			}
			for _, want := range []string{tt.want, "method=/a/B", "admin_test.go:"} {
				if got := logged.String(); !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			for _, id := range []string{wearer.String(), "deadbeef", "0xde, 0xad"} {
				if got := logged.String(); strings.Contains(got, id) {
					t.Errorf("%s was logged: %q", id, got)
				}
			}
		})
	}
}
