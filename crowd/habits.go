package crowd

import (
	"math/rand/v2"
	"slices"
	"time"

	"pinfold/internal/fact"
)

// Phones says how the phones of a crowd behave.
type Phones string

const (
	// PerfectPhones are always online and deliver their own pin's statements once.
	PerfectPhones Phones = "perfect"
	// RealPhones are offline for a while, upload in batches and out of order, deliver again when the answer is lost, and
	// carry both halves of a tap, since some phones are never online. Their pins' clocks are wrong or were never set.
	RealPhones Phones = "real"
)

// How real phones behave.
const (
	neverOnline   = 0.1           // share of the phones, at most, that never are
	comesOnline   = 0.05          // how likely a phone with something new to deliver is to come online
	losesAnswer   = 0.2           // how likely the answer to an upload is lost
	clockNeverSet = 0.2           // share of the pins whose clock was never set
	clockWrong    = 3 * time.Hour // how far the clocks of the others are off, at most
)

// habits are how one phone and its pin behave. The zero habits are those of a perfect phone.
type habits struct {
	real     bool
	never    bool // online
	unset    bool // the pin's clock
	clockOff time.Duration
	rng      *rand.Rand // guarded by phone.mu
}

// realHabits gives each phone its habits. Of two people who meet, one at least has a phone that comes online, or nobody
// would ever know of it.
func realHabits(c Contacts, seed uint64) []habits {
	rng := rand.New(rand.NewPCG(seed, 1))
	met := make([][]int, c.People)
	for _, e := range c.Encounters {
		met[e.A], met[e.B] = append(met[e.A], e.B), append(met[e.B], e.A)
	}
	all := make([]habits, c.People)
	for i := range all {
		all[i] = habits{
			real:     true,
			unset:    rng.Float64() < clockNeverSet,
			clockOff: time.Duration(rng.Int64N(int64(2*clockWrong))) - clockWrong,
			rng:      rand.New(rand.NewPCG(seed, uint64(2+i))),
		}
	}
	left := int(neverOnline * float64(c.People))
	for _, i := range rng.Perm(c.People) {
		if left > 0 && !slices.ContainsFunc(met[i], func(j int) bool { return all[j].never }) {
			all[i].never = true
			left--
		}
	}
	return all
}

// clock returns what the pin's clock shows.
func (h habits) clock(now fact.UnixMilli) fact.UnixMilli {
	if h.unset {
		return 0
	}
	return now.Add(h.clockOff)
}

// carries returns how many statements of one tap the phone delivers.
func (h habits) carries() int {
	switch {
	case h.never:
		return 0
	case h.real:
		return 2
	}
	return 1
}
