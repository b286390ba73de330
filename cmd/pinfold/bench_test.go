package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"pinfold/client"
	"pinfold/crowd"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/tap"
)

// BenchmarkWholePath plays the conference through `pinfold up`: pins sign and check each other, phones deliver over
// gRPC, the gateway verifies and commits, tap and rewards fold, until the last award is known. Everything, the crowd
// too, shares the machine.
func BenchmarkWholePath(b *testing.B) {
	contacts, _ := conference(b)
	var halves, seconds float64
	for b.Loop() {
		b.StopTimer()
		w := startUp(b, b.TempDir())
		c := crowd.New(crowd.Config{Gateway: w.conn, Contacts: contacts, Seed: 1})
		b.StartTimer()
		s, err := c.Play(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		halves, seconds = halves+float64(s.Halves), seconds+s.Seconds
		w.stop()
		b.StartTimer()
	}
	b.ReportMetric(halves/seconds, "halves/s")
}

// BenchmarkPair registers and pairs the 20,000 pins of an opening morning through one gateway of `pinfold up`, over one
// connection, as many at once as the crowd does. The pins share the machine.
func BenchmarkPair(b *testing.B) {
	const pins = 20_000
	for b.Loop() {
		b.StopTimer()
		w := startUp(b, b.TempDir())
		c := crowd.New(crowd.Config{Gateway: w.conn, Contacts: crowd.Contacts{People: pins}, Seed: 1})
		b.StartTimer()
		if _, err := c.Play(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(pins*b.N)/b.Elapsed().Seconds(), "pairings/s")
}

// BenchmarkFold folds the conference's halves, which are in a log in memory, by the tap core into a view on disk.
func BenchmarkFold(b *testing.B) {
	contacts, _ := conference(b)
	log, last := conferenceLog(b, contacts)
	for b.Loop() {
		b.StopTimer()
		store, err := view.OpenBolt(filepath.Join(b.TempDir(), "tap.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		foldUpTo(b, log, store, last)
		b.StopTimer()
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(2*len(contacts.Encounters)*b.N)/b.Elapsed().Seconds(), "halves/s")
}

func foldUpTo(b *testing.B, log eventlog.Log, store view.Store, last fact.Seq) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	runner, err := fold.Open(ctx, fold.Config{Core: tap.Core{}, Log: log, View: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	if err := runner.Wait(ctx, last); err != nil {
		b.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// conferenceLog returns a log in memory that holds a roster and the halves of all encounters, and its last sequence.
// The signatures are left out: a fold does not look at them.
func conferenceLog(b *testing.B, contacts crowd.Contacts) (eventlog.Log, fact.Seq) {
	b.Helper()
	log := eventlog.NewMemory(func() fact.UnixMilli { return crowd.Midnight }, eventlog.Faults{})
	records := []fact.Record{{Fact: fact.RulesAdopted{Rules: rules.Tokyo2020()}}, {Fact: fact.TimePassed{Time: crowd.Midnight}}}
	people := make([]person, contacts.People)
	for i := range people {
		people[i] = newPerson(i)
		records = append(records, fact.Record{Fact: fact.PinRegistered{Key: people[i].pin.Key()}},
			fact.Record{Fact: fact.PinPaired{Wearer: people[i].wearer, Proof: fact.Proof{Pin: people[i].pin.ID()}}})
	}
	for _, e := range contacts.Encounters {
		for _, s := range halvesOf(b, people[e.A], people[e.B]) {
			h, err := statement.ParseHalf(s.Statement)
			if err != nil {
				b.Fatal(err)
			}
			records = append(records, fact.Record{Fact: fact.HalfReported{Half: h, Carrier: h.Pin}})
		}
	}
	var last fact.Seq
	for len(records) > 0 {
		n := min(len(records), eventlog.MaxBatch)
		var err error
		if last, err = log.Append(b.Context(), eventlog.Batch{Records: records[:n]}); err != nil {
			b.Fatal(err)
		}
		records = records[n:]
	}
	return log, last
}

func halvesOf(b *testing.B, x, y person) [2]client.Signed {
	b.Helper()
	halfX, halfY := tapPins(b, x, y)
	return [2]client.Signed{halfX, halfY}
}
