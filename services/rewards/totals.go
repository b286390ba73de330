package rewards

import (
	"encoding/binary"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// Tally is the sum over all wearers, erased ones too.
type Tally struct {
	Friendships uint64 // half the sum of all friend counts
	Befriended  uint64 // wearers with at least one friend
	Bronze      uint64 // wearers who hold the medal
	Silver      uint64
	Gold        uint64
	Backgrounds uint64 // held
	Complete    uint64 // complete collections, see rule 9
}

// totals are the numbers of a Tally in the order of its fields, but for the first, which is the sum of the friend counts.
type totals [7]uint64

var all = []byte("all")

// Totals returns the running totals.
func Totals(r kv.Reader) Tally {
	t := totalsOf(r)
	return Tally{
		Friendships: t[0] / 2,
		Befriended:  t[1],
		Bronze:      t[2],
		Silver:      t[3],
		Gold:        t[4],
		Backgrounds: t[5],
		Complete:    t[6],
	}
}

// share returns what one wearer adds to the totals.
func (h head) share() totals {
	one := func(yes bool) uint64 {
		if yes {
			return 1
		}
		return 0
	}
	return totals{
		uint64(h.friends),
		one(h.friends > 0),
		one(h.medals.has(fact.Bronze)),
		one(h.medals.has(fact.Silver)),
		one(h.medals.has(fact.Gold)),
		uint64(h.held),
		one(h.complete),
	}
}

func totalsOf(r kv.Reader) totals {
	var t totals
	if v := r.Get(sums, all); v != nil {
		for i := range t {
			t[i] = binary.BigEndian.Uint64(v[8*i:])
		}
	}
	return t
}

// moveTotals replaces a wearer's share in the totals.
func moveTotals(tx kv.Tx, old, new head) {
	was, is := old.share(), new.share()
	if was == is {
		return
	}
	v := make([]byte, 0, 8*len(was))
	for i, sum := range totalsOf(tx) {
		v = binary.BigEndian.AppendUint64(v, sum-was[i]+is[i])
	}
	tx.Put(sums, all, v)
}

// Sports returns how many backgrounds a wearer can hold under the rules in force.
func Sports(r kv.Reader) int { return len(inForce(r).Sports) }
