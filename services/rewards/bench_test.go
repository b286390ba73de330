package rewards

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// crowd is a view on bbolt with n wearers, most with few friends and some with many, as if they had met.
func crowd(b *testing.B, n int) (view.Store, []fact.WearerID) {
	b.Helper()
	v, err := view.OpenBolt(filepath.Join(b.TempDir(), "rewards.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = v.Close() })
	rnd := rand.New(rand.NewPCG(4, 0))
	people := make([]fact.WearerID, n)
	for i := range people {
		binary.BigEndian.PutUint64(people[i][:], rnd.Uint64())
		binary.BigEndian.PutUint64(people[i][8:], rnd.Uint64())
	}
	foldAll(b, v, []fact.Entry{{Seq: 1, Record: fact.Record{Fact: fact.RulesAdopted{Rules: tokyo}}}})
	seq := fact.Seq(1)
	for part := range slices.Chunk(people, 2_000) {
		err := v.Update(func(tx kv.Tx) error {
			for _, w := range part {
				seq++
				s := step{tx: tx, cause: seq, rules: inForce(tx)}
				s.count(w, func(uint32) uint32 { return 1 + uint32(rnd.ExpFloat64()*20) })
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return v, people
}

// BenchmarkStep folds friendships of random wearers, 300 to a transaction, which is committed durably.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("wearers=%d", n), func(b *testing.B) {
			v, people := crowd(b, n)
			rnd := rand.New(rand.NewPCG(5, 0))
			seq := fact.Seq(n + 1)
			friendships := 0
			for b.Loop() {
				batch := make([]fact.Entry, 300)
				for i := range batch {
					seq++
					batch[i] = fact.Entry{Seq: seq, Record: fact.Record{
						Fact: formed(people[rnd.IntN(n)], people[rnd.IntN(n)]),
					}}
				}
				foldAll(b, v, batch)
				friendships += len(batch)
			}
			b.ReportMetric(float64(friendships)/b.Elapsed().Seconds(), "friendships/s")
		})
	}
}

// BenchmarkRanking asks for a rank, and for neighbours; neither may cost more when there are more wearers.
func BenchmarkRanking(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		v, people := crowd(b, n)
		rnd := rand.New(rand.NewPCG(6, 0))
		ask := func(name string, f func(r kv.Reader, w fact.WearerID)) {
			b.Run(fmt.Sprintf("%s/wearers=%d", name, n), func(b *testing.B) {
				for b.Loop() {
					w := people[rnd.IntN(n)]
					if err := v.View(func(r view.Reader) error { f(r, w); return nil }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		ask("Rank", func(r kv.Reader, w fact.WearerID) { Rank(r, w) })
		ask("Neighbours", func(r kv.Reader, w fact.WearerID) { Neighbours(r, w, 5) })
		ask("AwardsOf", func(r kv.Reader, w fact.WearerID) { AwardsOf(r, w) })
	}
}
