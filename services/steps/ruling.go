package steps

import (
	"encoding/binary"
	"sort"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
)

// ruling is what the rules in force say about steps: the goal u32, the opening, closing and grace i64 each, in
// milliseconds, and the zone, for each of its entries the slot from which it holds u32, and the offset i8 in quarter
// hours. Zones may have hundreds of entries, so they stay encoded.
type ruling struct {
	goal   uint32
	window rules.Window
	zone   []byte
}

const (
	goalSize   = 4
	rulingHead = goalSize + 3*8
	offsetSize = 4 + 1
)

var now = []byte("now")

// inForce returns the rules in force, or none if none were adopted so far.
func inForce(r kv.Reader) ruling {
	v := r.Get(rulings, now)
	if v == nil {
		return ruling{}
	}
	millis := func(i int) int64 { return int64(binary.BigEndian.Uint64(v[goalSize+8*i:])) }
	return ruling{
		goal: binary.BigEndian.Uint32(v),
		window: rules.Window{
			Opens: fact.UnixMilli(millis(0)), Closes: fact.UnixMilli(millis(1)),
			UploadGrace: time.Duration(millis(2)) * time.Millisecond,
		},
		zone: v[rulingHead:],
	}
}

// adopted reports whether there are rules at all. A goal is never 0.
func (in ruling) adopted() bool { return in.goal > 0 }

// dayOf returns the local day in which the slot begins.
func (in ruling) dayOf(slot fact.Slot) fact.Day {
	later := sort.Search(len(in.zone)/offsetSize, func(i int) bool { return in.entry(i).From > slot })
	return rules.LocalDay([]fact.ZoneOffset{in.entry(max(later-1, 0))}, slot)
}

// entry returns the i-th entry of the zone.
func (in ruling) entry(i int) fact.ZoneOffset {
	v := in.zone[i*offsetSize:]
	return fact.ZoneOffset{From: fact.Slot(binary.BigEndian.Uint32(v)), Quarters: int8(v[4])}
}

// adopt puts the rules into force, but for the zone once there is a day with steps: steps are added up by days already.
// Rules that package rules refuses change nothing; the codec of the log lets none in.
func adopt(tx kv.Tx, r fact.Rules) {
	if rules.Check(r) != nil {
		return
	}
	v := binary.BigEndian.AppendUint32(nil, r.StepGoal)
	w := rules.WindowOf(r)
	for _, millis := range []int64{int64(w.Opens), int64(w.Closes), w.UploadGrace.Milliseconds()} {
		v = binary.BigEndian.AppendUint64(v, uint64(millis))
	}
	if Totals(tx).Days > 0 {
		tx.Put(rulings, now, append(v, inForce(tx).zone...))
		return
	}
	for _, z := range r.Zone {
		v = binary.BigEndian.AppendUint32(v, uint32(z.From))
		v = append(v, byte(z.Quarters))
	}
	tx.Put(rulings, now, v)
}
