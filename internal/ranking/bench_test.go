package ranking_test

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/ranking"
	"pinfold/internal/view"
)

// counting counts the keys that are read through it.
type counting struct {
	kv.Reader
	keys int
}

func (c *counting) Get(bucket string, key []byte) []byte {
	c.keys++
	return c.Reader.Get(bucket, key)
}

func (c *counting) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range c.Reader.Scan(bucket, prefix, from) {
			c.keys++
			if !yield(k, v) {
				return
			}
		}
	}
}

// BenchmarkBoard asks boards of up to a million wearers. Beside the time it prints the keys that each question reads,
// which must not grow with the board.
func BenchmarkBoard(b *testing.B) {
	board := ranking.Board{Index: "rank", Counts: "count"}
	for _, wearers := range []int{1_000, 100_000, 1_000_000} {
		store := view.NewMemory()
		rng := rand.New(rand.NewPCG(1, 1))
		someone, score := fact.WearerID{}, uint32(0)
		err := store.Update(func(tx kv.Tx) error {
			for i := range wearers {
				var w fact.WearerID
				binary.BigEndian.PutUint64(w[:], rng.Uint64())
				n := 1 + uint32(rng.ExpFloat64()*50)
				board.Move(tx, w, 0, n)
				if i == wearers/2 {
					someone, score = w, n
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for name, ask := range map[string]func(kv.Reader){
			"Rank":   func(r kv.Reader) { board.Rank(r, score) },
			"Around": func(r kv.Reader) { board.Around(r, someone, score, 5) },
			"Page":   func(r kv.Reader) { board.Page(r, ranking.Place{Score: score, Wearer: someone}, 50) },
		} {
			b.Run(fmt.Sprintf("%s/wearers=%d", name, wearers), func(b *testing.B) {
				_ = store.View(func(r view.Reader) error {
					c := &counting{Reader: r}
					for b.Loop() {
						ask(c)
					}
					b.ReportMetric(float64(c.keys)/float64(b.N), "keys/op")
					return nil
				})
			})
		}
	}
}
