package merkle

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"pinfold/internal/fact"
)

// Edge is the right edge of a tree: all that it takes to know the root as leaves are added, at most one hash for each
// bit of the size. The zero value is the empty tree.
type Edge struct {
	size fact.Seq
	// nodes are the roots of the perfect subtrees of which the tree consists, one for each bit of size that is set, the
	// largest first.
	nodes []Hash
}

// Add puts a leaf at the end of the tree.
func (e *Edge) Add(leaf Hash) { e.add(leaf, func(Hash) {}) }

// add puts a leaf at the end of the tree and hands the hashes that this completes to each: the leaf and the nodes above
// it, in the order of tlog.StoredHashIndex.
func (e *Edge) add(leaf Hash, each func(Hash)) {
	h := leaf
	each(h)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.nodes) - 1
		h = tlog.NodeHash(e.nodes[last], h)
		e.nodes = e.nodes[:last]
		each(h)
	}
	e.nodes = append(e.nodes, h)
	e.size++
}

// Size returns the number of leaves.
func (e *Edge) Size() fact.Seq { return e.size }

// Root returns the root of the tree. That of the empty tree is the SHA-256 of nothing (RFC 6962, section 2.1).
func (e *Edge) Root() Hash {
	if e.size == 0 {
		return sha256.Sum256(nil)
	}
	last := len(e.nodes) - 1
	h := e.nodes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.nodes[i], h)
	}
	return h
}
