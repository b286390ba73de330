package steps

import (
	"encoding/binary"
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// The buckets, beside those of package roster. All integers are big-endian. A day is written as i32 with all bits but
// the sign inverted, so that later days come first.
const (
	days    = "day"   // wearer, day -> record
	ranks   = "rank"  // day, then as package ranking has it
	counts  = "count" // day, then as package ranking has it
	totals  = "total" // "all" -> the sums of Tally, u64 each; see totals.go
	rulings = "rules" // "now" -> the rules in force; see ruling.go
)

// record is what is kept of one day of one wearer, a day with steps: steps u32, reached u8 (0 or 1), place of the first
// slot with steps u8, and the steps of that one and the following up to the last slot with steps, u16 each. A whole day
// stands in one value, since a value grows at less cost than a key is added: some 130 bytes for a day on one's feet.
type record struct {
	steps   uint32 // the sum of the slots
	reached bool   // the goal was
	slots   [placesPerDay]uint16
}

// The places of a day are all slots that can be of it: in 24 hours, in local times from UTC-12 to UTC+14, which are the
// bounds of package rules. They do not depend on the zone. A day of any real zone has 92 to 100 slots of these 200.
const (
	slotsPerDay  = 96
	mostBehind   = 48 // quarter hours
	mostAhead    = 56
	placesPerDay = slotsPerDay + mostBehind + mostAhead
)

// placeOf returns the place of a slot in its day.
func placeOf(day fact.Day, slot fact.Slot) int { return int(int64(slot) - slotAt(day, 0)) }

// slotAt returns the slot at a place of a day. At the ends of time there may be none.
func slotAt(day fact.Day, place int) int64 {
	return int64(day)*slotsPerDay - mostAhead + int64(place)
}

const (
	recordHead = 4 + 1 + 1
	slotSize   = 2
)

// recordOf returns the wearer's record of the day, the zero record if there are no steps.
func recordOf(r kv.Reader, w fact.WearerID, day fact.Day) record {
	v := r.Get(days, dayKey(w, day))
	if v == nil {
		return record{}
	}
	return decodeRecord(v)
}

func decodeRecord(v []byte) record {
	rec := record{steps: binary.BigEndian.Uint32(v), reached: v[4] == 1}
	first := int(v[5])
	for i := range (len(v) - recordHead) / slotSize {
		rec.slots[first+i] = binary.BigEndian.Uint16(v[recordHead+slotSize*i:])
	}
	return rec
}

// encode returns the value of a record that has steps.
func (rec *record) encode() []byte {
	some := func(steps uint16) bool { return steps > 0 }
	first, last := slices.IndexFunc(rec.slots[:], some), placesPerDay-1
	for rec.slots[last] == 0 {
		last--
	}
	v := make([]byte, 0, recordHead+slotSize*(last+1-first))
	v = binary.BigEndian.AppendUint32(v, rec.steps)
	v = append(v, 0, byte(first))
	if rec.reached {
		v[4] = 1
	}
	for _, n := range rec.slots[first : last+1] {
		v = binary.BigEndian.AppendUint16(v, n)
	}
	return v
}

const dayKeySize = 16 + 4

func dayKey(w fact.WearerID, day fact.Day) []byte {
	return append(append(make([]byte, 0, dayKeySize), w[:]...), dayBytes(day)...)
}

func decodeDayKey(k []byte) (fact.WearerID, fact.Day) {
	return fact.WearerID(k[:16]), fact.Day(binary.BigEndian.Uint32(k[16:]) ^ math.MaxInt32)
}

func dayBytes(day fact.Day) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(day)^math.MaxInt32)
}
