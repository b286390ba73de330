package server

import (
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// natsServer is an embedded NATS server on a port of its own, which can come back on another folder.
type natsServer struct {
	*eventlog.Embedded
	port int
}

func startNATS(t *testing.T, dir string, port int) *natsServer {
	t.Helper()
	e, err := eventlog.StartEmbedded(dir, port, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	at, err := url.Parse(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(at.Host)
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return &natsServer{e, port}
}

// TestOlderCopy: the server comes back with an older copy of its files, under a gateway that goes on. What the log grows
// anew then stands where other statements stood; whoever repeats those is not told that they are there.
func TestOlderCopy(t *testing.T) {
	for name, tt := range map[string]struct {
		others bool // another gateway writes first, more than was lost, and this one reads it
	}{
		"its own statements": {}, "those of another gateway": {others: true},
	} {
		t.Run(name, func(t *testing.T) {
			copied, live := t.TempDir(), t.TempDir()
			nats1 := startNATS(t, live, -1)
			nc := dialNATS(t, nats1.URL())
			log, err := eventlog.Create(t.Context(), nc, games, 1)
			if err != nil {
				t.Fatal(err)
			}
			c := newCommitter(log, quiet)
			run(t, c)
			wantAnswers(t, log, submit(c, 0, 60), 0, accepted, noReason)
			passAll(t, log, c)
			nats1.Stop()
			if err := os.CopyFS(copied, os.DirFS(live)); err != nil {
				t.Fatal(err)
			}

			nats2 := startNATS(t, live, nats1.port)
			awaitHead(t, log, 60)
			wantAnswers(t, log, submit(c, 60, 120), 60, accepted, noReason)
			wantAnswers(t, log, submit(c, 60, 120), 60, already, noReason)
			nats2.Stop()

			startNATS(t, copied, nats1.port)
			awaitHead(t, log, 60)
			if tt.others {
				other := newCommitter(log, quiet)
				run(t, other)
				wantAnswers(t, log, submit(other, 1000, 1100), 1000, accepted, noReason)
				passAll(t, log, c)
			} else {
				wantAnswers(t, log, submit(c, 200, 201), 200, accepted, noReason)
			}
			wantAnswers(t, log, submit(c, 60, 120), 60, accepted, noReason)
			wantAnswers(t, log, submit(c, 60, 120), 60, already, noReason)
		})
	}
}

// awaitHead returns when the log can be asked, and ends at the sequence.
func awaitHead(t *testing.T, log eventlog.Log, last fact.Seq) {
	t.Helper()
	for {
		head, err := log.Head(t.Context())
		if err == nil && head.Last == last {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("the log ends at %d, %v, want %d", head.Last, err, last)
		}
	}
}

func dialNATS(t *testing.T, at string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(at, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
