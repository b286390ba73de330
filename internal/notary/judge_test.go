package notary

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// rootOf is the root of a tree of that name at the size.
func rootOf(tree byte, size fact.Seq) merkle.Hash {
	return merkle.Hash{tree, byte(size), byte(size >> 8)}
}

func treeOf(tree byte) func(fact.Seq) (merkle.Hash, error) {
	return func(size fact.Seq) (merkle.Hash, error) { return rootOf(tree, size), nil }
}

func by(key string, tree byte, size fact.Seq) claim { return claim{key, size, rootOf(tree, size)} }

// TestJudge: the tree is A's, of 100 facts.
func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		claims []claim
		rank   rank
		differ []string
		ahead  int
	}{
		"alone":                                 {},
		"all agree":                             {claims: []claim{by("x", 'A', 1), by("y", 'A', 100)}},
		"one is ahead":                          {claims: []claim{by("x", 'B', 101)}, ahead: 1},
		"one against one":                       {claims: []claim{by("x", 'B', 50)}, rank: tied, differ: []string{"x"}},
		"two against one":                       {claims: []claim{by("x", 'A', 50), by("y", 'B', 60)}, rank: majority, differ: []string{"y"}},
		"one against two":                       {claims: []claim{by("x", 'B', 50), by("y", 'B', 50)}, rank: minority, differ: []string{"x", "y"}},
		"one against two of different sizes":    {claims: []claim{by("x", 'B', 50), by("y", 'B', 51)}, rank: minority, differ: []string{"x", "y"}},
		"one against one against one":           {claims: []claim{by("x", 'B', 50), by("y", 'C', 50)}, rank: tied, differ: []string{"x", "y"}},
		"two against two":                       {claims: []claim{by("x", 'A', 1), by("y", 'B', 2), by("z", 'B', 3)}, rank: tied, differ: []string{"y", "z"}},
		"two against one, and one is ahead":     {claims: []claim{by("x", 'A', 1), by("y", 'B', 2), by("z", 'B', 101)}, rank: tied, differ: []string{"y"}, ahead: 1},
		"one against two, and one is ahead":     {claims: []claim{by("x", 'B', 1), by("y", 'B', 2), by("z", 'A', 101)}, rank: tied, differ: []string{"x", "y"}, ahead: 1},
		"three against one, and one is ahead":   {claims: []claim{by("w", 'A', 7), by("x", 'A', 1), by("y", 'B', 2), by("z", 'B', 101)}, rank: majority, differ: []string{"y"}, ahead: 1},
		"one against three, and one is ahead":   {claims: []claim{by("w", 'B', 7), by("x", 'B', 1), by("y", 'B', 2), by("z", 'A', 101)}, rank: minority, differ: []string{"w", "x", "y"}, ahead: 1},
		"two of one size that differ, and more": {claims: []claim{by("w", 'A', 7), by("x", 'B', 9), by("y", 'C', 9)}, rank: majority, differ: []string{"x", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := judge(100, treeOf('A'), tt.claims)
			if err != nil || v.rank != tt.rank || !slices.Equal(v.differ, tt.differ) || len(v.ahead) != tt.ahead {
				t.Errorf("got %+v, %v, want rank %d, %q differ, %d ahead", v, err, tt.rank, tt.differ, tt.ahead)
			}
		})
	}
	damaged := errors.New("damaged")
	if _, err := judge(100, func(fact.Seq) (merkle.Hash, error) { return merkle.Hash{}, damaged }, []claim{by("x", 'A', 1)}); !errors.Is(err, damaged) {
		t.Errorf("got %v of a tree that cannot be read", err)
	}
}

// TestJudgeTogether lets any number of gateways on different trees judge each other: never do those of two trees go on,
// and none ends unless there are more on other trees.
func TestJudgeTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type gateway struct {
			tree         byte
			size, signed fact.Seq
		}
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) gateway {
			size := rapid.Uint64Range(1, 20).Draw(t, "size")
			return gateway{
				tree: rapid.ByteRange('A', 'C').Draw(t, "tree"), size: fact.Seq(size),
				signed: fact.Seq(rapid.Uint64Range(1, size).Draw(t, "signed")),
			}
		}), 1, 6).Draw(t, "gateways")
		on := map[byte]int{}
		for _, g := range list {
			on[g.tree]++
		}
		goesOn := byte(0)
		for i, g := range list {
			var claims []claim
			for j, other := range list {
				if i != j {
					claims = append(claims, by("k", other.tree, other.signed))
				}
			}
			v, err := judge(g.size, treeOf(g.tree), claims)
			if err != nil {
				t.Fatal(err)
			}
			switch v.rank {
			case majority:
				if goesOn != 0 && goesOn != g.tree {
					t.Fatalf("the gateways of trees %c and %c go on", goesOn, g.tree)
				}
				goesOn = g.tree
			case minority:
				if 2*on[g.tree] >= len(list) {
					t.Fatalf("gateway %d ends, and %d of %d are on its tree", i, on[g.tree], len(list))
				}
			case undisputed:
				if len(v.ahead) == 0 && on[g.tree] != len(list) {
					t.Fatalf("gateway %d sees nobody on another tree", i)
				}
			}
		}
	})
}
