package crowd

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The shape of a made up crowd is that of the SFHH conference of 2009 (Génois and Barrat, EPJ Data Science 7:11, 2018):
// these numbers were counted in its contacts.
const (
	friendsPerDay   = 28.4  // chances of a new friend of a person a day, which make 23.7 friends
	friendsShape    = 2.0   // of the gamma distribution that gives the same spread of friends per person
	metOnce         = 0.662 // share of the pairs that met only once
	maxEncounters   = 219   // of one pair
	densest         = 0.35  // share of all others that a person meets, on average: the limit of a small crowd
	tailExponent    = 1.5   // of the encounters of the pairs that met more than once,
	tailScale       = 2.55  // which gives them 6.1 on average
	walkedSlots     = 56    // quarter hours from 8 in the morning to 10 at night
	slotsPerReport  = 8
	stepsPerSlot    = 180 // on average
	firstWalkedHour = 8
)

// hourly is how many of the encounters of a day fall into each hour from 8 to 21, per mille.
var hourly = [...]int{3, 31, 33, 287, 102, 84, 122, 77, 121, 76, 46, 15, 2, 1}

// Synthetic makes up a crowd of some days, the same for the same seed. Friends per person, encounters per pair and
// meetings per minute are distributed like those of the SFHH conference, and everybody walks.
func Synthetic(people, days int, seed uint64) Contacts {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := Contacts{People: people}
	sociable := make([]float64, people)
	for i := range sociable {
		sociable[i] = gamma(rng, friendsShape) / friendsShape
	}
	others := float64(people - 1)
	each := min(friendsPerDay*float64(days), densest*others) / others
	for a := range people {
		for b := a + 1; b < people; b++ {
			if rng.Float64() < 1-math.Exp(-each*sociable[a]*sociable[b]) {
				for range encounters(rng) {
					c.Encounters = append(c.Encounters, Encounter{Begin: moment(rng, days), A: a, B: b})
				}
			}
		}
	}
	slices.SortFunc(c.Encounters, compareEncounters)
	c.Walks = walks(rng, people, days)
	return c
}

// gamma returns a random number of the gamma distribution with the given shape, at least 1, and scale 1 (Marsaglia and
// Tsang, ACM TOMS 26:3, 2000).
func gamma(rng *rand.Rand, shape float64) float64 {
	d := shape - 1.0/3
	for {
		x := rng.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// encounters returns how often a pair that meets does so: mostly once, a few of them very often.
func encounters(rng *rand.Rand) int {
	if rng.Float64() < metOnce {
		return 1
	}
	tail := math.Pow(1-rng.Float64(), -1/tailExponent) - 1
	return min(2+int(tail*tailScale), maxEncounters)
}

// moment returns when an encounter begins: people meet in the breaks, and most in the middle of them.
func moment(rng *rand.Rand, days int) time.Duration {
	at := rng.IntN(1000)
	hour := 0
	for ; at >= hourly[hour]; hour++ {
		at -= hourly[hour]
	}
	within := (rng.Float64() + rng.Float64()) / 2
	t := time.Duration(rng.IntN(days))*24*time.Hour + time.Duration(firstWalkedHour+hour)*time.Hour + time.Duration(within*float64(time.Hour))
	return t.Truncate(SlotLength)
}

// walks returns the step reports of all people: each walks more or less, and mostly when others do.
func walks(rng *rand.Rand, people, days int) []Walk {
	var list []Walk
	for day := range days {
		for first := 0; first < walkedSlots; first += slotsPerReport {
			begin := time.Duration(day)*24*time.Hour + firstWalkedHour*time.Hour + time.Duration(first)*15*time.Minute
			for person := range people {
				w := Walk{Begin: begin, Person: person, Steps: make([]uint16, slotsPerReport)}
				for i := range w.Steps {
					w.Steps[i] = uint16(min(rng.ExpFloat64()*stepsPerSlot, 2500))
				}
				list = append(list, w)
			}
		}
	}
	return list
}

func compareEncounters(x, y Encounter) int {
	return cmp.Or(cmp.Compare(x.Begin, y.Begin), cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B))
}
