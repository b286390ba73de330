package notary_test

import (
	"context"
	"flag"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

var benchFacts = flag.Int("facts", 50_000, "facts of the log that BenchmarkFollow follows")

// BenchmarkFollow lets a new notary come up with a log on JetStream, with its files on disk, as a new gateway does.
func BenchmarkFollow(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	embedded, err := eventlog.StartEmbedded(b.TempDir(), 0, quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer embedded.Stop()
	nc, err := embedded.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	log, err := eventlog.Create(b.Context(), nc, games, 1)
	if err != nil {
		b.Fatal(err)
	}
	last := fillLog(b, log, *benchFacts)
	for b.Loop() {
		followAll(b, log, last)
	}
	b.ReportMetric(float64(last)*float64(b.N)/b.Elapsed().Seconds(), "facts/s")
}

// fillLog appends facts of the kinds and shares of busy Games: of ten, six halves, two friendships, an award and the time.
func fillLog(b *testing.B, log eventlog.Log, n int) (last fact.Seq) {
	b.Helper()
	records := []fact.Record{{Fact: fact.RulesAdopted{Rules: rules.Tokyo2020()}}}
	for i := 1; i < n; i++ {
		if len(records) == eventlog.MaxBatch {
			appendAll(b, log, records)
			records = records[:0]
		}
		records = append(records, busy(i))
	}
	return appendAll(b, log, records)
}

func appendAll(b *testing.B, log eventlog.Log, records []fact.Record) fact.Seq {
	b.Helper()
	last, err := log.Append(b.Context(), eventlog.Batch{Records: records})
	if err != nil {
		b.Fatal(err)
	}
	return last
}

func busy(i int) fact.Record {
	person := func(n int) fact.WearerID { return fact.WearerID{byte(n), byte(n >> 8), 1} }
	derived := fact.Derivation{Cause: fact.Seq(i), Count: 1}
	switch i % 10 {
	case 7, 8:
		return fact.Record{Derivation: derived, Fact: fact.FriendshipFormed{Lo: person(i % 5000), Hi: person(5000 + i%4999), Mate: fact.Seq(i)}}
	case 9:
		return fact.Record{Derivation: derived, Fact: fact.MedalAwarded{Wearer: person(i % 5000), Medal: fact.Bronze}}
	case 0:
		return fact.Record{Fact: fact.TimePassed{Time: fact.UnixMilli(i)}}
	}
	return fact.Record{Fact: fact.HalfReported{Half: fact.Half{
		Pin: fact.PinID{byte(i)}, Peer: fact.PinID{byte(i >> 8), 1}, Counter: fact.Counter(i), Link: fact.LinkWire,
	}}}
}

func followAll(b *testing.B, log eventlog.Log, last fact.Seq) {
	b.Helper()
	dir := b.TempDir()
	var stores [2]view.Store
	for i, name := range []string{"tree.db", "signed.db"} {
		store, err := view.OpenBolt(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		stores[i] = store
	}
	private, _, err := merkle.GenerateKey(games)
	if err != nil {
		b.Fatal(err)
	}
	n, err := notary.Open(b.Context(), notary.Config{
		Games: games, Log: log, Logger: slog.New(slog.DiscardHandler), Tree: kept(stores[0]), Signed: stores[1],
		Keys: &notary.MemoryList{}, Key: private, Every: 1000,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	for n.Size() < last { // not with Wait, which hurries
		<-time.After(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
