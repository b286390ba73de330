package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pinfold/internal/eventlog"
	"pinfold/internal/fold"
)

const (
	// adminHeaders is how long a client of the admin listener may take to send the head of a request.
	adminHeaders = 5 * time.Second
	// adminIdle is how long a connection of the admin listener may be kept for the next request.
	adminIdle = time.Minute
)

// Admin shows an operator the services of one process: their metrics, whether they serve, and where their folds stand.
// A service is shown while its Run goes on; what it shows is in no registry but Admin's own. A nil Admin is switched off:
// it shows nothing.
type Admin struct {
	listener net.Listener
	logger   *slog.Logger
	expected []string // the names of the process's services
	registry *prometheus.Registry
	head     logEnd

	mu      sync.RWMutex // held for reading while a service is looked at
	shown   map[string]*shown
	process []func() []string // see AddReasons
}

// shown is a running service.
type shown struct {
	log     eventlog.Log
	runner  *fold.Runner
	server  *Server
	view    string // path of the view's file
	numbers func() map[string]uint64
	reasons func() []string
	rebuild rebuild
}

// OpenAdmin opens the admin listener, on a loopback address, of a process that is to run the services of these names. An
// empty address is none: the Admin is then nil.
func OpenAdmin(address string, logger *slog.Logger, services ...string) (*Admin, error) {
	if address == "" {
		return nil, nil
	}
	l, err := Listen(address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	a := &Admin{listener: l, logger: logger, expected: services, registry: prometheus.NewRegistry(), shown: map[string]*shown{}}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), foldMetrics{a})
	return a, nil
}

// Address returns where the Admin listens, host:port, or "" of a nil one.
func (a *Admin) Address() string {
	if a == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Close closes the listener of an Admin that is not to Run.
func (a *Admin) Close() {
	if a != nil {
		_ = a.listener.Close() // Run has closed it, or nobody came
	}
}

// AddReasons adds what the process itself has to say against it, beside its services: see API.Reasons. It is shown whether
// they serve or not.
func (a *Admin) AddReasons(reasons func() []string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.process = append(a.process, reasons)
}

// show shows a running service until leave is called, which returns once nobody looks at the service any more.
func (a *Admin) show(name string, s *shown, metrics []prometheus.Collector) (leave func(), err error) {
	if a == nil {
		return func() {}, nil
	}
	unregister, err := a.register(name, s.server.calls.collectors(), metrics)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown[name] = s
	return func() {
		unregister()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.shown, name)
	}, nil
}

// register registers the metrics that every service has, which get its name as a label, and those of its own.
func (a *Admin) register(name string, each, own []prometheus.Collector) (unregister func(), err error) {
	named := prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, a.registry)
	var undo []func() bool
	unregister = func() {
		for _, f := range undo {
			f()
		}
	}
	add := func(r prometheus.Registerer, list []prometheus.Collector) {
		for _, c := range list {
			if err != nil {
				return
			}
			if err = r.Register(c); err == nil {
				undo = append(undo, func() bool { return r.Unregister(c) })
			}
		}
	}
	add(named, each)
	add(a.registry, own)
	if err != nil {
		unregister()
	}
	return unregister, err
}

// Run serves until the context ends, and then lets the requests in progress come to their end. A nil Admin returns at once.
func (a *Admin) Run(ctx context.Context) error {
	if a == nil {
		return nil
	}
	server := &http.Server{
		Handler: onlyLocal(a.handler()), ReadHeaderTimeout: adminHeaders, IdleTimeout: adminIdle,
		BaseContext: func(net.Listener) context.Context { return ctx }, // so that a profile that is being taken ends too
		ErrorLog:    slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // the grace is over
		}
	})
	err := server.Serve(a.listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("admin: %w", err)
}

func (a *Admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /digest", a.digest)
	// Without pprof.Cmdline: a command line may hold the password of a NATS user.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// onlyLocal refuses requests that were made to another name than this machine's own: a web page whose name was made to
// point here could otherwise read the answers, through a browser on this machine.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]") // without a port
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			http.Error(w, "only for this machine", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readyz answers 503 while no service of the process serves, and else 200, with all that is said against it.
func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	status := a.Status()
	serving, reasons := 0, status.Reasons
	for _, s := range status.Services {
		if s.Serving {
			serving++
		} else {
			reasons = append(reasons, s.Name+" does not serve")
		}
		for _, r := range s.Reasons {
			reasons = append(reasons, s.Name+": "+r)
		}
	}
	text := strings.Join(reasons, "; ")
	switch {
	case serving == 0:
		http.Error(w, "not ready: "+text, http.StatusServiceUnavailable)
	case text != "":
		fmt.Fprintln(w, "ready, but: "+text)
	default:
		fmt.Fprintln(w, "ready")
	}
}

// serving reports whether the service serves. The caller holds a.mu.
func (a *Admin) serving(name string) bool {
	s := a.shown[name]
	return s != nil && s.server.ready.Load()
}

func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.Status()) // the client has gone: there is nobody to tell
}

// digest answers with the Digests.
func (a *Admin) digest(w http.ResponseWriter, _ *http.Request) {
	digests, err := a.Digests()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(digests) // the client has gone: there is nobody to tell
}
