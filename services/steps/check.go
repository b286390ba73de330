package steps

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/ranking"
)

// maxFindings bounds what Check reports of a view that is broken all over.
const maxFindings = 100

// Check reads the whole view and returns an error that lists what does not fit together, or nil:
//
//  1. Every key and value is in its one form.
//  2. The slots of each record begin in its day by the zone in force, and add up to its steps.
//  3. The rankings of the days hold each wearer who has a record of that day, with its steps, and nobody else.
//  4. Each report counted or has one reason why not. Days, goals and steps are the sums over the records; without a
//     report that counted there are none.
func Check(r kv.Reader) error {
	c := &checker{r: r, boards: ranking.NewChecker(r, ranks, counts)}
	c.checkSmall(rulings, now, func(v []byte) bool { return len(v) > rulingHead && (len(v)-rulingHead)%offsetSize == 0 })
	c.checkSmall(totals, all, func(v []byte) bool { return len(v) == tallySize })
	if c.findings != nil { // what follows could not be read
		return errors.Join(c.findings...)
	}
	c.rules = inForce(r)
	c.checkRules()
	for k, v := range r.Scan(days, nil, nil) {
		c.checkDay(k, v)
	}
	c.checkTotals()
	return errors.Join(append(c.findings, c.boards.Err())...)
}

// checker holds what the records add up to.
type checker struct {
	r        kv.Reader
	rules    ruling
	boards   *ranking.Checker
	sum      Tally // Days, Goals and Steps
	findings []error
}

func (c *checker) want(holds bool, format string, args ...any) {
	if !holds && len(c.findings) < maxFindings {
		c.findings = append(c.findings, fmt.Errorf(format, args...))
	}
}

// checkSmall checks a bucket that may hold one key.
func (c *checker) checkSmall(bucket string, key []byte, fits func(v []byte) bool) {
	for k, v := range c.r.Scan(bucket, nil, nil) {
		c.want(bytes.Equal(k, key) && fits(v), "bucket %s, key %q: %d bytes", bucket, k, len(v))
	}
}

func (c *checker) checkRules() {
	c.want(c.rules.adopted() == (c.rules.zone != nil), "rules: a goal of %d", c.rules.goal)
	for i := range len(c.rules.zone) / offsetSize {
		z := c.rules.entry(i)
		c.want(z.Quarters >= -mostBehind && z.Quarters <= mostAhead, "rules: zone[%d]: %d quarter hours", i, z.Quarters)
		c.want(i == 0 || z.From > c.rules.entry(i-1).From, "rules: zone[%d]: from slot %d, not after the one before", i, z.From)
	}
}

func (c *checker) checkDay(k, v []byte) {
	if len(k) != dayKeySize || len(v) < recordHead || int(v[5])+(len(v)-recordHead)/slotSize > placesPerDay {
		c.want(false, "bucket %s, key %x: %d bytes", days, k, len(v))
		return
	}
	w, day := decodeDayKey(k)
	rec := decodeRecord(v)
	sum := c.checkSlots(w, day, &rec)
	if sum == 0 {
		c.want(false, "%v of %v: a day without steps", day, w)
		return
	}
	c.want(bytes.Equal(rec.encode(), v), "%v of %v: record %x is not in its one form", day, w, v)
	c.want(rec.steps == sum, "%v of %v: %d steps, its slots add up to %d", day, w, rec.steps, sum)
	c.boards.Expect(boardOf(day), w, sum)
	c.sum.Days++
	c.sum.Steps += uint64(sum)
	if rec.reached {
		c.sum.Goals++
	}
}

// checkSlots checks the slots of a record and returns their sum.
func (c *checker) checkSlots(w fact.WearerID, day fact.Day, rec *record) (sum uint32) {
	for place, steps := range rec.slots {
		if steps == 0 || !c.rules.adopted() {
			continue
		}
		slot := slotAt(day, place)
		of := slot >= 0 && slot <= math.MaxUint32 && c.rules.dayOf(fact.Slot(slot)) == day
		c.want(of, "%v of %v: slot %d is not of that day", day, w, slot)
		sum += uint32(steps)
	}
	return sum
}

func (c *checker) checkTotals() {
	t := Totals(c.r)
	c.want(t.Reports == t.Outcomes(), "totals: %d reports have %d outcomes", t.Reports, t.Outcomes())
	c.want(t.Counted == 0 || c.rules.adopted(), "totals: %d reports counted without rules", t.Counted)
	c.want(t.Counted > 0 || c.sum.Days == 0, "totals: no report counted, and there are %d days", c.sum.Days)
	c.want(t.Days == c.sum.Days, "totals: %d days, the records are %d", t.Days, c.sum.Days)
	c.want(t.Goals == c.sum.Goals, "totals: %d goals, the records have %d", t.Goals, c.sum.Goals)
	c.want(t.Steps == c.sum.Steps, "totals: %d steps, the records add up to %d", t.Steps, c.sum.Steps)
}
