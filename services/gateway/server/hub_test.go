package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// TestHubNewDay begins a hub late in the evening in Tokyo: the first TimePassed of all and the first behind midnight wake
// every watcher, with their own sequences.
func TestHubNewDay(t *testing.T) {
	evening := fact.UnixMilli(time.Date(2021, 7, 23, 23, 58, 0, 0, time.FixedZone("JST", 9*3600)).UnixMilli())
	clock := evening
	log := eventlog.NewMemory(func() fact.UnixMilli { return clock }, eventlog.Faults{})
	write := func(facts ...fact.Fact) fact.Seq {
		seq, err := log.Append(t.Context(), batch(facts, nil))
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	head := write(fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: evening})
	runner, err := fold.Open(t.Context(), fold.Config{
		Core: gateway.Core{}, Log: log, View: view.NewMemory(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	end, err := eventlog.End(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(log, end, runner, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- runner.Run(ctx) }()
	go func() { ended <- h.run(ctx) }()
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
	w, at := h.watch(fact.WearerID{1})
	defer h.leave(w)
	if at != head {
		t.Errorf("watching from %d, want %d", at, head)
	}

	awaitWake := func(want fact.Seq, what string) {
		t.Helper()
		<-w.wake
		if got := h.changed(w); got != want {
			t.Errorf("woken by %d, want %d, %s", got, want, what)
		}
	}
	clock = evening.Add(time.Minute)
	awaitWake(write(fact.TimePassed{Time: clock}), "the first time that came by")
	clock = evening.Add(time.Minute + 30*time.Second)
	write(fact.TimePassed{Time: clock.Add(time.Hour)}) // ahead: it is still the old day
	clock = evening.Add(2*time.Minute + 30*time.Second)
	awaitWake(write(fact.TimePassed{Time: clock.Add(time.Hour)}), "the first time behind midnight")
}
