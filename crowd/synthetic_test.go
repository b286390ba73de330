package crowd

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestSyntheticSeeds: the same seed is the same crowd, another one is another.
func TestSyntheticSeeds(t *testing.T) {
	first := Synthetic(60, 2, 7)
	if again := Synthetic(60, 2, 7); !reflect.DeepEqual(again, first) {
		t.Error("the same seed made another crowd")
	}
	for seed := range uint64(5) {
		if other := Synthetic(60, 2, seed); reflect.DeepEqual(other.Encounters, first.Encounters) {
			t.Errorf("seed %d made the encounters of seed 7", seed)
		} else if reflect.DeepEqual(other.Walks, first.Walks) {
			t.Errorf("seed %d made the walks of seed 7", seed)
		}
	}
}

// TestSyntheticSane: whatever its size, a crowd is one that can be played.
func TestSyntheticSane(t *testing.T) {
	for _, tt := range []struct{ people, days int }{{1, 1}, {2, 1}, {2, 31}, {3, 2}, {40, 2}, {200, 3}} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%d people, %d days, seed %d", tt.people, tt.days, seed), func(t *testing.T) {
				c := Synthetic(tt.people, tt.days, seed)
				if c.People != tt.people {
					t.Errorf("got %d people", c.People)
				}
				checkEncounters(t, c, tt.days)
				checkWalks(t, c, tt.days)
			})
		}
	}
}

func checkEncounters(t *testing.T, c Contacts, days int) {
	t.Helper()
	if !slices.IsSortedFunc(c.Encounters, compareEncounters) {
		t.Error("the encounters are not sorted")
	}
	pairs := map[[2]int]int{}
	for _, e := range c.Encounters {
		if e.A < 0 || e.A >= e.B || e.B >= c.People {
			t.Fatalf("%+v: want two different people below %d, the lower one first", e, c.People)
		}
		if hour := e.Begin % (24 * time.Hour) / time.Hour; e.Begin < 0 || e.Begin >= time.Duration(days)*24*time.Hour || e.Begin%SlotLength != 0 || hour < 8 || hour > 21 {
			t.Fatalf("%+v: want it at a slot of one of %d days, from 8 to 22 o'clock", e, days)
		}
		pairs[[2]int{e.A, e.B}]++
	}
	for pair, n := range pairs {
		if n > maxEncounters {
			t.Errorf("%v meet %d times, want at most %d", pair, n, maxEncounters)
		}
	}
}

func checkWalks(t *testing.T, c Contacts, days int) {
	t.Helper()
	slots := map[int]map[time.Duration]bool{}
	last := time.Duration(0)
	for _, w := range c.Walks {
		if w.Begin < last || w.Person < 0 || w.Person >= c.People || len(w.Steps) == 0 || len(w.Steps) > 32 {
			t.Fatalf("%+v: want it sorted, of one of %d people, and 1 to 32 slots", w, c.People)
		}
		last = w.Begin
		if slots[w.Person] == nil {
			slots[w.Person] = map[time.Duration]bool{}
		}
		for i, n := range w.Steps {
			at := w.Begin + time.Duration(i)*15*time.Minute
			if slots[w.Person][at] || at%(15*time.Minute) != 0 || at >= time.Duration(days)*24*time.Hour || n > 4500 {
				t.Fatalf("%+v, slot %d: want a quarter hour not yet counted, and no more steps than anybody takes", w, i)
			}
			slots[w.Person][at] = true
		}
	}
	for person := range c.People {
		if got, want := len(slots[person]), 56*days; got != want {
			t.Errorf("person %d counted steps in %d quarter hours, want %d", person, got, want)
		}
	}
}

// TestSyntheticShape compares a large crowd with the conference that it is to be like: 403 people made 9,565 friends in
// two days, two thirds of the pairs met only once, and the most sociable met 40 % of the others.
func TestSyntheticShape(t *testing.T) {
	const people, days = 403, 2
	for seed := range uint64(3) {
		c := Synthetic(people, days, seed)
		pairs := map[[2]int]int{}
		friends := make([]int, people)
		for _, e := range c.Encounters {
			if pairs[[2]int{e.A, e.B}]++; pairs[[2]int{e.A, e.B}] == 1 {
				friends[e.A]++
				friends[e.B]++
			}
		}
		once := 0
		for _, n := range pairs {
			if n == 1 {
				once++
			}
		}
		for what, tt := range map[string]struct{ got, least, most float64 }{
			"friendships":                   {float64(len(pairs)), 7500, 11500},
			"taps of a friendship":          {float64(len(c.Encounters)) / float64(len(pairs)), 2, 4},
			"share of pairs that met once":  {float64(once) / float64(len(pairs)), 0.62, 0.70},
			"friends of the most sociable":  {float64(slices.Max(friends)), 120, 320},
			"friends of the least sociable": {float64(slices.Min(friends)), 0, 15},
		} {
			if tt.got < tt.least || tt.got > tt.most {
				t.Errorf("seed %d: %s: got %.2f, want %.2f to %.2f", seed, what, tt.got, tt.least, tt.most)
			}
		}
		steps := 0.0
		for _, w := range c.Walks {
			for _, n := range w.Steps {
				steps += float64(n)
			}
		}
		if perDay := steps / people / days; perDay < 8000 || perDay > 12000 {
			t.Errorf("seed %d: %.0f steps a day, want about 10,000", seed, perDay)
		}
	}
}
