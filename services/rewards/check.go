package rewards

import (
	"bytes"
	"errors"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/ranking"
	"pinfold/internal/roster"
)

// Check reads the whole view and returns an error that lists what does not fit together, or nil:
//
//  1. The sports are numbered from 1 without a gap, each id once. The rules in force list known sports, each once.
//  2. The head of each record fits its awards. The awards are of known sports, none twice, in the order of their ids; the
//     chosen background is one that is held.
//  3. There is an award key for each award of each record, naming that wearer, and no other.
//  4. The index and the histogram hold those who have a friend and are not erased, and no others.
//  5. The totals are the sums over the records.
func Check(r kv.Reader) error {
	c := checker{r: r, ranking: ranking.NewChecker(r, ranks, counts)}
	c.checkSports()
	for k, v := range r.Scan(wearers, nil, nil) {
		c.checkWearer(fact.WearerID(k), v)
	}
	c.checkKeys(awards, c.awards)
	if err := c.ranking.Err(); err != nil {
		c.errs = append(c.errs, err)
	}
	if got := totalsOf(r); got != c.sum {
		c.failf("totals: are %v, the records add up to %v", got, c.sum)
	}
	return errors.Join(c.errs...)
}

// checker holds what the records add up to.
type checker struct {
	r       kv.Reader
	errs    []error
	known   int // sports
	awards  int
	ranking *ranking.Checker
	sum     totals
}

func (c *checker) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) checkSports() {
	ids := make(map[string]bool)
	for k, id := range c.r.Scan(sports, nil, nil) {
		c.known++
		if !bytes.Equal(k, sportKey(sport(c.known))) || ids[string(id)] {
			c.failf("sport %x: id %q, want the next number and a new id", k, id)
		}
		ids[string(id)] = true
	}
	in, listed := inForce(c.r), make(map[sport]bool)
	if in.adopted() != (c.known > 0) {
		c.failf("rules: adopted is %v, with %d sports", in.adopted(), c.known)
	}
	for sp := range in.notIn(nil) {
		if !c.isSport(sp) || listed[sp] {
			c.failf("rules: sport %d is unknown or listed twice", sp)
		}
		listed[sp] = true
	}
}

func (c *checker) isSport(sp sport) bool { return sp > 0 && int(sp) <= c.known }

func (c *checker) checkWearer(w fact.WearerID, v []byte) {
	if len(v) < headSize || (len(v)-headSize)%awardSize != 0 {
		c.failf("wearer %v: record of %d bytes", w, len(v))
		return
	}
	rec := decodeRecord(v)
	if !bytes.Equal(rec.encode(), v) {
		c.failf("wearer %v: record %x is not in its one form", w, v)
	}
	// The head follows from the awards, but for these.
	want := c.checkAwards(w, rec)
	want.friends, want.chosen, want.complete = rec.friends, rec.chosen, rec.complete
	if rec.head != want {
		c.failf("wearer %v: head %+v, want %+v", w, rec.head, want)
	}
	if rec.complete && rec.held == 0 {
		c.failf("wearer %v: a complete collection of nothing", w)
	}
	for i, share := range rec.share() {
		c.sum[i] += share
	}
	if rec.friends > 0 && !roster.Erased(c.r, w) {
		c.ranking.Expect(board, w, rec.friends)
	}
}

// checkAwards checks the awards of a record and returns the head that they lead to.
func (c *checker) checkAwards(w fact.WearerID, rec record) head {
	var h record
	var chosen bool
	given := make(map[sport]bool)
	last := award{}
	for i, a := range rec.all() {
		c.awards++
		if to, ok := awardedTo(c.r, a.cause, uint32(a.index)); !ok || to != w {
			c.failf("wearer %v: award %v/%d has no key that names the wearer", w, a.cause, a.index)
		}
		if i > 0 && (a.cause < last.cause || a.cause == last.cause && a.index <= last.index) {
			c.failf("wearer %v: award %v/%d stands after %v/%d", w, a.cause, a.index, last.cause, last.index)
		}
		if a.medal == 0 && (!c.isSport(a.sport) || given[a.sport]) {
			c.failf("wearer %v: award %v/%d is of sport %d, unknown or given twice", w, a.cause, a.index, a.sport)
		}
		if a.medal != 0 && (a.medal != h.medal+1 || a.medal > fact.Gold || a.sport != 0) {
			c.failf("wearer %v: award %v/%d is medal %v of sport %d after %v", w, a.cause, a.index, a.medal, a.sport, h.medal)
		}
		given[a.sport] = true
		last = a
		h.add(a)
		if a.revoked {
			h.revoke(i, a)
		} else if a.medal == 0 && a.sport == rec.chosen {
			chosen = true
		}
	}
	if rec.chosen != 0 && !chosen {
		c.failf("wearer %v: chose sport %d and does not hold it", w, rec.chosen)
	}
	return h.head
}

// checkKeys checks that the bucket has n keys. That the right ones are there was seen from the records.
func (c *checker) checkKeys(bucket string, n int) {
	got := 0
	for range c.r.Scan(bucket, nil, nil) {
		got++
	}
	if got != n {
		c.failf("bucket %s: %d keys, want %d", bucket, got, n)
	}
}
