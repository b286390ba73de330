// Package servetest runs one service as its process does, for the tests of its shell: over a log on JetStream, with a view
// on disk, behind gRPC.
package servetest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
)

// Service is a service that runs until the test ends.
type Service struct {
	Log  eventlog.Log
	Conn *grpc.ClientConn
}

// Start runs a service over a new log. Calls wait until it serves.
func Start(t testing.TB, run func(context.Context, serve.Config) error) *Service {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Stop)
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := &Service{}
	if s.Log, err = eventlog.Create(t.Context(), nc, "test", 1); err != nil {
		t.Fatal(err)
	}
	l, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, serve.Config{NATS: nc, Games: "test", View: filepath.Join(t.TempDir(), "view.db"), Listener: l, Logger: logger})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended: %v", err)
		}
	})
	s.Conn, err = grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Conn.Close() })
	return s
}

// Append appends facts in one batch and returns the sequence of the last.
func (s *Service) Append(t testing.TB, records ...fact.Record) uint64 {
	t.Helper()
	seq, err := s.Log.Append(t.Context(), eventlog.Batch{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return uint64(seq)
}

// Reported returns the records of facts that no fold derived.
func Reported(facts ...fact.Fact) []fact.Record {
	list := make([]fact.Record, len(facts))
	for i, f := range facts {
		list[i].Fact = f
	}
	return list
}

// Walk reads a list page by page and returns it whole. All pages but the last must be full, and none empty but an only one.
func Walk[T any](t testing.TB, size int32, read func(size int32, token string) (page []T, next string, err error)) []T {
	t.Helper()
	var list []T
	seen := map[string]bool{}
	for token := ""; ; {
		if seen[token] {
			t.Fatalf("page size %d, behind %d: the token %q came before", size, len(list), token)
		}
		seen[token] = true
		page, next, err := read(size, token)
		if err != nil {
			t.Fatalf("page size %d, behind %d: %v", size, len(list), err)
		}
		if len(page) > int(size) || next != "" && len(page) < int(size) || token != "" && len(page) == 0 {
			t.Fatalf("page size %d, behind %d: got %d and the token %q", size, len(list), len(page), next)
		}
		list = append(list, page...)
		if next == "" {
			return list
		}
		token = next
	}
}

// WantError checks a gRPC error by its code and the name of its reason.
func WantError(t testing.TB, err error, code codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != code || serve.Reason(err) != reason {
		t.Errorf("got %v with the reason %q, want %v with %q", err, serve.Reason(err), code, reason)
	}
}

// ErrorOf returns the error of a call.
func ErrorOf(_ any, err error) error { return err }

// WantNotReached checks that a call which waits for a sequence that does not come is told so in time. A machine under load
// may take longer for the way back than is kept for it, so it is given several tries.
func WantNotReached(t testing.TB, call func(context.Context) error) {
	t.Helper()
	var err error
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = call(ctx)
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			break
		}
	}
	WantError(t, err, codes.Unavailable, "SEQ_NOT_REACHED")
}
