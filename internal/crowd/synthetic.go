package crowd

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Synthetic makes up a small crowd of one day, the same for the same seed: some people are more sociable than others,
// a few of them meet nearly everybody.
func Synthetic(people int, seed uint64) Contacts {
	rng := rand.New(rand.NewPCG(seed, 0))
	sociable := make([]float64, people)
	for i := range sociable {
		sociable[i] = math.Pow(rng.Float64(), 2)
	}
	const day = 10 * time.Hour
	c := Contacts{People: people}
	for a := range people {
		for b := a + 1; b < people; b++ {
			for p := sociable[a] + sociable[b]; rng.Float64() < p/2; p /= 2 {
				begin := time.Duration(rng.Int64N(int64(day/SlotLength))) * SlotLength
				c.Encounters = append(c.Encounters, Encounter{Begin: begin, A: a, B: b})
			}
		}
	}
	slices.SortFunc(c.Encounters, func(x, y Encounter) int {
		return cmp.Or(cmp.Compare(x.Begin, y.Begin), cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B))
	})
	return c
}
