package ranking

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// The boards of the tests are kept side by side. Who has a key in the bucket "hidden" is hidden.
var boards = []Board{boardOf("day 1"), boardOf("day 2")}

func boardOf(prefix string) Board {
	return Board{Index: "rank", Counts: "count", Prefix: []byte(prefix), Hidden: hidden}
}

func hidden(r kv.Reader, w fact.WearerID) bool { return r.Get("hidden", w[:]) != nil }

// People are few, and near each other as well as far, so that their places in the index are.
var people = []fact.WearerID{{0: 1}, {0: 1, 15: 1}, {0: 1, 15: 2}, {0: 1, 1: 1}, {0: 2}, {0: 0x80}, {0: 0xff, 15: 0xff}, {}}

// Scores share leading bytes, and do not.
var scores = []uint32{0, 0, 1, 2, 3, 255, 256, 257, 65535, 65536, 1 << 24, math.MaxUint32 - 1, math.MaxUint32}

// dumb is what a board ought to hold.
type dumb map[fact.WearerID]uint32

// ranking returns all places of those who are not hidden.
func (d dumb) ranking(hides map[fact.WearerID]bool) []Place {
	list := []Place{}
	for w, score := range d {
		if score == 0 || hides[w] {
			continue
		}
		p := Place{Rank: 1, Score: score, Wearer: w}
		for more := range maps.Values(d) {
			if more > score {
				p.Rank++
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), slices.Compare(a.Wearer[:], b.Wearer[:]))
	})
	return list
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, models := view.NewMemory(), []dumb{{}, {}}
		hides := map[fact.WearerID]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "moves") {
			w := rapid.SampledFrom(people).Draw(t, "wearer")
			i := rapid.IntRange(0, 1).Draw(t, "board")
			score := rapid.SampledFrom(scores).Draw(t, "score")
			update(t, v, func(tx kv.Tx) {
				if rapid.IntRange(0, 20).Draw(t, "hide") == 0 {
					hides[w] = true
					tx.Put("hidden", w[:], []byte{1})
				}
				boards[i].Move(tx, w, models[i][w], score)
				models[i][w] = score
				compare(t, tx, boards[i], models[i], hides)
				check(t, tx, models)
			})
		}
		// When all have left, nothing is left.
		update(t, v, func(tx kv.Tx) {
			for i, d := range models {
				for w, score := range d {
					boards[i].Move(tx, w, score, 0)
				}
			}
			for range tx.Scan("rank", nil, nil) {
				t.Fatalf("the index is not empty")
			}
			for range tx.Scan("count", nil, nil) {
				t.Fatalf("the histogram is not empty")
			}
		})
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func update(t fataler, v view.Store, f func(tx kv.Tx)) {
	t.Helper()
	err := v.Update(func(tx kv.Tx) error {
		f(tx)
		return nil
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
}

// compare compares every answer.
func compare(t *rapid.T, r kv.Reader, b Board, d dumb, hides map[fact.WearerID]bool) {
	ranking := d.ranking(hides)
	for limit := range len(ranking) + 2 {
		want := ranking
		if limit == 0 {
			want = nil
		}
		if got := pages(r, b, limit); !slices.Equal(got, want) {
			t.Fatalf("in pages of %d:\n%v\nwant\n%v", limit, got, want)
		}
	}
	for i, p := range ranking {
		for n := range 4 {
			want := ranking[max(i-n, 0):min(i+n+1, len(ranking))]
			if got := b.Around(r, p.Wearer, p.Score, n); !slices.Equal(got, want) {
				t.Fatalf("%d around %v:\n%v\nwant\n%v", n, p, got, want)
			}
		}
	}
	for _, score := range scores {
		want := uint32(1)
		for more := range maps.Values(d) {
			if more > score {
				want++
			}
		}
		if got := b.Rank(r, score); got != want {
			t.Fatalf("the rank of %d is %d, want %d", score, got, want)
		}
	}
}

// pages returns the whole ranking, page by page.
func pages(r kv.Reader, b Board, limit int) []Place {
	var list []Place
	var after Place
	for {
		page := b.Page(r, after, limit)
		list = append(list, page...)
		if len(page) < limit || limit == 0 {
			return list
		}
		after = page[limit-1]
	}
}

func check(t fataler, r kv.Reader, models []dumb) {
	t.Helper()
	if err := expect(r, models).Err(); err != nil {
		t.Fatalf("%v", err)
	}
}

// expect returns a Checker that was told of everybody.
func expect(r kv.Reader, models []dumb) *Checker {
	c := NewChecker(r, "rank", "count")
	for i, d := range models {
		for w, score := range d {
			if score > 0 {
				c.Expect(boards[i], w, score)
			}
		}
	}
	return c
}

// Checker has to notice what it is for.
func TestChecker(t *testing.T) {
	ann, ben := fact.WearerID{0: 'a'}, fact.WearerID{0: 'b'}
	for _, tt := range []struct {
		name   string
		damage func(tx kv.Tx)
		want   string
	}{
		{"Place lost", func(tx kv.Tx) { tx.Delete("rank", boards[0].indexKey(keyOf(7, ann))) }, "is not there with a score of 7"},
		{"Place too many", func(tx kv.Tx) { tx.Put("rank", boards[1].indexKey(keyOf(7, ann)), []byte{1}) }, "rank: holds 3 places, want 2"},
		{"Counter", func(tx kv.Tx) { boards[0].bump(tx, nil, 0, 1) }, "node 646179203100 does not count"},
		{"Node lost", func(tx kv.Tx) { tx.Delete("count", boards[0].nodeKey(nil)) }, "count: holds 7 nodes, want 8"},
		{"Node too many", func(tx kv.Tx) { boards[0].bump(tx, []byte{9}, 0, 1) }, "count: holds 9 nodes, want 8"},
		{"Empty node", func(tx kv.Tx) { tx.Put("count", boards[0].nodeKey([]byte{9}), nobody) }, "count: holds 9 nodes, want 8"},
		{"Moved", func(tx kv.Tx) { boards[0].Move(tx, ann, 7, 8) }, "is not there with a score of 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			update(t, view.NewMemory(), func(tx kv.Tx) {
				models := []dumb{{ann: 7}, {ben: 7}}
				boards[0].Move(tx, ann, 0, 7)
				boards[1].Move(tx, ben, 0, 7)
				check(t, tx, models)
				tt.damage(tx)
				if err := expect(tx, models).Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got the findings\n%v\nwant one with %q", err, tt.want)
				}
			})
		})
	}
	update(t, view.NewMemory(), func(tx kv.Tx) {
		c := NewChecker(tx, "rank", "count")
		for i := range uint32(3 * maxFindings) {
			c.Expect(boards[0], ann, 1+i)
		}
		if got := strings.Count(c.Err().Error(), "\n") + 1; got != maxFindings {
			t.Errorf("got %d findings, want %d", got, maxFindings)
		}
	})
}

// The layout, as it stands in views on disk.
func TestLayout(t *testing.T) {
	update(t, view.NewMemory(), func(tx kv.Tx) {
		b := Board{Index: "rank", Counts: "count", Prefix: []byte("p")}
		b.Move(tx, fact.WearerID{0: 'a'}, 0, 0x01020304)
		if got := tx.Get("rank", []byte("p\xfe\xfd\xfc\xfba\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")); len(got) != 1 {
			t.Errorf("the index has %x, want one byte", got)
		}
		for i, k := range []string{"p\x00", "p\x01\x01", "p\x02\x01\x02", "p\x03\x01\x02\x03"} {
			want := make([]byte, 1024)
			want[4*(i+1)+3] = 1
			if got := tx.Get("count", []byte(k)); !slices.Equal(got, want) {
				t.Errorf("node %x: got\n%x, want\n%x", k, got, want)
			}
		}
	})
}

// lastBefore against a list: keys that are spread, and keys that are next to each other.
func TestLastBefore(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 0))
	b := Board{Index: "rank", Prefix: []byte("p")}
	for round := range 200 {
		keys := randomKeys(rnd, rnd.IntN(60), round%2 == 0)
		update(t, view.NewMemory(), func(tx kv.Tx) {
			for _, k := range keys {
				tx.Put("rank", b.indexKey(k), []byte{1})
			}
			for i, k := range keys {
				n := rnd.IntN(8)
				if got, want := b.lastBefore(tx, key{}, k, n), keys[max(i-n, 0):i]; !slices.Equal(got, want) {
					t.Errorf("the %d before %x:\ngot  %x\nwant %x", n, k, got, want)
				}
			}
		})
	}
}

// randomKeys returns about n keys in ascending order.
func randomKeys(rnd *rand.Rand, n int, dense bool) []key {
	var keys []key
	for range n {
		var k key
		if dense {
			k[0], k[19] = byte(rnd.IntN(2)), byte(rnd.IntN(n))
		} else {
			for i := range k {
				k[i] = byte(rnd.Uint32())
			}
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}

func TestBetween(t *testing.T) {
	number := func(hi, lo uint64) (k key) {
		binary.BigEndian.PutUint64(k[4:], hi)
		binary.BigEndian.PutUint64(k[12:], lo)
		return k
	}
	top := key(slices.Repeat([]byte{0xff}, len(key{})))
	for _, test := range []struct{ lo, hi, want key }{
		{number(0, 0), number(0, 1), number(0, 0)},
		{number(0, 1), number(0, 3), number(0, 2)},
		{number(0, 0), number(1, 0), number(0, 1<<63)},
		{number(2, 0), number(3, 2), number(2, 1<<63+1)},
		{top, top, top},
	} {
		if got := between(test.lo, test.hi); got != test.want {
			t.Errorf("between %x and %x: got %x, want %x", test.lo, test.hi, got, test.want)
		}
	}
}
