package rewards

import (
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// The buckets, beside those of package roster. All integers are big-endian. A wearer takes two keys, whatever the number
// of awards, and an award one.
const (
	wearers = "wearer" // wearer -> record
	awards  = "award"  // cause u64, index u8 -> the wearer it was given to
	ranks   = "rank"   // see package ranking
	counts  = "count"  // see package ranking
	sums    = "sum"    // "all" -> u64 for each total; see totals.go
	ruled   = "rules"  // "now" -> the rules in force; see ruling.go
	sports  = "sport"  // number u32 -> the sport's id; see ruling.go
)

// record is what is kept of one wearer: a head of fixed size, all that most steps look at, and the awards behind it.
// They stand in one value, since a value grows at less cost than a key is added.
type record struct {
	head
	awards []byte // all ever given, in that order, 14 bytes each: see award
}

// head is laid out in the order of its fields: u32 four times, u8 three times, and a zero.
type head struct {
	friends  uint32
	given    uint32     // backgrounds
	held     uint32     // of these, the ones not revoked
	chosen   sport      // 0 = none
	medal    fact.Medal // the highest given. Thresholds ascend, so those below it were given too
	medals   medalSet   // held
	complete bool       // 0 or 1
}

const headSize = 20

// recordOf returns the wearer's record; the zero record of a wearer who never had a friend or an award.
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
			friends:  binary.BigEndian.Uint32(v),
			given:    binary.BigEndian.Uint32(v[4:]),
			held:     binary.BigEndian.Uint32(v[8:]),
			chosen:   sport(binary.BigEndian.Uint32(v[12:])),
			medal:    fact.Medal(v[16]),
			medals:   medalSet(v[17]),
			complete: v[18] == 1,
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
	v = append(v, byte(rec.medal), byte(rec.medals), 0, 0)
	if rec.complete {
		v[18] = 1
	}
	return append(v, rec.awards...)
}

// award is one award of a record: cause u64, index u8, kind u8 (the medal, 0 for a background; 0x80 more when revoked),
// sport u32 (0 for a medal).
type award struct {
	cause   fact.Seq
	index   uint8
	medal   fact.Medal // 0 = a background
	sport   sport      // of the background
	revoked bool
}

const (
	awardSize   = 14
	kindAt      = 9
	kindRevoked = 0x80
)

// all goes through the awards in the order given.
func (rec record) all() iter.Seq2[int, award] {
	return func(yield func(int, award) bool) {
		for i := 0; i < len(rec.awards)/awardSize; i++ {
			v := rec.awards[i*awardSize:]
			a := award{
				cause:   fact.Seq(binary.BigEndian.Uint64(v)),
				index:   v[8],
				medal:   fact.Medal(v[kindAt] &^ kindRevoked),
				sport:   sport(binary.BigEndian.Uint32(v[10:])),
				revoked: v[kindAt]&kindRevoked != 0,
			}
			if !yield(i, a) {
				return
			}
		}
	}
}

// sportsGiven returns the sports whose background the wearer was ever given.
func (rec record) sportsGiven() map[sport]bool {
	given := make(map[sport]bool, rec.given)
	for _, a := range rec.all() {
		if a.medal == 0 {
			given[a.sport] = true
		}
	}
	return given
}

// sportsHeld returns those whose background the wearer holds.
func (rec record) sportsHeld() map[sport]bool {
	held := rec.sportsGiven()
	for _, a := range rec.all() {
		if a.revoked {
			delete(held, a.sport)
		}
	}
	return held
}

// add appends an award, which is held.
func (rec *record) add(a award) {
	if a.medal == 0 {
		rec.given++
		rec.held++
	} else {
		rec.medal = a.medal
		rec.medals |= setOf(a.medal)
	}
	v := slices.Clip(rec.awards) // what is behind it belongs to the view
	v = binary.BigEndian.AppendUint64(v, uint64(a.cause))
	v = append(v, a.index, byte(a.medal))
	rec.awards = binary.BigEndian.AppendUint32(v, uint32(a.sport))
}

// revoke marks a, the i-th award, which is held.
func (rec *record) revoke(i int, a award) {
	if a.medal == 0 {
		rec.held--
		if rec.chosen == a.sport {
			rec.chosen = 0
		}
	} else {
		rec.medals &^= setOf(a.medal)
	}
	rec.awards = slices.Clone(rec.awards)
	rec.awards[i*awardSize+kindAt] |= kindRevoked
}

// medalSet holds medal m as the bit 1<<m.
type medalSet uint8

func setOf(m fact.Medal) medalSet { return 1 << m }

func (s medalSet) has(m fact.Medal) bool { return s&setOf(m) != 0 }

func awardKey(cause fact.Seq, index uint8) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(cause)), index)
}

// awardedTo returns the wearer whom the award was given to, revoked or not; false if there is no such award.
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
