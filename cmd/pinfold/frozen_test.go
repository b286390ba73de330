//go:build long

package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// signal sends a signal to the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// awaitReadyz asks for readiness until the text is as it must be. The process stays ready meanwhile.
func awaitReadyz(t *testing.T, admin, what string, ok func(text string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		code, text := adminGet(t, admin, "/readyz")
		if code != http.StatusOK {
			t.Errorf("readyz: got %d %q, want 200 throughout", code, text)
		}
		if ok(text) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("readyz never said %s, but %q", what, text)
		}
	}
}

// TestCrashFrozen stops one of two tap processes, as a machine that hangs does: its connections stay. No read fails, and
// after some seconds none waits. Then it takes NATS away: reads go on, and the gateway says that writes do not.
func TestCrashFrozen(t *testing.T) {
	binary := buildBinary(t)
	embedded, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()
	frozen, other := newReplica(t, binary, embedded.URL(), "tap"), newReplica(t, binary, embedded.URL(), "tap")
	rewards, steps := newReplica(t, binary, embedded.URL(), "rewards"), newReplica(t, binary, embedded.URL(), "steps")
	admin := freeAddress(t)
	gateway := newReplica(t, binary, embedded.URL(), "gateway", "--begin", "--tap", frozen.address+","+other.address,
		"--rewards", rewards.address, "--steps", steps.address, "--admin", admin)
	processes := []replica{frozen, other, rewards, steps, gateway}
	for _, p := range processes {
		if err := awaitServing(t.Context(), p.address); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := dialPlain(gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := &world{conn: conn, gateway: gatewayv1.NewGatewayServiceClient(conn)}
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	a, b := tapPins(t, alice, bob)
	delivered, err := w.deliver(t.Context(), alice.pin, a, b)
	if err != nil {
		t.Fatal(err)
	}
	awaitReadyz(t, admin, "that all is well", func(text string) bool { return text == "ready\n" })

	// read reads until the gateway says something, and returns how long the slowest read took.
	read := func(what string, done func(text string) bool) (slowest time.Duration, reads int) {
		t.Helper()
		for end := false; !end; reads++ {
			_, text := adminGet(t, admin, "/readyz")
			end = done(text)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			r, err := w.gateway.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: alice.wearer.String(), MinSeq: delivered.GetSeq()}.Build())
			cancel()
			if err != nil || r.GetTotal() != 1 {
				t.Fatalf("%s: %v, %v, want one friend", what, r, err)
			}
			slowest = max(slowest, time.Since(begin))
		}
		return slowest, reads
	}
	frozen.signal(t, syscall.SIGSTOP)
	silent := "tap at " + frozen.address + " is silent"
	slowest, reads := read("while it is noticed", func(text string) bool { return strings.Contains(text, silent) })
	t.Logf("until it was left: %d reads, the slowest took %v", reads, slowest)
	after := 0
	slowest, reads = read("when it is left", func(string) bool { after++; return after == 200 })
	t.Logf("then: %d reads, the slowest took %v", reads, slowest)
	frozen.signal(t, syscall.SIGCONT)
	awaitReadyz(t, admin, "that it is back", func(text string) bool { return text == "ready\n" })

	embedded.Stop()
	lost, _ := tapPins(t, alice, bob)
	if r, err := w.deliver(t.Context(), alice.pin, lost); err != nil || r.GetAnswers()[0].GetReason() != gatewayv1.Reason_REASON_LOG_UNAVAILABLE {
		t.Errorf("without NATS: got %v, %v, want LOG_UNAVAILABLE", r, err)
	}
	awaitReadyz(t, admin, "that writes stopped", func(text string) bool {
		return strings.Contains(text, "writes stopped") && strings.Contains(text, "the log does not answer")
	})
	if _, metrics := adminGet(t, admin, "/metrics"); !strings.Contains(metrics, "\npinfold_log_answers 0\n") || strings.Contains(metrics, "\npinfold_fold_lag{") {
		t.Error("without NATS the metrics do not say so, or tell a lag")
	}
	read("without NATS", func(string) bool { return true })
	for _, p := range processes {
		p.stop(t)
	}
}
