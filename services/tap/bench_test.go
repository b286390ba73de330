package tap

import (
	"fmt"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// BenchmarkStep folds halves, both of each tap, in batches of a transaction each, as the runner does under load. Every
// tap is of two wearers who were not friends.
func BenchmarkStep(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkStep(b, view.NewMemory(), 500) })
	for _, size := range []int{100, 500, 1000} {
		b.Run(fmt.Sprintf("bbolt/batch=%d", size), func(b *testing.B) { benchmarkStep(b, openBolt(b), size) })
	}
}

func benchmarkStep(b *testing.B, s view.Store, size int) {
	const crowd = 20_000
	names := make([]string, crowd)
	people := []fact.Fact{adopted(14 * 24 * time.Hour), fact.TimePassed{Time: 1}}
	for i := range names {
		names[i] = fmt.Sprint("wearer ", i)
		people = append(people, registered(names[i]), paired(names[i], names[i]))
	}
	foldBatches(b, s, people, 4*crowd)
	halves := make([]fact.Fact, b.N)
	for i := range halves {
		tap := i / 2
		// Pairs far apart, each once: a wearer meets the one that stands so many rounds and a bit further.
		author, peer := names[tap%crowd], names[(tap+1+7919*(1+tap/crowd))%crowd]
		if i%2 == 1 {
			author, peer = peer, author
		}
		halves[i] = reported(author, peer, fmt.Sprint(tap), fact.Counter(tap))
	}
	b.ReportAllocs()
	b.ResetTimer()
	seq := fact.Seq(len(people))
	for done := 0; done < b.N; done += size {
		err := s.Update(func(tx kv.Tx) error {
			for _, f := range halves[done:min(done+size, b.N)] {
				seq++
				Core{}.Step(tx, entry(seq, f))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "halves/s")
}
