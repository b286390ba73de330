package steps

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// crowd is a view on bbolt of n wearers with a pin each.
type crowd struct {
	view.Store
	rnd *rand.Rand
	seq fact.Seq
	n   int
}

// benchSlot begins a day in Tokyo.
const benchSlot fact.Slot = 18_800*slotsPerDay - 36

func newCrowd(b *testing.B, n int) *crowd {
	b.Helper()
	c := &crowd{Store: openBolt(b), rnd: rand.New(rand.NewPCG(4, 0)), n: n}
	facts := []fact.Fact{adopted(10_000, tokyo.Zone)}
	for i := range n {
		f := fact.PinPaired{Proof: fact.Proof{Pin: keyOfNumber(i).PinID()}}
		binary.BigEndian.PutUint64(f.Wearer[:], c.rnd.Uint64())
		facts = append(facts, fact.PinRegistered{Key: keyOfNumber(i)}, f)
	}
	c.foldAll(b, facts)
	return c
}

// foldAll folds many facts. In one transaction, bbolt would keep them all in one page.
func (c *crowd) foldAll(b *testing.B, facts []fact.Fact) {
	b.Helper()
	for part := range slices.Chunk(facts, 5_000) {
		c.fold(b, part)
	}
}

// walk folds a report of everybody, in random order, for the part of the day so many two hours after midnight.
func (c *crowd) walk(b *testing.B, part int) {
	b.Helper()
	reports := make([]fact.Fact, c.n)
	for i, pin := range c.rnd.Perm(c.n) {
		reports[i] = c.report(pin, part)
	}
	c.foldAll(b, reports)
}

func keyOfNumber(i int) (k fact.PublicKey) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

// fold folds the facts in one transaction.
func (c *crowd) fold(b *testing.B, facts []fact.Fact) {
	b.Helper()
	err := c.Update(func(tx kv.Tx) error {
		for _, f := range facts {
			c.seq++
			Core{}.Step(tx, entry(c.seq, f))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// report returns the report of one pin for one part of the day, eight slots.
func (c *crowd) report(pin, part int) fact.Fact {
	steps := make([]uint16, 8)
	for i := range steps {
		steps[i] = uint16(c.rnd.ExpFloat64() * 150)
	}
	return fact.StepsReported{Report: fact.StepReport{Pin: keyOfNumber(pin).PinID(), FirstSlot: benchSlot + fact.Slot(8*part), Steps: steps}}
}

// BenchmarkStep folds reports of two hours in batches of a transaction each, which is committed durably. The wearers have
// walked before on that day; each comes once in every two hours, in random order.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("wearers=%d/batch=%d", n, size), func(b *testing.B) {
				c := newCrowd(b, n)
				c.walk(b, 4)
				order := c.rnd.Perm(n)
				done := 0
				for b.Loop() {
					batch := make([]fact.Fact, size)
					for i := range batch {
						batch[i] = c.report(order[done%n], 5+done/n)
						done++
					}
					c.fold(b, batch)
				}
				b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "reports/s")
			})
		}
	}
}

// BenchmarkRanking asks about a day on which everybody walked; nothing may cost more when there are more wearers.
func BenchmarkRanking(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		c := newCrowd(b, n)
		for part := range 3 {
			c.walk(b, 4+part)
		}
		day := fact.Day(benchSlot+36) / slotsPerDay
		ask := func(name string, f func(r kv.Reader, w fact.WearerID)) {
			b.Run(fmt.Sprintf("%s/wearers=%d", name, n), func(b *testing.B) {
				var walkers []Place
				c.ask(b, func(r kv.Reader) { walkers = Leaderboard(r, day, Place{}, n) })
				for b.Loop() {
					w := walkers[c.rnd.IntN(len(walkers))].Wearer
					c.ask(b, func(r kv.Reader) { f(r, w) })
				}
			})
		}
		ask("Rank", func(r kv.Reader, w fact.WearerID) { Rank(r, day, w) })
		ask("Neighbours", func(r kv.Reader, w fact.WearerID) { Neighbours(r, day, w, 5) })
		ask("Leaderboard", func(r kv.Reader, _ fact.WearerID) { Leaderboard(r, day, Place{}, 50) })
		ask("Days", func(r kv.Reader, w fact.WearerID) { Days(r, w, Latest, 50) })
	}
}

func (c *crowd) ask(b *testing.B, f func(r kv.Reader)) {
	b.Helper()
	err := c.View(func(r view.Reader) error {
		f(r)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
