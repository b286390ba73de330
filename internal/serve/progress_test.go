package serve

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pinfold/internal/fact"
)

// TestRebuildProgress: how far, how fast and for how long yet, as of what was to be folded when the service started.
func TestRebuildProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rebuild
		if p, ok := r.progress(5); ok {
			t.Errorf("got %v before it began", p)
		}
		r.begin(100, 1100)
		if p, ok := r.progress(100); !ok || p.String() != "100 of 1100 facts are folded" {
			t.Errorf("got %v", p)
		}
		var said bytes.Buffer
		ctx, end := context.WithCancel(t.Context())
		at := fact.Seq(100)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.follow(ctx, slog.New(slog.NewTextHandler(&said, nil)), func() fact.Seq { at += 200; return at })
		}()
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		end()
		<-ended
		if p, _ := r.progress(500); p.String() != "500 of 1100 facts are folded, 40 a second, some 15s more" {
			t.Errorf("got %v", p)
		}
		if p, _ := r.progress(9000); p.at != 1100 || p.left != 0 {
			t.Errorf("got %v", p)
		}
		if text := said.String(); strings.Count(text, "folding the log") != 2 || !strings.Contains(text, "seq=500 of=1100 facts_per_second=40 left=15s") {
			t.Errorf("it said %s", text)
		}
		r.begin(1100, 1100)
		if p, ok := r.progress(1100); ok {
			t.Errorf("got %v where there was nothing to fold", p)
		}
	})
}

// TestTaken: a port that is taken is said to be, with what to do.
func TestTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), l.Addr().String()+" is taken") || !strings.Contains(err.Error(), "--help") {
		t.Errorf("got %v", err)
	}
}
