package serve_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fold"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// zero writes zeros over all pages of a view.
func zero(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(make([]byte, info.Size()), 0); err != nil {
		t.Fatal(err)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestRebuilt damages the view of a service, at rest and in use: the service says so, sets it aside and rebuilds it, at
// the same address.
func TestRebuilt(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	log := eventlog.NewMemory(noon, eventlog.Faults{})
	for range 100 {
		appendTime(t, log, 1)
	}
	path := viewFile(t)
	var said lines
	start := func() *service {
		return runService(t, serve.Config{View: path, Logger: slog.New(slog.NewTextHandler(&said, nil))}, func(ctx context.Context, c serve.Config) error {
			return serve.Rebuilding(ctx, c, of(log, nothing))
		})
	}
	wantDigest := func() {
		t.Helper()
		store, err := view.OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		if err := store.View(func(r view.Reader) error {
			got, err := fold.SnapshotOf(r, "goals")
			if want := refold(t, log); got.Digest != want {
				t.Errorf("got digest %v at %d, want %v", got.Digest, got.Seq, want)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	wantAside := func() {
		t.Helper()
		if err := os.Remove(path + ".damaged"); err != nil {
			t.Errorf("the damaged view was not set aside: %v", err)
		}
	}

	s := start()
	health, unwatch := s.watchHealth(t)
	for health() != servingNow {
	}
	zero(t, path)
	appendTime(t, log, 1) // the fold meets the damage
	for health() != notServing {
	}
	unwatch()
	s.awaitServing(t)
	appendTime(t, log, 1)
	if err := s.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if text := said.String(); !strings.Contains(text, "a file in use is damaged") || !strings.Contains(text, path) {
		t.Errorf("it said %q", text)
	}
	wantAside()

	zero(t, path)
	s = start()
	s.awaitServing(t)
	if err := s.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if text := said.String(); !strings.Contains(text, "a file is damaged") {
		t.Errorf("it said %q", text)
	}
	wantAside()
	wantDigest()
}

// refold folds the whole log into a view in memory.
func refold(t *testing.T, log eventlog.Log) view.Digest {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := fold.Open(ctx, fold.Config{Core: goals{}, Log: log, View: view.NewMemory(), Logger: quietly})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	head, err := log.Head(ctx)
	if err == nil {
		err = r.Wait(ctx, head.Last)
	}
	at, serr := r.Snapshot()
	cancel()
	if rerr := <-ended; err != nil || serr != nil || rerr != nil {
		t.Fatal(err, serr, rerr)
	}
	return at.Digest
}

// TestDamagedCall: a call that met damage may be tried again, and tells no stranger where the file is.
func TestDamagedCall(t *testing.T) {
	damaged := fmt.Errorf("wrapped: %w", &view.DamagedError{Path: "/data/views/tap.db", Reason: "a value"})
	r := start(t, &echo{
		unary:  func(context.Context, string) (string, error) { return "", damaged },
		stream: func(context.Context) error { return damaged },
	}, quietly)
	r.Serving(true)
	_, called := r.call(t.Context(), "word")
	for _, err := range []error{called, r.streams(t.Context())} {
		if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "tap.db") {
			t.Errorf("got %v", err)
		}
	}
}
