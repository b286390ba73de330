// Package steps is the core of the steps service: it adds up the steps of each wearer by local days, notes the days whose
// goal is reached, and ranks the wearers of each day.
package steps

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// Core is the fold of the steps service. All its state is in the transaction.
//
//  1. A StepsReported counts for its pin's wearer if, by the facts before it, the pin is registered, paired and in
//     service, the wearer is not erased, and the time is from the opening to the closing and its grace. Otherwise, and
//     before any rules, it counts for nobody: it is entered in the totals, under the first of Tally's reasons that holds,
//     and has no other effect. No fact is derived from that.
//  2. Of a report that counts, each slot counts by itself, by the rules in force: one that begins at the opening or later,
//     and before the closing. What has counted stays, whatever rules come; a report that is repeated under wider ones may
//     count more.
//  3. Of all the values that counted for a wearer and a slot, from whichever of the wearer's pins, the largest is the
//     slot's. So a report may be repeated, come late, or come in any order; a smaller value takes nothing back; and two
//     pins worn at once are not added up. A slot that was reported with 0 is as one that was not reported.
//  4. The values of a report are taken as they are. Whether they are plausible, signed, and not from the future is for
//     admission to say. Values past the largest slot number, or past the 32nd,
//     are ignored.
//  5. The day of a slot is the local day in which it begins, by the zone in force. The steps of a day are the sum of its
//     slots, however many quarter hours it has.
//  6. RulesAdopted replaces the step goal, the opening and closing, and the zone, and derives nothing. Once there is a day
//     with steps, the zone stays as it is, and later rules replace the others only. Rules that package rules refuses change nothing.
//  7. When the steps of a day change, and are now at least the goal in force, the day's goal is reached: once for each
//     wearer and day, for ever, whatever the goal is later. A report touches three days at most; the goals that it
//     reaches are derived in ascending order of the days.
//  8. The ranking of a day holds the wearers who have steps in it: more steps first, then the smaller wearer id. Equal
//     steps share a rank: 1, 2, 2, 4.
//  9. WearerErased: nothing counts for the wearer any more, who is no longer listed in any ranking, nor has a rank there.
//     To others nothing changes: the erased wearer's days stay in the totals, and in the ranks of others, which go on
//     counting those who had more steps. So an erasure takes one write, however many days there are.
//  10. The time says what day it is, and whether reports are taken. It has no effect on steps that have counted.
type Core struct{}

// maxSlots is how many slots a report may have, docs/design.md section 4.
const maxSlots = 32

// Name returns the name of the service.
func (Core) Name() string { return "steps" }

// ActsOn returns the families whose facts have an effect here.
func (Core) ActsOn() []fact.Family { return []fact.Family{fact.Step, fact.Roster, fact.Clock} }

// Derives returns the family of the derived facts.
func (Core) Derives() fact.Family { return fact.Goal }

// Step folds one fact into the transaction and returns the goals that it reaches, at most three. It is total.
func (Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	switch f := e.Fact.(type) {
	case fact.StepsReported:
		return take(tx, f.Report)
	case fact.RulesAdopted:
		adopt(tx, f.Rules)
	default:
		roster.Apply(tx, e)
	}
	return nil
}

// take counts a report, or enters in the totals why it does not count.
func take(tx kv.Tx, report fact.StepReport) []fact.Fact {
	s := step{tx: tx, rules: inForce(tx), tally: Totals(tx)}
	s.tally.Reports++
	pin, registered := roster.PinByID(tx, report.Pin)
	switch {
	case !s.rules.adopted():
		s.tally.NoRules++
	case !registered:
		s.tally.UnknownPin++
	case pin.Paired == 0:
		s.tally.UnpairedPin++
	case pin.Retired != 0:
		s.tally.RetiredPin++
	case roster.Erased(tx, pin.Wearer):
		s.tally.ErasedWearer++
	case !rules.Open(s.rules.window, roster.Now(tx)):
		s.tally.Closed++
	default:
		s.tally.Counted++
		s.count(pin.Wearer, report)
	}
	keepTotals(tx, s.tally)
	return s.facts
}

// step is one report on its way through the fold.
type step struct {
	tx    kv.Tx
	rules ruling
	tally Tally
	facts []fact.Fact
}

// count raises the wearer's slots to what the report says, and does what follows from that, day by day.
func (s *step) count(w fact.WearerID, report fact.StepReport) {
	var touched []*change
	for slot, n := range valuesOf(report) {
		if n == 0 || !rules.Within(s.rules.window, slot) {
			continue
		}
		day := s.rules.dayOf(slot)
		i := slices.IndexFunc(touched, func(c *change) bool { return c.day == day })
		if i < 0 {
			i = len(touched)
			touched = append(touched, changeOf(s.tx, w, day))
		}
		touched[i].raise(slot, n)
	}
	// Where the local time jumps back over midnight, the days of a report do not ascend.
	slices.SortFunc(touched, func(a, b *change) int { return cmp.Compare(a.day, b.day) })
	for _, c := range touched {
		s.settle(w, c)
	}
}

// valuesOf goes through the slots of a report that there are. The last of them may be past what a slot can hold.
func valuesOf(report fact.StepReport) iter.Seq2[fact.Slot, uint16] {
	return func(yield func(fact.Slot, uint16) bool) {
		for i, n := range report.Steps[:min(len(report.Steps), maxSlots)] {
			slot := uint64(report.FirstSlot) + uint64(i)
			if slot > math.MaxUint32 || !yield(fact.Slot(slot), n) {
				return
			}
		}
	}
}

// change is a day of a wearer to which a report adds.
type change struct {
	record
	day fact.Day
	was uint32 // its steps before
}

func changeOf(r kv.Reader, w fact.WearerID, day fact.Day) *change {
	c := &change{day: day, record: recordOf(r, w, day)}
	c.was = c.steps
	return c
}

// raise makes n the steps of a slot of the day if it has fewer.
func (c *change) raise(slot fact.Slot, n uint16) {
	if at := &c.slots[placeOf(c.day, slot)]; n > *at {
		c.steps += uint32(n - *at)
		*at = n
	}
}

// settle writes a day that has changed, and sees whether its goal is reached.
func (s *step) settle(w fact.WearerID, c *change) {
	if c.steps == c.was {
		return
	}
	if c.was == 0 {
		s.tally.Days++
	}
	if !c.reached && c.steps >= s.rules.goal {
		c.reached = true
		s.tally.Goals++
		s.facts = append(s.facts, fact.StepGoalReached{Wearer: w, Day: c.day, Steps: c.steps})
	}
	s.tally.Steps += uint64(c.steps - c.was)
	s.tx.Put(days, dayKey(w, c.day), c.encode())
	boardOf(c.day).Move(s.tx, w, c.was, c.steps)
}
