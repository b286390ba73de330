package eventlog_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"pinfold/internal/eventlog"
)

// TestLeave: a server through which the cluster is silent for longer than a call may take is left for another one, which
// then has as long; one that answers is not, and neither is the only one.
func TestLeave(t *testing.T) {
	listening := func() string {
		e, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Stop)
		return e.URL()
	}
	one, other := listening(), listening()
	nc, err := eventlog.Connect(one+","+other, "test", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	first := nc.ConnectedUrl()
	note := eventlog.NewDeserter(nc)
	long := func() time.Time { return time.Now().Add(-time.Minute) }
	connected := nc.StatusChanged(nats.CONNECTED)

	note(long(), true)
	if note(time.Now(), false) {
		t.Error("the server was left at once")
	}
	note(long(), true)
	if !note(long(), false) {
		t.Fatal("the server was not left")
	}
	<-connected
	if got := nc.ConnectedUrl(); got == first {
		t.Errorf("connected to %s again", got)
	}
	if note(long(), false) {
		t.Error("the next server was left before it had its time")
	}

	alone, err := eventlog.Connect(one, "test", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if eventlog.NewDeserter(alone)(long(), false) {
		t.Error("the only server was left")
	}
}
