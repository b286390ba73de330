// Package ranking keeps wearers in the order of a score, in the view of a fold: a higher score first, then the smaller
// wearer id. Equal scores share a rank. It is a pure leaf.
package ranking

import (
	"bytes"
	"encoding/binary"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// Board is one ranking. It holds the wearers whose score is not 0. Two things are kept of it, so that no question costs
// more when there are more wearers:
//
// An index in just that order, which is paged from any place downwards. There is no second one for going upwards, since
// each would cost a new place in a random page for every change of a score: lastBefore finds what stands above a place
// by bisection instead.
//
// A histogram of the scores, as a tree over their four bytes: a node of 256 counters for each leading part, each counter
// for the wearers whose score goes on with that byte. Four nodes answer how many wearers have more. A node that counts
// nobody is not kept, so that the same scores are the same keys, however they came about.
type Board struct {
	Index  string // bucket: Prefix, score u32 with all bits inverted, wearer -> 1
	Counts string // bucket: Prefix, n u8, the first n bytes of a score -> wearers u32, 256 times; all big-endian
	Prefix []byte // tells the board from others in the same buckets; theirs are as long

	// Hidden says whom Page and Around leave out. They keep their places: ranks go on counting them. Nil = nobody.
	Hidden func(r kv.Reader, w fact.WearerID) bool
}

// Place is one wearer's place in a ranking.
type Place struct {
	Rank   uint32 // 1, 2, 2, 4: one more than there are wearers with a higher score
	Score  uint32
	Wearer fact.WearerID
}

// Move takes a wearer from one score to another; 0 is none. From must be what the wearer has.
func (b Board) Move(tx kv.Tx, w fact.WearerID, from, to uint32) {
	if from == to {
		return
	}
	if from > 0 {
		tx.Delete(b.Index, b.indexKey(keyOf(from, w)))
	}
	if to > 0 {
		tx.Put(b.Index, b.indexKey(keyOf(to, w)), []byte{1})
	}
	b.recount(tx, from, to)
}

// Page returns at most limit places, those that follow after: Score and Wearer of the last place of the page before,
// whether or not that wearer is still there. The zero Place stands before the first.
func (b Board) Page(r kv.Reader, after Place, limit int) []Place {
	var from []byte
	if after.Score > 0 {
		from = following(keyOf(after.Score, after.Wearer))
	}
	return b.places(r, b.firstFrom(r, from, limit))
}

// Rank returns the rank of a score, whether or not anybody has it.
func (b Board) Rank(r kv.Reader, score uint32) uint32 { return b.above(r, score) + 1 }

// Around returns the place of a wearer who has this score, not 0, with at most n places before it and at most n after
// it, in the order of the ranking.
func (b Board) Around(r kv.Reader, w fact.WearerID, score uint32, n int) []Place {
	own := keyOf(score, w)
	keys := append(b.lastBefore(r, key{}, own, n), own)
	return b.places(r, append(keys, b.firstFrom(r, following(own), n)...))
}

// key is a key of the index behind the prefix.
type key [4 + 16]byte

func keyOf(score uint32, w fact.WearerID) key {
	var k key
	binary.BigEndian.PutUint32(k[:], ^score)
	copy(k[4:], w[:])
	return k
}

func (k key) wearer() fact.WearerID { return fact.WearerID(k[4:]) }

func (k key) score() uint32 { return ^binary.BigEndian.Uint32(k[:]) }

// following returns the least key after k.
func following(k key) []byte { return append(k[:], 0) }

func (b Board) indexKey(k key) []byte { return slices.Concat(b.Prefix, k[:]) }

// places ranks keys of the index, which are in its order.
func (b Board) places(r kv.Reader, keys []key) []Place {
	list := make([]Place, 0, len(keys))
	var last Place
	for _, k := range keys {
		p := Place{Rank: last.Rank, Score: k.score(), Wearer: k.wearer()}
		if p.Score != last.Score {
			p.Rank = b.Rank(r, p.Score)
		}
		list = append(list, p)
		last = p
	}
	return list
}

// firstFrom returns the first n keys that are not before from, without those of hidden wearers.
func (b Board) firstFrom(r kv.Reader, from []byte, n int) []key {
	if n <= 0 {
		return nil
	}
	var keys []key
	for full := range r.Scan(b.Index, b.Prefix, slices.Concat(b.Prefix, from)) {
		k := key(full[len(b.Prefix):])
		if b.Hidden != nil && b.Hidden(r, k.wearer()) {
			continue
		}
		if keys = append(keys, k); len(keys) == n {
			break
		}
	}
	return keys
}

// lastBefore returns the last n keys of those that are not before lo, and before hi, without those of hidden wearers. It
// reads the range from lo on; when there are more than n, it looks in the upper half first, and in the lower one only
// for what is still missing. So it takes at most 160 rounds of at most two times n+1 keys, with random ids and 100,000
// wearers some 20 rounds.
func (b Board) lastBefore(r kv.Reader, lo, hi key, n int) []key {
	if n <= 0 {
		return nil
	}
	keys := b.firstFrom(r, lo[:], n+1)
	if end := slices.IndexFunc(keys, func(k key) bool { return bytes.Compare(k[:], hi[:]) >= 0 }); end >= 0 {
		keys = keys[:end]
	}
	if len(keys) <= n {
		return keys
	}
	lo = keys[1] // the first is not among the last n
	mid := between(lo, hi)
	upper := b.lastBefore(r, mid, hi, n)
	return append(b.lastBefore(r, lo, mid, n-len(upper)), upper...)
}

// between returns the middle of two keys, read as numbers. It is not before lo, and before hi if lo is.
func between(lo, hi key) key {
	var mid key
	carry := 0
	for i := len(mid) - 1; i >= 0; i-- {
		sum := int(lo[i]) + int(hi[i]) + carry
		mid[i], carry = byte(sum), sum>>8
	}
	for i := range mid {
		sum := carry<<8 | int(mid[i])
		mid[i], carry = byte(sum>>1), sum&1
	}
	return mid
}
