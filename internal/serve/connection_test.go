package serve

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
)

// TestShowConnection takes NATS away: it is told, and the service, which still answers, stays ready.
func TestShowConnection(t *testing.T) {
	s := logtest.Start(t)
	nc := s.Connect()
	a, stopAdmin := runAdmin(t, "idle")
	defer stopAdmin()
	if err := a.ShowConnection(nc); err != nil {
		t.Fatal(err)
	}
	log := eventlog.NewMemory(idleClock, eventlog.Faults{})
	ready, catching := make(chan struct{}), make(chan struct{}, 1)
	close(ready)
	address, stop := idleService(t, a, log, ready, catching)
	defer stop()
	awaitHealth(t, address)
	wantAnswer(t, a, "/readyz", http.StatusOK, "ready, but: idle: marbles are lost\n")
	wantMetric := func(want string) {
		t.Helper()
		if _, scrape := adminGet(t, a, "/metrics"); !strings.Contains(scrape, "\n"+want+"\n") {
			t.Errorf("got %s, want %s", scrape, want)
		}
	}
	wantMetric("pinfold_nats_connected 1")
	s.Stop()
	for nc.IsConnected() {
		<-time.After(time.Millisecond)
	}
	code, text := adminGet(t, a, "/readyz")
	if code != http.StatusOK || !strings.Contains(text, "ready, but: NATS: the connection is RECONNECTING") {
		t.Errorf("got %d, %q, want that NATS is away", code, text)
	}
	wantMetric("pinfold_nats_connected 0")
	s.Start()
	for !nc.IsConnected() {
		<-time.After(time.Millisecond)
	}
	wantAnswer(t, a, "/readyz", http.StatusOK, "ready, but: idle: marbles are lost\n")
	wantMetric("pinfold_nats_reconnections_total 1")
}

// TestShowConnectionOff: an admin that is switched off shows nothing.
func TestShowConnectionOff(t *testing.T) {
	if err := (*Admin)(nil).ShowConnection(logtest.Start(t).Connect()); err != nil {
		t.Error(err)
	}
}
