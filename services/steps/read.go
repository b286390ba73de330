package steps

import (
	"math"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/ranking"
	"pinfold/internal/roster"
)

// Day is one day of a wearer.
type Day struct {
	Day         fact.Day
	Steps       uint32
	GoalReached bool // it was, once, by the goal then in force
}

// Latest is later than any day with steps.
const Latest fact.Day = math.MaxInt32

// Days returns at most limit days of a wearer on which there were steps, newest first: those before the last one that
// the caller has seen, or from the start where that is Latest. It reads as many keys as it returns days. Those of an
// erased wearer are there as they were.
func Days(r kv.Reader, w fact.WearerID, before fact.Day, limit int) []Day {
	var list []Day
	for k, v := range r.Scan(days, w[:], append(dayKey(w, before), 0)) {
		if len(list) >= limit {
			break
		}
		_, day := decodeDayKey(k)
		list = append(list, decodeRecord(v).of(day))
	}
	return list
}

// DayOf returns one day of a wearer; a day without steps if there are none.
func DayOf(r kv.Reader, w fact.WearerID, day fact.Day) Day { return recordOf(r, w, day).of(day) }

func (rec record) of(day fact.Day) Day {
	return Day{Day: day, Steps: rec.steps, GoalReached: rec.reached}
}

// Slot is the steps of a wearer in one quarter hour.
type Slot struct {
	Slot  fact.Slot
	Steps uint16 // the most that any of the wearer's pins has reported
}

// Slots returns the slots of a wearer's day that have steps, in ascending order. They add up to the day.
func Slots(r kv.Reader, w fact.WearerID, day fact.Day) []Slot {
	var list []Slot
	rec := recordOf(r, w, day)
	for place, steps := range rec.slots {
		if steps > 0 {
			list = append(list, Slot{Slot: fact.Slot(slotAt(day, place)), Steps: steps})
		}
	}
	return list
}

// Place is one wearer's place in the ranking of a day. The score is the steps of that day.
type Place = ranking.Place

// Leaderboard returns at most limit places of a day's ranking, those that follow after: Score and Wearer of the last
// place of the page before. The zero Place stands before the first.
func Leaderboard(r kv.Reader, day fact.Day, after Place, limit int) []Place {
	return boardOf(day).Page(r, after, limit)
}

// Rank returns a wearer's place in the ranking of a day; false if the wearer is not ranked.
func Rank(r kv.Reader, day fact.Day, w fact.WearerID) (Place, bool) {
	steps := recordOf(r, w, day).steps
	if steps == 0 || roster.Erased(r, w) {
		return Place{}, false
	}
	return Place{Rank: boardOf(day).Rank(r, steps), Score: steps, Wearer: w}, true
}

// Neighbours returns the wearer's place in the ranking of a day with at most n places before it and at most n after it,
// in the order of the ranking; none if the wearer is not ranked.
func Neighbours(r kv.Reader, day fact.Day, w fact.WearerID, n int) []Place {
	steps := recordOf(r, w, day).steps
	if steps == 0 || roster.Erased(r, w) {
		return nil
	}
	return boardOf(day).Around(r, w, steps, n)
}

// boardOf returns the ranking of a day.
func boardOf(day fact.Day) ranking.Board {
	return ranking.Board{Index: ranks, Counts: counts, Prefix: dayBytes(day), Hidden: roster.Erased}
}

// Goal returns the step goal of the rules in force; 0 before any were adopted.
func Goal(r kv.Reader) uint32 { return inForce(r).goal }

// Today returns the local day of the fold's time; false before any rules or any time.
func Today(r kv.Reader) (fact.Day, bool) {
	in, t := inForce(r), roster.Now(r)
	if !in.adopted() || t <= 0 {
		return 0, false
	}
	slot := min(int64(t)/fact.SlotLength.Milliseconds(), math.MaxUint32)
	return in.dayOf(fact.Slot(slot)), true
}
