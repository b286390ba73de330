package ranking

import (
	"encoding/binary"
	"slices"

	"pinfold/internal/kv"
)

// node is 256 counters, u32 each.
type node []byte

const nodeSize = 4 * 256

var nobody = make(node, nodeSize)

func (n node) at(next byte) uint32 { return binary.BigEndian.Uint32(n[4*int(next):]) }

// add changes one counter by a number that may be negative.
func (n node) add(next byte, by int32) {
	binary.BigEndian.PutUint32(n[4*int(next):], n.at(next)+uint32(by))
}

// nodeKey returns the key of the node of the scores that start with lead.
func (b Board) nodeKey(lead []byte) []byte {
	return slices.Concat(b.Prefix, []byte{byte(len(lead))}, lead)
}

// nodeAt returns a node to change.
func (b Board) nodeAt(r kv.Reader, lead []byte) node {
	n := make(node, nodeSize)
	copy(n, r.Get(b.Counts, b.nodeKey(lead)))
	return n
}

func (b Board) keepNode(tx kv.Tx, lead []byte, n node) {
	if slices.Equal(n, nobody) {
		tx.Delete(b.Counts, b.nodeKey(lead))
		return
	}
	tx.Put(b.Counts, b.nodeKey(lead), n)
}

// recount moves one wearer in the histogram, 0 being none. Nodes at which both scores go the same way stay as they are.
func (b Board) recount(tx kv.Tx, from, to uint32) {
	x, y := scoreBytes(from), scoreBytes(to)
	level := 0
	if from > 0 && to > 0 {
		for x[level] == y[level] { // the scores differ, so it ends
			level++
		}
		fork := b.nodeAt(tx, x[:level])
		fork.add(x[level], -1)
		fork.add(y[level], +1)
		b.keepNode(tx, x[:level], fork)
		level++
	}
	for ; level < len(x); level++ {
		if from > 0 {
			b.bump(tx, x[:level], x[level], -1)
		}
		if to > 0 {
			b.bump(tx, y[:level], y[level], +1)
		}
	}
}

func (b Board) bump(tx kv.Tx, lead []byte, next byte, by int32) {
	n := b.nodeAt(tx, lead)
	n.add(next, by)
	b.keepNode(tx, lead, n)
}

// above returns how many wearers have a higher score.
func (b Board) above(r kv.Reader, score uint32) uint32 {
	var more uint32
	s := scoreBytes(score)
	for level := range s {
		n := r.Get(b.Counts, b.nodeKey(s[:level]))
		for i := 4 * (int(s[level]) + 1); i < len(n); i += 4 {
			more += binary.BigEndian.Uint32(n[i:])
		}
	}
	return more
}

func scoreBytes(score uint32) [4]byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], score)
	return b
}
