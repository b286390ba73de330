package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	tapv1 "pinfold/proto/pinfold/tap/v1"
	"pinfold/services/tap"
)

// world is a tap service over a log whose clock the test sets.
type world struct {
	api   *api
	log   *eventlog.Memory
	clock fact.UnixMilli // of the log
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: 1_600_000_000_000}
	w.log = eventlog.NewMemory(func() fact.UnixMilli { return w.clock }, eventlog.Faults{})
	runner, err := fold.Open(t.Context(), fold.Config{
		Core: tap.Core{}, Log: w.log, View: view.NewMemory(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.api = &api{runner: runner}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// append appends facts and returns the outcomes that reflect them.
func (w *world) append(t *testing.T, facts ...fact.Fact) *tapv1.GetOutcomesResponse {
	t.Helper()
	var b eventlog.Batch
	for _, f := range facts {
		b.Records = append(b.Records, fact.Record{Fact: f})
	}
	seq, err := w.log.Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	settled, err := w.api.Settle(t.Context(), tapv1.SettleRequest_builder{Seq: uint64(seq)}.Build())
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.api.GetOutcomes(t.Context(), tapv1.GetOutcomesRequest_builder{MinSeq: settled.GetSeq()}.Build())
	if err != nil {
		t.Fatal(err)
	}
	refused := uint64(0)
	for _, r := range o.GetRefused() {
		refused += r.GetHalves()
	}
	if sum := o.GetMatched() + o.GetAlreadyFriends() + o.GetDuplicate() + o.GetExpired() + o.GetPending() + refused; sum != o.GetHalves() {
		t.Fatalf("outcomes %v: they add up to %d, not to the halves", o, sum)
	}
	return o
}

// expired counts the EXPIRED facts in the log.
func (w *world) expired(t *testing.T) int {
	t.Helper()
	head, err := w.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := w.log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	msgs, err := reader.Next(t.Context(), int(head.Last))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range msgs {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := e.Fact.(fact.HalfRefused); ok && f.Refusal == fact.RefusedExpired {
			n++
		}
	}
	return n
}

// TestExpiry reports 50 halves that never meet their mate.
func TestExpiry(t *testing.T) {
	w := newWorld(t)
	begin := w.clock
	facts := []fact.Fact{fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: begin}}
	var pins []fact.PinID
	for i := range 51 {
		key := fact.PublicKey(sha256.Sum256(fmt.Append(nil, i)))
		pins = append(pins, key.PinID())
		facts = append(facts, fact.PinRegistered{Key: key}, fact.PinPaired{Wearer: fact.WearerID{byte(i)}, Proof: fact.Proof{Pin: key.PinID()}})
	}
	w.append(t, facts...)
	var halves []fact.Fact
	for i := range 50 {
		halves = append(halves, fact.HalfReported{Half: fact.Half{
			Pin: pins[i], Peer: pins[50], Nonce: fact.Nonce{byte(i)}, Counter: 1, Link: fact.LinkNFC,
		}})
	}
	pass := func(claimed, stored time.Duration) *tapv1.GetOutcomesResponse {
		w.clock = begin.Add(stored)
		return w.append(t, fact.TimePassed{Time: begin.Add(claimed)})
	}
	const day = 24 * time.Hour
	check := func(what string, o *tapv1.GetOutcomesResponse, halves, pending, expired uint64) {
		t.Helper()
		if o.GetHalves() != halves || o.GetPending() != pending || o.GetExpired() != expired || w.expired(t) != int(expired) {
			t.Errorf("%s: outcomes %v and %d EXPIRED in the log, want %d halves, %d pending, %d expired", what, o, w.expired(t), halves, pending, expired)
		}
	}

	check("reported", w.append(t, halves...), 50, 50, 0)
	check("a gateway's clock a year ahead", pass(365*day, day), 50, 50, 0)
	check("the log's clock a year ahead", pass(2*day, 365*day), 50, 50, 0)
	check("just before the deadline", pass(14*day-time.Millisecond, 14*day), 50, 50, 0)
	check("the deadline", pass(14*day, 14*day), 50, 0, 50)
	check("reported again", w.append(t, halves...), 100, 50, 50)
	check("and once more", w.append(t, halves[0]), 101, 50, 50)
	check("their deadline too", pass(28*day, 28*day), 101, 0, 100)
}
