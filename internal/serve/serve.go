// Package serve is what the shells of all services have in common: a gRPC server on loopback with health, reflection,
// deadlines and limits, errors with reasons, and a fold running behind it.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"pinfold/internal/view"
)

const (
	// MaxMessage is the largest request and answer, in bytes.
	MaxMessage = 4 << 20
	// maxDeadline bounds every call, also one whose caller set no deadline.
	maxDeadline = 30 * time.Second
	// stopGrace is how long calls in progress may go on after a stop was asked for.
	stopGrace = 5 * time.Second
)

// Listen opens a TCP listener on a loopback address, given as host:port. Any other address is refused: until callers
// prove who they are, nobody but this machine may call.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen %.80q: want host:port: %w", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen %.80q: only a loopback address such as 127.0.0.1 is allowed", address)
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen: %s is taken: another pinfold may run there (pinfold status), and --help says which flag gives another port", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// Server is a gRPC server of one service. Register services on it, then Run.
type Server struct {
	*grpc.Server
	health *healthServer
	ready  atomic.Bool
	calls  *calls
}

// New returns a server that says it is not serving yet, with options beside those that all have.
func New(logger *slog.Logger, options ...grpc.ServerOption) *Server {
	s := &Server{health: &healthServer{Server: health.NewServer()}, calls: newCalls()}
	s.Server = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.ChainUnaryInterceptor(s.calls.unary, recoverPanic(logger), s.whenServing, bound),
		grpc.ChainStreamInterceptor(s.calls.stream, recoverStreamPanic(logger), s.streamWhenServing),
	}, options...)...)
	s.Serving(false)
	grpc_health_v1.RegisterHealthServer(s, s.health)
	reflection.Register(s)
	return s
}

// Serving sets what the health service answers. While the service is not serving, every other call is UNAVAILABLE.
func (s *Server) Serving(yes bool) {
	s.ready.Store(yes)
	state := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if yes {
		state = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
}

// Run serves on the listener until the context ends, and then lets the calls in progress come to their end.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.Serving(false)
		s.health.Shutdown()
		cut := time.AfterFunc(stopGrace, s.Stop)
		defer cut.Stop()
		s.GracefulStop()
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

func (s *Server) whenServing(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := s.serves(info.FullMethod); err != nil {
		return nil, err
	}
	resp, err := handler(ctx, req)
	return resp, whileRebuilt(err)
}

func (s *Server) streamWhenServing(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := s.serves(info.FullMethod); err != nil {
		return err
	}
	return whileRebuilt(handler(srv, stream))
}

// whileRebuilt is the answer to a call that met damage: another replica, or this one in a while, can answer it.
func whileRebuilt(err error) error {
	if _, damaged := errors.AsType[*view.DamagedError](err); damaged {
		return status.Error(codes.Unavailable, "damaged: the service rebuilds its state from the log")
	}
	return err
}

// serves returns an error while calls other than those about the server itself are not served.
func (s *Server) serves(method string) error {
	if s.ready.Load() || strings.HasPrefix(method, "/grpc.health.v1.") || strings.HasPrefix(method, "/grpc.reflection.") {
		return nil
	}
	return status.Error(codes.Unavailable, "starting: the service has not folded the log yet")
}

// recoverPanic answers INTERNAL to a call that panicked, and logs where.
func recoverPanic(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer func() { panicked(ctx, logger, info.FullMethod, recover(), &err) }()
		return handler(ctx, req)
	}
}

func recoverStreamPanic(logger *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() { panicked(stream.Context(), logger, info.FullMethod, recover(), &err) }()
		return handler(srv, stream)
	}
}

func panicked(ctx context.Context, logger *slog.Logger, method string, p any, err *error) {
	if p == nil {
		return
	}
	logger.ErrorContext(ctx, "a call panicked", "method", method, "panic", panicText(p), "stack", stack())
	*err = status.Error(codes.Internal, "internal error")
}

// panicText tells what a panic was about as far as it holds no id of a wearer or a pin: what Go itself says, or the type.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}

// stack returns the calls that led to a panic, one a line, without the arguments that debug.Stack prints: they hold ids.
func stack() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return b.String()
		}
	}
}

func bound(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, maxDeadline)
	defer cancel()
	return handler(ctx, req)
}
