package evidence_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"pinfold/client"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// benchWorld has some 55,000 facts: 180 wearers who all meet, in an order that leaves the facts of each all over the log,
// and half of the halves carried in later than the next hundreds of taps.
func benchWorld(b *testing.B) (*world, fact.WearerID) {
	w := newWorld(b, rules.Tokyo2020())
	var all []*client.Pin
	for range 180 {
		all = append(all, w.wearer())
	}
	type carried struct {
		half fact.HalfReported
		at   int
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test repeats itself
	var halves []carried
	for i, p := range all {
		for _, other := range all[:i] {
			first, second := w.halves(p, other)
			at := random.IntN(1_000_000)
			halves = append(halves, carried{first, at}, carried{second, at + random.IntN(2)*random.IntN(50_000)})
		}
	}
	slices.SortStableFunc(halves, func(a, b carried) int { return a.at - b.at })
	for _, h := range halves {
		w.add(h.half)
	}
	return w, wearerOf(all[0])
}

// BenchmarkGold is about the certificate of a gold medal in a log of some 55,000 facts.
func BenchmarkGold(b *testing.B) {
	w, who := benchWorld(b)
	gold := medal(fact.Gold)
	ev := w.collect(who, gold)
	whole := w.issue(ev, false)
	size := func(b *testing.B, n int) {
		b.ReportMetric(float64(n), "bytes")
		b.ReportMetric(float64(w.next-1), "facts")
	}
	b.Run("collect", func(b *testing.B) {
		for b.Loop() {
			if _, err := evidence.Collect(context.Background(), w.view, w.log, who, gold); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(ev.Messages())), "read")
	})
	b.Run("issue", func(b *testing.B) {
		cp, text := checkpoint(b, w.index)
		for b.Loop() {
			whole = w.issueFor(ev, false, cp, text)
		}
		size(b, len(whole))
		if c, err := evidence.Parse(whole); err == nil {
			b.ReportMetric(float64(len(c.Hashes)), "hashes")
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := check(b, whole); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("short", func(b *testing.B) {
		short := w.issue(ev, true)
		for b.Loop() {
			if _, err := check(b, short); err != nil {
				b.Fatal(err)
			}
		}
		size(b, len(short))
	})
}
