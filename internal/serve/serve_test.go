package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pinfold/internal/serve"
)

var quietly = slog.New(slog.DiscardHandler)

func TestListen(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    string // in the error; "" = it listens
	}{
		{"127.0.0.1:0", ""},
		{"127.0.0.2:0", ""}, // all of 127/8 is this machine
		{"localhost:0", ""},
		{"[::ffff:127.0.0.1]:0", ""},
		{"", "want host:port"},
		{"7400", "want host:port"},
		{"127.0.0.1", "want host:port"},
		{"::1:0", "want host:port"},
		{":7400", "only a loopback address"},
		{":0", "only a loopback address"},
		{"0.0.0.0:0", "only a loopback address"},
		{"[::]:0", "only a loopback address"},
		{"[::ffff:0.0.0.0]:0", "only a loopback address"},
		{"192.0.2.1:1", "only a loopback address"},
		{"[2001:db8::1]:1", "only a loopback address"},
		{"169.254.0.1:0", "only a loopback address"},
		{"localhost.example.org:0", "only a loopback address"},
		{"127.1:0", "only a loopback address"}, // which some read as 127.0.0.1, and others do not
		{"2130706433:0", "only a loopback address"},
		{"127.0.0.1:70000", "listen: "},
		{"127.0.0.1:grpc", "listen: "},
	} {
		t.Run(tt.address, func(t *testing.T) { checkListen(t, tt.address, tt.want) })
	}
	t.Run("[::1]:0", func(t *testing.T) {
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("this machine has no IPv6: %v", err)
		}
		_ = l.Close()
		checkListen(t, "[::1]:0", "")
	})
}

func checkListen(t *testing.T, address, want string) {
	t.Helper()
	l, err := serve.Listen(address)
	if want != "" {
		if err == nil {
			_ = l.Close()
			t.Fatalf("listens at %v, want an error", l.Addr())
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() || at.Port == 0 {
		t.Errorf("listens at %v, want a loopback address", l.Addr())
	}
}

// TestListenTwice: an address that is taken is an error, not a second listener.
func TestListenTwice(t *testing.T) {
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if second, err := serve.Listen(l.Addr().String()); err == nil {
		_ = second.Close()
		t.Error("got a second listener")
	}
}

// echo is a small service: what it does is handed in. Its calls take a word.
type echo struct {
	unary  func(ctx context.Context, word string) (string, error)
	stream func(ctx context.Context) error
}

const (
	echoCall   = "/test.Echo/Call"
	echoStream = "/test.Echo/Stream"
)

func (e *echo) register(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, ctx context.Context, decode func(any) error,
			intercept grpc.UnaryServerInterceptor,
		) (any, error) {
			var in wrapperspb.StringValue
			if err := decode(&in); err != nil {
				return nil, err
			}
			return intercept(ctx, &in, &grpc.UnaryServerInfo{FullMethod: echoCall}, func(ctx context.Context, _ any) (any, error) {
				word, err := e.unary(ctx, in.GetValue())
				return wrapperspb.String(word), err
			})
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			return e.stream(s.Context())
		}}},
	}, nil)
}

// running is a server and a connection to it.
type running struct {
	*serve.Server
	conn  *grpc.ClientConn
	stop  context.CancelFunc
	ended chan error // Run's
}

// start runs a server of the echo on a loopback address. It is not said to be serving yet.
func start(t *testing.T, e *echo, logger *slog.Logger) *running {
	t.Helper()
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, e, logger, l)
}

// startOn runs a server on a listener: one of the network, or one within the process.
func startOn(t *testing.T, e *echo, logger *slog.Logger, l net.Listener) *running {
	t.Helper()
	r := &running{Server: serve.New(logger), ended: make(chan error, 1)}
	e.register(r)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.ended <- r.Run(ctx, l) }()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if within, ok := l.(*bufconn.Listener); ok {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return within.DialContext(ctx) }))
	}
	var err error
	if r.conn, err = grpc.NewClient("passthrough:///"+l.Addr().String(), options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.conn.Close()
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		close(r.ended) // so that it can be asked again
	})
	return r
}

func (r *running) call(ctx context.Context, word string) (string, error) {
	var out wrapperspb.StringValue
	err := r.conn.Invoke(ctx, echoCall, wrapperspb.String(word), &out)
	return out.GetValue(), err
}

// streams opens a stream and returns how it ends.
func (r *running) streams(ctx context.Context) error {
	s, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, echoStream)
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(&emptypb.Empty{}), s.CloseSend()); err != nil {
		return err
	}
	return s.RecvMsg(&emptypb.Empty{})
}

func (r *running) health(ctx context.Context) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
	a, err := grpc_health_v1.NewHealthClient(r.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return a.GetStatus(), err
}

const (
	servingNow = grpc_health_v1.HealthCheckResponse_SERVING
	notServing = grpc_health_v1.HealthCheckResponse_NOT_SERVING
)

func simple() *echo {
	return &echo{
		unary:  func(_ context.Context, word string) (string, error) { return word, nil },
		stream: func(context.Context) error { return status.Error(codes.Aborted, "streamed") },
	}
}

// TestNotServing: before the service serves, calls and streams are UNAVAILABLE, while health and reflection answer.
func TestNotServing(t *testing.T) {
	r := start(t, simple(), quietly)
	ctx := t.Context()
	watch, err := grpc_health_v1.NewHealthClient(r.conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, yes := range []bool{false, true, false, true} {
		r.Serving(yes)
		wantHealth, call, stream := notServing, codes.Unavailable, codes.Unavailable
		if yes {
			wantHealth, call, stream = servingNow, codes.OK, codes.Aborted
		}
		if got, err := r.health(ctx); err != nil || got != wantHealth {
			t.Errorf("serving %t: health says %v, %v, want %v", yes, got, err, wantHealth)
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != wantHealth {
			t.Errorf("serving %t: health shows %v, %v, want %v", yes, got.GetStatus(), err, wantHealth)
		}
		if _, err := r.call(ctx, "word"); status.Code(err) != call {
			t.Errorf("serving %t: a call got %v, want %v", yes, err, call)
		}
		if err := r.streams(ctx); status.Code(err) != stream {
			t.Errorf("serving %t: a stream got %v, want %v", yes, err, stream)
		}
		checkReflection(t, r)
	}
}

func checkReflection(t *testing.T, r *running) {
	t.Helper()
	s, err := grpc_reflection_v1.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Recv()
	if err != nil || !strings.Contains(fmt.Sprint(a), "test.Echo") {
		t.Errorf("reflection says %v, %v, want that there is test.Echo", a, err)
	}
}

// TestHealthOfOthers: the health of a service that this server does not know is not made up.
func TestHealthOfOthers(t *testing.T) {
	r := start(t, simple(), quietly)
	r.Serving(true)
	_, err := grpc_health_v1.NewHealthClient(r.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NOT_FOUND", err)
	}
}

// lockedBuffer is what a logger writes into.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestPanic: a call that panics is answered INTERNAL without a word about why, the log tells where it was, and the
// server goes on. Nothing of a caller's stays open.
func TestPanic(t *testing.T) {
	for name, cause := range map[string]any{
		"an error":      errors.New("secret"),
		"a text":        "secret",
		"a nil pointer": nil, // the panic of a nil is one too
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			r := start(t, &echo{
				unary: func(_ context.Context, word string) (string, error) {
					if word == "panic" {
						panicWith(cause)
					}
					return word, nil
				},
				stream: func(context.Context) error { panic(cause) },
			}, slog.New(slog.NewTextHandler(&log, nil)))
			r.Serving(true)
			for range 3 {
				_, err := r.call(t.Context(), "panic")
				wantInternal(t, err)
				wantInternal(t, r.streams(t.Context()))
				if got, err := r.call(t.Context(), "word"); err != nil || got != "word" {
					t.Fatalf("after a panic: got %q, %v", got, err)
				}
			}
			for _, want := range []string{echoCall, echoStream, "panicWith"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not name %s: %s", want, log.String())
				}
			}
		})
	}
}

// panicWith is looked for in the stack.
func panicWith(cause any) { panic(cause) }

func wantInternal(t *testing.T, err error) {
	t.Helper()
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want INTERNAL and nothing of the cause", err)
	}
}

// TestDefaultDeadline: a call whose caller set no deadline has one; a shorter one of the caller stays; a stream lasts as
// long as its caller likes.
func TestDefaultDeadline(t *testing.T) {
	left := make(chan time.Duration, 1)
	r := start(t, &echo{
		unary: func(ctx context.Context, _ string) (string, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return "", nil
		},
		stream: func(ctx context.Context) error {
			if deadline, ok := ctx.Deadline(); ok {
				return fmt.Errorf("it ends in %v", time.Until(deadline))
			}
			return status.Error(codes.Aborted, "")
		},
	}, quietly)
	r.Serving(true)
	for _, tt := range []struct{ asked, least, most time.Duration }{
		{0, 20 * time.Second, 30 * time.Second},
		{10 * time.Second, 5 * time.Second, 10 * time.Second},
		{time.Hour, 20 * time.Second, 30 * time.Second},
	} {
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if tt.asked > 0 {
			ctx, cancel = context.WithTimeout(ctx, tt.asked)
		}
		if _, err := r.call(ctx, ""); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := <-left; got < tt.least || got > tt.most {
			t.Errorf("asked for %v: %v left, want %v to %v", tt.asked, got, tt.least, tt.most)
		}
	}
	if err := r.streams(t.Context()); status.Code(err) != codes.Aborted {
		t.Errorf("a stream has a deadline: %v", err)
	}
}

// TestDefaultDeadlineEnds: a call that goes on past it is cut off, whatever its caller would have waited.
func TestDefaultDeadlineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOn(t, &echo{unary: func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", status.FromContextError(ctx.Err()).Err()
		}}, quietly, bufconn.Listen(1<<16))
		r.Serving(true)
		began := time.Now()
		_, err := r.call(t.Context(), "")
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != 30*time.Second {
			t.Errorf("got %v after %v, want DEADLINE_EXCEEDED after 30 s", err, took)
		}
	})
}

// TestTooLarge: a request of more than 4 MB is refused, and the next one is not.
func TestTooLarge(t *testing.T) {
	r := start(t, simple(), quietly)
	r.Serving(true)
	if _, err := r.call(t.Context(), strings.Repeat("x", serve.MaxMessage)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
	}
	if _, err := r.call(t.Context(), strings.Repeat("x", serve.MaxMessage/2)); err != nil {
		t.Errorf("half of that: %v", err)
	}
}

// TestGracefulStop: a call in progress comes to its end when the server is stopped, and no other one begins.
func TestGracefulStop(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, &echo{unary: func(_ context.Context, word string) (string, error) {
		close(entered)
		<-leave
		return word, nil
	}}, quietly)
	r.Serving(true)
	type answer struct {
		word string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		word, err := r.call(t.Context(), "word")
		answered <- answer{word, err}
	}()
	<-entered
	watch, err := grpc_health_v1.NewHealthClient(r.conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	for state := servingNow; state == servingNow; { // who watches learns it first
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		state = got.GetStatus()
	}
	select {
	case a := <-answered:
		t.Fatalf("the call ended with %+v", a)
	case err := <-r.ended:
		t.Fatalf("the server ended with %v while a call was in progress", err)
	default:
	}
	close(leave)
	if a := <-answered; a.err != nil || a.word != "word" {
		t.Errorf("got %+v, want the call's answer", a)
	}
	_ = r.conn.Close() // and with it the watch
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	close(r.ended)
	r.ended = make(chan error, 1)
	r.ended <- nil
}

// TestStopCut: a call that does not come to its end is cut off after a while.
func TestStopCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startOn(t, &echo{unary: func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", status.FromContextError(ctx.Err()).Err()
		}}, quietly, bufconn.Listen(1<<16))
		r.Serving(true)
		answered := make(chan error, 1)
		go func() {
			_, err := r.call(t.Context(), "")
			answered <- err
		}()
		synctest.Wait()
		began := time.Now()
		r.stop()
		err := <-answered
		if took := time.Since(began); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled || took != 5*time.Second {
			t.Errorf("got %v after %v, want it cut off after 5 s", err, took)
		}
	})
}

// TestRunEnded: a server that is stopped before it runs does not run.
func TestRunEnded(t *testing.T) {
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve.New(quietly).Run(ctx, l); err != nil {
		t.Errorf("got %v", err)
	}
	if again, err := net.Listen("tcp", l.Addr().String()); err != nil {
		t.Errorf("the address is still taken: %v", err)
	} else {
		_ = again.Close()
	}
}

// TestRunFails: a listener that fails is an error, unlike a stop.
func TestRunFails(t *testing.T) {
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := serve.New(quietly).Run(t.Context(), l); err == nil {
		t.Error("got no error of a closed listener")
	}
}
