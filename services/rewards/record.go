package rewards

import (
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// The buckets, beside those of package roster. All integers are big-endian. A wearer costs three keys at most, wearer and
// rank and the pin's, and an award one.
const (
	wearers = "wearer" // wearer -> record
	awards  = "award"  // cause u64, index u8 -> wearer
	ranks   = "rank"   // friends u32 with all bits inverted, wearer -> 1; those who are ranked, best first
	counts  = "count"  // n u8, the n leading bytes of a friend count -> a node of the histogram, see ranking.go
	sums    = "sum"    // "all" -> the totals, u64 each, see totals.go
	ruled   = "rules"  // "now" -> the rules in force, see ruling.go
	sports  = "sport"  // number u32 -> the sport's id
)

// record is what is kept of one wearer. The numbers stand in front, so that most steps never look at the awards.
//
// Its layout:
//
//	 0  friends u32
//	 4  given u32
//	 8  held u32
//	12  chosen u32
//	16  medals u8
//	17  medalsHeld u8
//	18  complete u8, 0 or 1
//	19  zero
//	20  awards, 14 bytes each, see award
type record struct {
	head
	awards []byte // all ever given, in the order given
}

type head struct {
	friends    uint32
	given      uint32   // backgrounds
	held       uint32   // of those, the ones not revoked
	chosen     sport    // 0 = none
	medals     medalSet // given
	medalsHeld medalSet
	complete   bool
}

const headSize = 20

// recordOf returns the wearer's record; of one without friends and awards so far, the zero record.
func recordOf(r kv.Reader, w fact.WearerID) record {
	v := r.Get(wearers, w[:])
	if v == nil {
		return record{}
	}
	return decodeRecord(v)
}

func decodeRecord(v []byte) record {
	return record{
		head: head{
			friends:    binary.BigEndian.Uint32(v),
			given:      binary.BigEndian.Uint32(v[4:]),
			held:       binary.BigEndian.Uint32(v[8:]),
			chosen:     sport(binary.BigEndian.Uint32(v[12:])),
			medals:     medalSet(v[16]),
			medalsHeld: medalSet(v[17]),
			complete:   v[18] == 1,
		},
		awards: v[headSize:],
	}
}

func (rec record) encode() []byte {
	v := make([]byte, 0, headSize+len(rec.awards))
	v = binary.BigEndian.AppendUint32(v, rec.friends)
	v = binary.BigEndian.AppendUint32(v, rec.given)
	v = binary.BigEndian.AppendUint32(v, rec.held)
	v = binary.BigEndian.AppendUint32(v, uint32(rec.chosen))
	v = append(v, byte(rec.medals), byte(rec.medalsHeld), 0, 0)
	if rec.complete {
		v[18] = 1
	}
	return append(v, rec.awards...)
}

// store replaces the wearer's record and brings the totals up to date. Every change of the awards also changes the head.
func store(tx kv.Tx, w fact.WearerID, old, rec record) {
	in, _ := inForce(tx)
	rec.complete = in.sportCount() > 0 && int(rec.held) >= in.sportCount()
	if rec.head == old.head {
		return
	}
	tx.Put(wearers, w[:], rec.encode())
	moveTotals(tx, old.head, rec.head)
}

// award is one entry of a record: cause u64, index u8, kind u8 (the medal, 0 for a background; 0x80 added when revoked),
// sport u32 (0 for a medal).
type award struct {
	cause   fact.Seq
	index   uint8
	medal   fact.Medal // 0 = a background,
	sport   sport      // of this sport
	revoked bool
}

const (
	awardSize = 14
	revoked   = 0x80 // in the kind
	kindAt    = 9
)

func (a award) held() bool { return !a.revoked }

func decodeAward(v []byte) award {
	return award{
		cause:   fact.Seq(binary.BigEndian.Uint64(v)),
		index:   v[8],
		medal:   fact.Medal(v[kindAt] &^ revoked),
		sport:   sport(binary.BigEndian.Uint32(v[10:])),
		revoked: v[kindAt]&revoked != 0,
	}
}

// all goes through the awards in the order given.
func (rec record) all() iter.Seq2[int, award] {
	return func(yield func(int, award) bool) {
		for i := 0; i*awardSize < len(rec.awards); i++ {
			if !yield(i, decodeAward(rec.awards[i*awardSize:])) {
				return
			}
		}
	}
}

// sports returns the sports of which the wearer was given the background.
func (rec record) sports() map[sport]bool {
	given := make(map[sport]bool, rec.given)
	for _, a := range rec.all() {
		if a.medal == 0 {
			given[a.sport] = true
		}
	}
	return given
}

// add appends an award that is held.
func (rec *record) add(a award) {
	if a.medal == 0 {
		rec.given++
		rec.held++
	} else {
		rec.medals = rec.medals.with(a.medal)
		rec.medalsHeld = rec.medalsHeld.with(a.medal)
	}
	v := slices.Clip(rec.awards) // the bytes belong to the view
	v = binary.BigEndian.AppendUint64(v, uint64(a.cause))
	v = append(v, a.index, byte(a.medal))
	rec.awards = binary.BigEndian.AppendUint32(v, uint32(a.sport))
}

// revoke marks a, the i-th award, which is held.
func (rec *record) revoke(i int, a award) {
	if a.medal == 0 {
		rec.held--
	} else {
		rec.medalsHeld = rec.medalsHeld.without(a.medal)
	}
	if rec.chosen == a.sport {
		rec.chosen = 0
	}
	rec.awards = slices.Clone(rec.awards)
	rec.awards[i*awardSize+kindAt] |= revoked
}

// medalSet has bit m-1 for medal m.
type medalSet uint8

func (s medalSet) has(m fact.Medal) bool             { return s&(1<<(m-1)) != 0 }
func (s medalSet) with(m fact.Medal) medalSet    { return s | 1<<(m-1) }
func (s medalSet) without(m fact.Medal) medalSet { return s &^ (1 << (m - 1)) }

func awardKey(cause fact.Seq, index uint8) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(cause)), index)
}

// awardedTo returns the wearer to whom the award was given, revoked or not; false if there is no such award.
func awardedTo(r kv.Reader, cause fact.Seq, index uint32) (fact.WearerID, bool) {
	if index > math.MaxUint8 {
		return fact.WearerID{}, false
	}
	v := r.Get(awards, awardKey(cause, uint8(index)))
	if v == nil {
		return fact.WearerID{}, false
	}
	return fact.WearerID(v), true
}
