package steps

import (
	"encoding/binary"
	"sort"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
)

// ruling is what the rules in force say about steps: the goal u32, the window as package rules
// writes it, and the zone, for each of its entries the slot from which it holds u32, and the offset i8 in quarter
// hours. Zones may have hundreds of entries, so they stay encoded.
type ruling struct {
	goal   uint32
	window rules.Window
	zone   []byte
}

const (
	goalSize   = 4
	rulingHead = goalSize + rules.WindowSize
	offsetSize = 4 + 1
)

var now = []byte("now")

// inForce returns the rules in force, or none if none were adopted so far.
func inForce(r kv.Reader) ruling {
	v := r.Get(rulings, now)
	if v == nil {
		return ruling{}
	}
	return ruling{goal: binary.BigEndian.Uint32(v), window: rules.WindowFrom(v[goalSize:]), zone: v[rulingHead:]}
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
	v := rules.AppendWindow(binary.BigEndian.AppendUint32(nil, r.StepGoal), rules.WindowOf(r))
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
