package rewards

import (
	"bytes"
	"encoding/binary"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
)

// The ranking holds the wearers who have a friend and are not erased: more friends first, then the smaller wearer id.
// Two things are kept of it, so that no question costs more when there are more wearers.
//
// An index in just that order, which is paged from any place downwards. There is no second one for going upwards, since
// each would cost a new place in a random page for both wearers of every friendship: lastBefore finds what stands above
// a place by bisection instead.
//
// A histogram of the friend counts, as a tree over their four bytes: a node of 256 counters for each leading part, each
// counter for the wearers whose count goes on with that byte. Four nodes answer how many wearers have more friends.

// Place is one wearer's place in the ranking.
type Place struct {
	Rank    uint32 // 1, 2, 2, 4: one more than there are wearers with more friends
	Friends uint32
	Wearer  fact.WearerID
}

// Leaderboard returns at most limit places, those that follow after: Friends and Wearer of the last place of the page
// before, whether or not that wearer is still there. The zero Place stands before the first.
func Leaderboard(r kv.Reader, after Place, limit int) []Place {
	var from []byte
	if after.Friends > 0 {
		from = following(rankOf(after.Friends, after.Wearer))
	}
	return places(r, firstFrom(r, from, limit))
}

// Rank returns a wearer's rank and friend count; false if the wearer is not ranked.
func Rank(r kv.Reader, w fact.WearerID) (rank, friends uint32, ok bool) {
	friends = recordOf(r, w).friends
	if friends == 0 || roster.Erased(r, w) {
		return 0, 0, false
	}
	return above(r, friends) + 1, friends, true
}

// Neighbours returns the wearer's place with at most n places before it and at most n after it, in the order of the
// ranking; none if the wearer is not ranked.
func Neighbours(r kv.Reader, w fact.WearerID, n int) []Place {
	_, friends, ok := Rank(r, w)
	if !ok {
		return nil
	}
	own := rankOf(friends, w)
	keys := append(lastBefore(r, rankKey{}, own, n), own)
	return places(r, append(keys, firstFrom(r, following(own), n)...))
}

// rankKey is a key of the index.
type rankKey [4 + 16]byte

func rankOf(friends uint32, w fact.WearerID) rankKey {
	var k rankKey
	binary.BigEndian.PutUint32(k[:], ^friends)
	copy(k[4:], w[:])
	return k
}

// following returns the least key after k.
func following(k rankKey) []byte { return append(k[:], 0) }

// places ranks consecutive keys of the index.
func places(r kv.Reader, keys []rankKey) []Place {
	list := make([]Place, 0, len(keys))
	var last Place
	for _, k := range keys {
		p := Place{Friends: ^binary.BigEndian.Uint32(k[:]), Wearer: fact.WearerID(k[4:]), Rank: last.Rank}
		if p.Friends != last.Friends {
			p.Rank = above(r, p.Friends) + 1
		}
		list = append(list, p)
		last = p
	}
	return list
}

// firstFrom returns the first n keys that are not before from.
func firstFrom(r kv.Reader, from []byte, n int) []rankKey {
	var keys []rankKey
	if n <= 0 {
		return nil
	}
	for k := range r.Scan(ranks, nil, from) {
		if keys = append(keys, rankKey(k)); len(keys) == n {
			break
		}
	}
	return keys
}

// lastBefore returns the last n keys of those that are not before lo, and before hi. It reads the range from lo on; when
// there are more than n, it looks in the upper half first, and in the lower one only for what is still missing. So it
// takes at most 160 rounds of at most two times n+1 keys, with random ids and 100,000 wearers some 20 rounds.
func lastBefore(r kv.Reader, lo, hi rankKey, n int) []rankKey {
	if n <= 0 {
		return nil
	}
	keys := firstFrom(r, lo[:], n+1)
	if end := slices.IndexFunc(keys, func(k rankKey) bool { return bytes.Compare(k[:], hi[:]) >= 0 }); end >= 0 {
		keys = keys[:end]
	}
	if len(keys) <= n {
		return keys
	}
	lo = keys[1] // the first is not among the last n
	mid := between(lo, hi)
	upper := lastBefore(r, mid, hi, n)
	return append(lastBefore(r, lo, mid, n-len(upper)), upper...)
}

// between returns the middle of two keys, read as numbers. It is not before lo, and before hi if lo is.
func between(lo, hi rankKey) rankKey {
	var mid rankKey
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

// rerank moves a wearer in the ranking. A friend count of 0 is none.
func rerank(tx kv.Tx, w fact.WearerID, from, to uint32) {
	if from > 0 {
		k := rankOf(from, w)
		tx.Delete(ranks, k[:])
	}
	if to > 0 {
		k := rankOf(to, w)
		tx.Put(ranks, k[:], []byte{1})
	}
	recount(tx, from, to)
}

// recount moves one wearer in the histogram, 0 being none. Nodes at which the two counts go the same way stay as they
// are: most moves are by one and change the last node only.
func recount(tx kv.Tx, from, to uint32) {
	a, b := countBytes(from), countBytes(to)
	for n := range a {
		if from > 0 && to > 0 && bytes.Equal(a[:n+1], b[:n+1]) {
			continue
		}
		if from > 0 {
			bump(tx, a[:n], a[n], -1)
		}
		if to > 0 {
			bump(tx, b[:n], b[n], +1)
		}
	}
}

// bump adds to one counter of the node of the counts that start with lead.
func bump(tx kv.Tx, lead []byte, next byte, by int32) {
	node := make([]byte, nodeSize)
	copy(node, tx.Get(counts, nodeKey(lead)))
	counter := node[4*int(next):]
	binary.BigEndian.PutUint32(counter, binary.BigEndian.Uint32(counter)+uint32(by))
	tx.Put(counts, nodeKey(lead), node)
}

// above returns how many ranked wearers have more friends.
func above(r kv.Reader, friends uint32) uint32 {
	var more uint32
	b := countBytes(friends)
	for n := range b {
		node := r.Get(counts, nodeKey(b[:n]))
		for i := 4 * (int(b[n]) + 1); i < len(node); i += 4 {
			more += binary.BigEndian.Uint32(node[i:])
		}
	}
	return more
}

const nodeSize = 4 * 256

func nodeKey(lead []byte) []byte { return append([]byte{byte(len(lead))}, lead...) }

func countBytes(friends uint32) [4]byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], friends)
	return b
}
