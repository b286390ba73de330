package audit

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// TestKept keeps checkpoints of a log while it grows, and of another one that forks off it anywhere, and holds all of them
// against either. A dumb model says by where they fork what is found.
func TestKept(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const length = 40
		fork := rapid.IntRange(0, length-1).Draw(r, "fork") // the first leaf that differs
		sizes := func(name string, from int) []int {
			list := rapid.SliceOfNDistinct(rapid.IntRange(from, length), 0, 6, rapid.ID).Draw(r, name)
			slices.Sort(list)
			return list
		}
		mine, others := sizes("mine", 0), sizes("others", fork+1)
		ends := rapid.IntRange(fork+1, length).Draw(r, "ends")
		var leaves, other []merkle.Hash
		for i := range length {
			leaves, other = append(leaves, merkle.Hash{byte(i)}), append(other, merkle.Hash{byte(i), byte(one(i >= fork))})
		}
		list := append(signed(leaves, mine), signed(other, others)...)
		list = rapid.Permutation(list).Draw(r, "kept")

		var got findings
		k, err := newKept("tokyo2020", list, &got)
		if err != nil {
			r.Fatal(err)
		}
		var tree merkle.Edge
		k.compare(&tree)
		for _, leaf := range leaves[:ends] {
			tree.Add(leaf)
			k.compare(&tree)
		}
		k.end(&tree, false)
		places := map[string]bool{}
		for _, f := range got.list {
			places[fmt.Sprintf("%d %s", f.Seq, f.Kind)] = true
		}
		if want := wantKept(mine, others, ends); fmt.Sprint(places) != fmt.Sprint(want) || len(got.list) != len(want) {
			r.Fatalf("got %v, want %v", got.list, want)
		}
		if want := len(slices.DeleteFunc(mine, func(n int) bool { return n > ends })); int(k.hold) != want {
			r.Fatalf("%d hold, want %d", k.hold, want)
		}
	})
}

// wantKept says what is found in a log of so many facts.
func wantKept(mine, others []int, ends int) map[string]bool {
	want := map[string]bool{}
	say := func(seq int, kind Kind) { want[fmt.Sprintf("%d %s", seq, kind)] = true }
	broken := -1
	for _, n := range others {
		switch {
		case n > ends:
		case slices.Contains(mine, n):
			say(n, Equivocation)
		case broken < 0:
			broken = n
			held := 0
			for _, m := range mine {
				if m < n {
					held = m
				}
			}
			say(held+1, RewrittenSince)
		}
	}
	if broken >= 0 && slices.ContainsFunc(mine, func(m int) bool { return m > broken && m <= ends }) {
		say(broken, Equivocation)
	}
	if slices.ContainsFunc(slices.Concat(mine, others), func(n int) bool { return n > ends }) {
		say(ends+1, Cut)
	}
	return want
}

func signed(leaves []merkle.Hash, sizes []int) (list []merkle.Checkpoint) {
	for _, n := range sizes {
		var tree merkle.Edge
		for _, leaf := range leaves[:n] {
			tree.Add(leaf)
		}
		list = append(list, merkle.Checkpoint{Games: "tokyo2020", Size: fact.Seq(n), Root: tree.Root()})
	}
	return list
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
