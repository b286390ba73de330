package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// kept holds the checkpoints that an auditor kept against the tree of the log, as it grows.
type kept struct {
	out  *findings
	rest []merkle.Checkpoint // not compared yet, by size
	hold uint64              // how many do
	last fact.Seq            // the largest size of those

	// Of the first that does not hold; the findings wait for what the later ones say.
	broken *merkle.Checkpoint
	from   fact.Seq // the first sequence that may differ
	found  merkle.Hash
	fail   uint64             // how many later ones do not hold either
	after  *merkle.Checkpoint // the last later one that holds: it was signed for another log than the broken one
}

// newKept takes checkpoints in any order. The error names one of other Games.
func newKept(games string, list []merkle.Checkpoint, out *findings) (kept, error) {
	for _, c := range list {
		if c.Games != games {
			return kept{}, fmt.Errorf("checkpoint of %d facts: it is of the Games %.80q: want %.80q", c.Size, c.Games, games)
		}
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b merkle.Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), bytes.Compare(a.Root[:], b.Root[:]))
	})
	return kept{rest: slices.Compact(list), out: out}, nil
}

// compare compares the checkpoints of the size that the tree has now.
func (k *kept) compare(tree *merkle.Edge) {
	n := 0
	for n < len(k.rest) && k.rest[n].Size == tree.Size() {
		n++
	}
	if n == 0 {
		return
	}
	same, root := k.rest[:n], tree.Root()
	k.rest = k.rest[n:]
	i := slices.IndexFunc(same, func(c merkle.Checkpoint) bool { return c.Root == root })
	if n > 1 {
		k.out.add(tree.Size(), Equivocation, fmt.Sprintf("one root that is signed for at size %d", tree.Size()),
			fmt.Sprintf("%d: %v and %v, and the log has %v", n, same[0].Root, same[1].Root, root))
	}
	switch {
	case i >= 0:
		k.holds(same[i])
	case k.broken == nil:
		k.broken, k.from, k.found = &same[0], k.last+1, root
	default:
		k.fail += uint64(n)
	}
}

func (k *kept) holds(c merkle.Checkpoint) {
	k.hold++
	k.last = c.Size
	if k.broken != nil {
		k.after = &c
	}
}

// end reports what does not hold. Nothing is said of the checkpoints behind the end of a log that could not be read on.
func (k *kept) end(tree *merkle.Edge, cut bool) {
	if c := k.broken; c != nil {
		text := fmt.Sprintf("root %v: a fact of sequences %d to %d was rewritten, inserted, dropped or moved", k.found, k.from, c.Size)
		if k.fail > 0 {
			text += fmt.Sprintf("; %d later checkpoints do not hold either, as must be", k.fail)
		}
		k.out.add(k.from, RewrittenSince, fmt.Sprintf("root %v of the facts up to sequence %d, as was signed for", c.Root, c.Size), text)
		if k.after != nil {
			k.out.add(c.Size, Equivocation, "checkpoints of one log",
				fmt.Sprintf("root %v signed for at size %d, and root %v at size %d, which only a log without the first can have",
					c.Root, c.Size, k.after.Root, k.after.Size))
		}
	}
	if n := len(k.rest); n > 0 && !cut {
		c := k.rest[n-1]
		k.out.add(tree.Size()+1, Cut, fmt.Sprintf("facts up to sequence %d, for which root %v was signed", c.Size, c.Root),
			fmt.Sprintf("a log that ends at sequence %d, before %d of the kept checkpoints", tree.Size(), n))
	}
}
