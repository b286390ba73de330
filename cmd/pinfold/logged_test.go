package main

import (
	"context"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pinfold/crowd"
	"pinfold/internal/eventlog"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// untilSays waits until the command has written the text to standard error.
func (c *command) untilSays(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(c.stderr.String(), text) {
		select {
		case code := <-c.ended:
			t.Fatalf("exit code %d before %q: %s", code, text, c.stderr.String())
		case <-t.Context().Done():
			t.Fatalf("not said: %q in %s", text, c.stderr.String())
		case <-time.After(healthPoll):
		}
	}
}

var alarming = regexp.MustCompile(`(?m)^.*level=(WARN|ERROR).*$`)

// namedOnce checks that no line of the log names its service twice.
func namedOnce(t *testing.T, logged string) {
	t.Helper()
	for line := range strings.Lines(logged) {
		if strings.Count(line, " service=") > 1 {
			t.Errorf("it names its service twice: %s", line)
		}
	}
}

// TestCleanStopIsSilent stops all services while somebody watches a face and after a crowd has met: nothing went wrong, so
// nothing is said to.
func TestCleanStopIsSilent(t *testing.T) {
	var logged record
	w := startUpLogging(t, t.TempDir(), slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	w.play(t, crowd.Synthetic(20, 1, 1))
	alice := newPerson(1)
	w.enrol(t, alice)
	watch, err := w.gateway.WatchFace(context.Background(), gatewayv1.GetFaceRequest_builder{Wearer: alice.wearer.String()}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if said := alarming.FindString(logged.String()); said != "" {
		t.Errorf("a clean stop says %s", said)
	}
	namedOnce(t, logged.String())
}

// TestNATSComesLate starts two services before their NATS, which comes, and goes while they run.
func TestNATSComesLate(t *testing.T) {
	address := freeAddress(t)
	service := func(args ...string) *command {
		return startCommand(t, append(args, "--nats", "nats://"+address, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "")...)
	}
	both := []*command{service("gateway", "--begin"), service("rewards")}
	for _, c := range both {
		c.untilSays(t, address+": connect: connection refused")
		if said := alarming.FindAllString(c.stderr.String(), -1); len(said) != 1 || !strings.Contains(said[0], address) {
			t.Errorf("got %q, want one warning that names %s", said, address)
		}
	}

	_, port, _ := net.SplitHostPort(address)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := eventlog.StartEmbedded(t.TempDir(), number, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range both {
		c.untilSays(t, "msg=serving ")
	}
	embedded.Stop()
	for _, c := range both {
		c.untilSays(t, "reading the log failed, trying again")
		if code := c.end(); code != exitOK {
			t.Errorf("exit code %d: %s", code, c.stderr.String())
		}
		namedOnce(t, c.stderr.String())
	}
}
