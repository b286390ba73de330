package steps

import (
	"cmp"
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// dumb follows the rules above Core in plain maps, the slow way. It keeps slots only, and adds up days when asked.
type dumb struct {
	goal   uint32
	window rules.Window
	zone   []fact.ZoneOffset
	now    fact.UnixMilli
	pins   map[fact.PinID]*dumbPin
	erased map[fact.WearerID]bool
	slots  map[fact.WearerID]map[fact.Slot]uint16
	goals  map[dumbDay]bool
	tally  Tally // but for the sums
}

type dumbPin struct {
	wearer          fact.WearerID
	paired, retired bool
}

type dumbDay struct {
	wearer fact.WearerID
	day    fact.Day
}

func newDumb() *dumb {
	return &dumb{
		pins:   map[fact.PinID]*dumbPin{},
		erased: map[fact.WearerID]bool{},
		slots:  map[fact.WearerID]map[fact.Slot]uint16{},
		goals:  map[dumbDay]bool{},
	}
}

func (d *dumb) step(f fact.Fact) []fact.Fact {
	switch f := f.(type) {
	case fact.RulesAdopted:
		d.goal, d.window = f.Rules.StepGoal, rules.WindowOf(f.Rules)
		if d.totals().Days == 0 {
			d.zone = f.Rules.Zone
		}
	case fact.TimePassed:
		d.now = max(d.now, f.Time)
	case fact.PinRegistered:
		if d.pins[f.Key.PinID()] == nil {
			d.pins[f.Key.PinID()] = &dumbPin{}
		}
	case fact.PinPaired:
		if p := d.pins[f.Proof.Pin]; p != nil && !p.paired && !p.retired && !d.erased[f.Wearer] {
			p.paired, p.wearer = true, f.Wearer
		}
	case fact.PinRetired:
		if p := d.pins[f.Pin]; p != nil {
			p.retired = true
		}
	case fact.WearerErased:
		d.erased[f.Wearer] = true
	case fact.StepsReported:
		return d.report(f.Report)
	}
	return nil
}

func (d *dumb) report(report fact.StepReport) []fact.Fact {
	d.tally.Reports++
	p := d.pins[report.Pin]
	switch {
	case d.goal == 0:
		d.tally.NoRules++
	case p == nil:
		d.tally.UnknownPin++
	case !p.paired:
		d.tally.UnpairedPin++
	case p.retired:
		d.tally.RetiredPin++
	case d.erased[p.wearer]:
		d.tally.ErasedWearer++
	case d.now < d.window.Opens, d.window.Closes != 0 && d.now > d.window.Closes.Add(d.window.UploadGrace):
		d.tally.Closed++
	default:
		d.tally.Counted++
		return d.count(p.wearer, report)
	}
	return nil
}

func (d *dumb) count(w fact.WearerID, report fact.StepReport) []fact.Fact {
	before := map[fact.Day]uint32{}
	for _, day := range d.days(w) {
		before[day.Day] = day.Steps
	}
	if d.slots[w] == nil {
		d.slots[w] = map[fact.Slot]uint16{}
	}
	for i, n := range report.Steps {
		slot := int64(report.FirstSlot) + int64(i)
		start := fact.UnixMilli(slot * 900_000)
		if slot <= math.MaxUint32 && start >= d.window.Opens && (d.window.Closes == 0 || start < d.window.Closes) {
			d.slots[w][fact.Slot(slot)] = max(d.slots[w][fact.Slot(slot)], n)
		}
	}
	var goals []fact.Fact
	for _, day := range slices.Backward(d.days(w)) {
		if day.Steps != before[day.Day] && day.Steps >= d.goal && !day.GoalReached {
			d.goals[dumbDay{w, day.Day}] = true
			goals = append(goals, fact.StepGoalReached{Wearer: w, Day: day.Day, Steps: day.Steps})
		}
	}
	return goals
}

// dayOf returns the local day, by the last entry of the zone that is not after the slot.
func (d *dumb) dayOf(slot fact.Slot) fact.Day {
	quarters := d.zone[0].Quarters
	for _, z := range d.zone {
		if z.From <= slot {
			quarters = z.Quarters
		}
	}
	return fact.Day(math.Floor((float64(slot) + float64(quarters)) / 96))
}

// days returns the wearer's days, newest first.
func (d *dumb) days(w fact.WearerID) []Day {
	sums := map[fact.Day]uint32{}
	for slot, n := range d.slots[w] {
		sums[d.dayOf(slot)] += uint32(n)
	}
	var list []Day
	for day, sum := range sums {
		if sum > 0 {
			list = append(list, Day{Day: day, Steps: sum, GoalReached: d.goals[dumbDay{w, day}]})
		}
	}
	slices.SortFunc(list, func(a, b Day) int { return cmp.Compare(b.Day, a.Day) })
	return list
}

func (d *dumb) slotsOf(w fact.WearerID, day fact.Day) []Slot {
	var list []Slot
	for slot, n := range d.slots[w] {
		if n > 0 && d.dayOf(slot) == day {
			list = append(list, Slot{Slot: slot, Steps: n})
		}
	}
	slices.SortFunc(list, func(a, b Slot) int { return cmp.Compare(a.Slot, b.Slot) })
	return list
}

// rankings returns all places of all days.
func (d *dumb) rankings() map[fact.Day][]Place {
	steps := map[fact.Day]map[fact.WearerID]uint32{}
	for w := range d.slots {
		for _, day := range d.days(w) {
			if steps[day.Day] == nil {
				steps[day.Day] = map[fact.WearerID]uint32{}
			}
			steps[day.Day][w] = day.Steps
		}
	}
	rankings := map[fact.Day][]Place{}
	for day, of := range steps {
		list := []Place{}
		for w, n := range of {
			p := Place{Rank: 1, Score: n, Wearer: w}
			for _, more := range of {
				if more > n {
					p.Rank++
				}
			}
			if !d.erased[w] {
				list = append(list, p)
			}
		}
		slices.SortFunc(list, func(a, b Place) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), slices.Compare(a.Wearer[:], b.Wearer[:]))
		})
		rankings[day] = list
	}
	return rankings
}

func (d *dumb) totals() Tally {
	t := d.tally
	t.Goals = uint64(len(d.goals))
	for w := range d.slots {
		for _, day := range d.days(w) {
			t.Days++
			t.Steps += uint64(day.Steps)
		}
	}
	return t
}
