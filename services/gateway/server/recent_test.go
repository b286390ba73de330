package server

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"pinfold/internal/fact"
)

// TestRecent compares with a list of all keys in the order in which they were put or got last: the last size of them
// are there, with the value put last, and never more than twice as many are held.
func TestRecent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 6).Draw(t, "size")
		keys := rapid.IntRange(0, 3*size+2)
		r := newRecent[int, int](size)
		var order []int // the latest last
		values := map[int]int{}
		touch := func(key int) {
			order = append(slices.DeleteFunc(order, func(k int) bool { return k == key }), key)
		}
		must := func(key int) bool { return slices.Contains(order[max(0, len(order)-size):], key) }
		found := func(key, got int, ok bool) {
			switch {
			case ok && got != values[key]:
				t.Fatalf("key %d: got %d, want %d", key, got, values[key])
			case !ok && must(key):
				t.Fatalf("key %d is forgotten, and is one of the last %d of %v", key, size, order)
			}
		}
		for n := range rapid.IntRange(1, 200).Draw(t, "calls") {
			key := keys.Draw(t, "key")
			switch rapid.SampledFrom([]string{"put", "get", "getOrPut"}).Draw(t, "call") {
			case "put":
				r.put(key, n)
				values[key] = n
				touch(key)
			case "get":
				got, ok := r.get(key)
				found(key, got, ok)
				if ok {
					touch(key)
				}
			case "getOrPut":
				made := false
				got := r.getOrPut(key, func() int { made = true; return n })
				found(key, got, !made)
				if made {
					if got != n {
						t.Fatalf("key %d: got %d, want %d, which was made", key, got, n)
					}
					values[key] = n
				}
				touch(key)
			}
			if held := len(r.young) + len(r.older); held > 2*size {
				t.Fatalf("%d entries are held, want at most %d", held, 2*size)
			}
		}
		// Looking at them from the latest on, so that looking changes nothing that is still to be looked at.
		for i := len(order) - 1; i >= max(0, len(order)-size); i-- {
			if got, ok := r.get(order[i]); !ok || got != values[order[i]] {
				t.Fatalf("key %d: got %d, %t, want %d", order[i], got, ok, values[order[i]])
			}
		}
	})
}

// TestRecentForgets: what is old goes. Without that, a gateway would grow for as long as it runs.
func TestRecentForgets(t *testing.T) {
	r := newRecent[int, int](10)
	for i := range 1000 {
		r.put(i, i)
	}
	held := 0
	for i := range 1000 {
		_, young := r.young[i]
		_, older := r.older[i]
		if young || older {
			held++
		}
	}
	if held < 10 || held > 20 {
		t.Errorf("got %d of 1,000 entries, want 10 to 20", held)
	}
}

// TestRecentTogether is for the race detector. One value is made for each key, whoever asks.
func TestRecentTogether(t *testing.T) {
	const goroutines, keys = 8, 100
	r := newRecent[int, *int](2 * keys) // so that nothing is forgotten
	var got [goroutines][keys]*int
	var wg sync.WaitGroup
	for g := range got {
		wg.Go(func() {
			for i := range keys {
				got[g][i] = r.getOrPut(i, func() *int { return new(int) })
				r.put(-i-1, nil)
				r.get(i)
			}
		})
	}
	wg.Wait()
	for g := range got {
		if got[g] != got[0] {
			t.Errorf("goroutine %d got other values than the first", g)
		}
	}
}

// TestLimiter: a pin may come with its burst at once, and from then on at its rate; others are not held up by it.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{Rate: 2, Burst: 5})
		allowed := func(pin fact.PinID, asked int) int {
			n := 0
			for range asked {
				if l.allow(pin) {
					n++
				}
			}
			return n
		}
		greedy, modest := fact.PinID{1}, fact.PinID{2}
		for _, step := range []struct {
			after time.Duration
			pin   fact.PinID
			asked int
			want  int
		}{
			{0, greedy, 10, 5},
			{0, greedy, 10, 0},
			{0, modest, 3, 3},
			{499 * time.Millisecond, greedy, 10, 0},
			{time.Millisecond, greedy, 10, 1},
			{2 * time.Second, greedy, 10, 4},
			{time.Hour, greedy, 10, 5},
			{0, modest, 10, 5},
		} {
			<-time.After(step.after)
			if got := allowed(step.pin, step.asked); got != step.want {
				t.Errorf("after %v more, pin %v: %d of %d allowed, want %d", step.after, step.pin, got, step.asked, step.want)
			}
		}
		// A pin that was forgotten behind many others has its whole burst again.
		l.pins = newRecent[fact.PinID, *rate.Limiter](1)
		for i := range 3 {
			if got := allowed(greedy, 10); got != 5 {
				t.Errorf("round %d: %d allowed, want the whole burst", i, got)
			}
			l.allow(fact.PinID{3})
			l.allow(fact.PinID{4})
			l.allow(fact.PinID{5})
		}
	})
}
