package crowd_test

import (
	"cmp"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pinfold/crowd"
)

// sfhh is where the conference is looked for that made up crowds are shaped after, unless PINFOLD_TEST_CONTACTS names
// another file of it. It is published at http://www.sociopatterns.org/datasets/.
const sfhh = "../../shared/data/contacts/SFHH_tij.dat.gz"

// shape is what crowds are compared by.
type shape struct {
	name  string
	of    func(figures) float64
	apart float64 // how far a made up crowd may be off, as a share
}

var shapes = []shape{
	{"taps", func(f figures) float64 { return float64(f.taps) }, 0.2},
	{"friends per person, mean", func(f figures) float64 { return f.mean }, 0.15},
	{"friends per person, standard deviation", func(f figures) float64 { return f.deviation }, 0.2},
	{"people with 50 friends or more", func(f figures) float64 { return float64(f.atLeast(50)) }, 0.25},
	{"people with 100 friends or more", func(f figures) float64 { return float64(f.atLeast(100)) }, 0.6},
	{"most friends", func(f figures) float64 { return float64(f.friends[len(f.friends)-1]) }, 0.25},
	{"share of pairs that met once", func(f figures) float64 { return f.once }, 0.1},
	{"taps per pair, mean", func(f figures) float64 { return f.perPair }, 0.2},
	{"taps in the busiest minute", func(f figures) float64 { return float64(f.busiest) }, 0.4},
	{"taps in an active minute, median", func(f figures) float64 { return float64(f.median) }, 0.5},
}

// figures are counted in contacts.
type figures struct {
	taps            int
	friends         []int // of each person, ascending
	mean, deviation float64
	once, perPair   float64
	busiest, median int // taps in a minute
}

func count(c crowd.Contacts) figures {
	pairs := map[[2]int]int{}
	minutes := map[int]int{}
	for _, e := range c.Encounters {
		pairs[[2]int{e.A, e.B}]++
		minutes[int(e.Begin/time.Minute)]++
	}
	f := figures{taps: len(c.Encounters), friends: make([]int, c.People)}
	for p, n := range pairs {
		f.friends[p[0]]++
		f.friends[p[1]]++
		if n == 1 {
			f.once++
		}
	}
	f.once /= float64(len(pairs))
	f.perPair = float64(f.taps) / float64(len(pairs))
	f.mean = 2 * float64(len(pairs)) / float64(c.People)
	for _, n := range f.friends {
		f.deviation += (float64(n) - f.mean) * (float64(n) - f.mean) / float64(c.People)
	}
	f.deviation = math.Sqrt(f.deviation)
	slices.Sort(f.friends)
	var busy []int
	for _, n := range minutes {
		busy = append(busy, n)
	}
	slices.Sort(busy)
	f.busiest, f.median = busy[len(busy)-1], busy[len(busy)/2]
	return f
}

func (f figures) atLeast(friends int) int {
	n, _ := slices.BinarySearch(f.friends, friends)
	return len(f.friends) - n
}

// TestAlike prints how alike a made up crowd is to the conference it is shaped after, and bounds it.
func TestAlike(t *testing.T) {
	path := cmp.Or(os.Getenv("PINFOLD_TEST_CONTACTS"), sfhh)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real contacts: %v: get SFHH_tij.dat.gz from http://www.sociopatterns.org/datasets/ and name it in PINFOLD_TEST_CONTACTS", err)
	}
	c, err := crowd.ReadContacts(path)
	if err != nil {
		t.Fatal(err)
	}
	conference := count(c)
	const seeds = 5
	var madeUp []figures
	for seed := range uint64(seeds) {
		madeUp = append(madeUp, count(crowd.Synthetic(c.People, 2, seed+1)))
	}
	t.Logf("%-40s %10s  %s", "", "conference", "made up, mean of 5 seeds")
	for _, s := range shapes {
		want, got := s.of(conference), 0.0
		for _, f := range madeUp {
			got += s.of(f) / seeds
		}
		t.Logf("%-40s %10.2f  %.2f", s.name, want, got)
		if math.Abs(got-want) > s.apart*want {
			t.Errorf("%s: %.2f, more than %.0f%% off %.2f", s.name, got, 100*s.apart, want)
		}
	}
}
