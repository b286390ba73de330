package eventlog_test

import (
	"fmt"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// BenchmarkBatches appends halves to the embedded log, which is on the disk when Append returns. 744 is the
// number of derived facts up to which the fold runner adds another step's to a batch.
func BenchmarkBatches(b *testing.B) {
	author, peer := newPin(0), newPin(100)
	for _, size := range []int{1, 100, 744, eventlog.MaxBatch} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, nc := startEmbedded(b, b.TempDir())
			log := create(b, nc, games)
			batch := eventlog.Batch{Records: make([]fact.Record, size)}
			for i := range batch.Records {
				batch.Records[i].Fact = author.half(fact.Half{Peer: peer.id(), Counter: fact.Counter(i), Link: fact.LinkNFC}, author.id())
			}
			for b.Loop() {
				if _, err := log.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "facts/s")
		})
	}
}

// BenchmarkRead reads a log of halves through one reader.
func BenchmarkRead(b *testing.B) {
	author, peer := newPin(0), newPin(100)
	_, nc := startEmbedded(b, b.TempDir())
	log := create(b, nc, games)
	batch := eventlog.Batch{Records: make([]fact.Record, eventlog.MaxBatch)}
	for i := range batch.Records {
		batch.Records[i].Fact = author.half(fact.Half{Peer: peer.id(), Counter: fact.Counter(i), Link: fact.LinkNFC}, author.id())
	}
	const batches = 50
	for range batches {
		if _, err := log.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		r, err := log.Read(b.Context(), eventlog.Position{})
		if err != nil {
			b.Fatal(err)
		}
		for read := 0; read < batches*eventlog.MaxBatch; {
			msgs, err := r.Next(b.Context(), 4096)
			if err != nil {
				b.Fatal(err)
			}
			read += len(msgs)
		}
		r.Close()
	}
	b.ReportMetric(float64(batches*eventlog.MaxBatch*b.N)/b.Elapsed().Seconds(), "facts/s")
}

// BenchmarkCodec writes and reads the fact that there is most of.
func BenchmarkCodec(b *testing.B) {
	author, peer := newPin(0), newPin(100)
	r := fact.Record{Fact: author.half(fact.Half{Peer: peer.id(), Time: fact.UnixMilli(time.Now().UnixMilli()), Link: fact.LinkNFC}, author.id())}
	payload, err := eventlog.Encode(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := eventlog.Encode(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := eventlog.Decode(fact.Tap, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
