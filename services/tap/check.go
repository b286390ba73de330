package tap

import (
	"bytes"
	"errors"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
)

// maxFindings bounds what Check reports of a view that is broken all over.
const maxFindings = 100

// Check verifies everything that holds of a view between two steps, and returns all that does not hold:
//
//  1. Every key and value has the length of its layout.
//  2. Records and due index name each other, each in the era of its record; only the last era lasts. A pending record names
//     its pin's wearer. No tap has two records that are pending and live: they would have met.
//  3. A pair is friends exactly when the friendship that it names is current; a pair of friends is not blocked; a
//     revoked pair's friendship was revoked. Marks are of pins that were paired with their side's wearer by its last
//     command, each once.
//  4. The lists of friends hold every current friendship twice, once with each of the two, and nothing else; each
//     wearer's count is the length of the list.
//  5. The outcomes add up to the reported halves (invariant 4), and the totals to what the view holds.
func Check(r kv.Reader) error {
	c := checker{r: r, eras: eras{{limit: noLimit}}}
	c.checkLayouts()
	if c.findings != nil { // what follows could not be read
		return errors.Join(c.findings...)
	}
	c.eras = getEras(r)
	c.checkEras()
	c.checkHalves()
	c.checkDue()
	c.checkPairs()
	c.checkFriendships()
	c.checkFriends()
	c.checkTotals()
	return errors.Join(c.findings...)
}

type checker struct {
	r        kv.Reader
	eras     eras
	findings []error
	counted  Tally // what the buckets hold, as far as they can tell
}

func (c *checker) want(holds bool, format string, args ...any) {
	if !holds && len(c.findings) < maxFindings {
		c.findings = append(c.findings, fmt.Errorf("tap: "+format, args...))
	}
}

func (c *checker) checkLayouts() {
	layouts := []struct {
		bucket string
		fits   func(k, v int) bool
	}{
		{bucketHalf, func(k, v int) bool { return k == halfKeySize && (v == doneSize || v == pendingSize) }},
		{bucketDue, func(k, v int) bool { return k == dueKeySize && v == halfKeySize }},
		{bucketEra, func(k, v int) bool { return k == len(erasKey) && v%eraSize == 0 }},
		{bucketFriend, func(k, v int) bool { return k == wearerSize && v == countSize || k == friendKeySize && v == wearerSize }},
		{bucketFriendship, func(k, v int) bool { return k == friendshipKeySize && v == friendshipSize }},
		{bucketTotal, func(k, v int) bool { return k == len(tallyKey) && v == tallySize }},
		{bucketSchedule, func(k, v int) bool { return k == len(scheduleKey) && v == scheduleSize }},
	}
	for k, v := range c.r.Scan(bucketPair, nil, nil) {
		c.want(len(k) == pairKeySize && pairFits(v), "bucket %s, key %x: %d bytes of key and %d of value", bucketPair, k, len(k), len(v))
	}
	for _, l := range layouts {
		for k, v := range c.r.Scan(l.bucket, nil, nil) {
			c.want(l.fits(len(k), len(v)), "bucket %s, key %x: %d bytes of key and %d of value", l.bucket, k, len(k), len(v))
		}
	}
}

func (c *checker) checkEras() {
	for i, e := range c.eras {
		lasts := i == len(c.eras)-1
		c.want(lasts == (e.limit == noLimit), "era %v has the limit %v, and of %d eras is number %d", e.seq, e.limit, len(c.eras), i+1)
		c.want(i == 0 || c.eras[i-1].seq < e.seq, "era %v does not come before era %v", c.eras[max(i, 1)-1].seq, e.seq)
		c.want(!lasts || e.dead == 0, "era %v lasts, and up to %v all is dead", e.seq, e.dead)
	}
}

func (c *checker) checkHalves() {
	now := roster.Now(c.r)
	var last half
	var lastLive bool
	for k, v := range c.r.Scan(bucketHalf, nil, nil) {
		h := decodeHalf(k, v)
		era := c.eras.at(h.seq)
		live := !era.overdue(h.deadline, now)
		c.want(bytes.Equal(c.r.Get(bucketDue, dueKey(era.seq, h.deadline, h.seq)), k), "half %v is not in the due index", h.seq)
		if h.pending {
			c.counted.Pending++
			pin, _ := roster.PinByID(c.r, h.author)
			c.want(pin.Paired != 0 && pin.Wearer == h.wearer, "half %v is pending for %v, who does not have pin %v", h.seq, h.wearer, h.author)
			met := lastLive && last.pending && last.tap == h.tap && live
			c.want(!met, "halves %v and %v are both pending", last.seq, h.seq)
		}
		last, lastLive = h, live
	}
}

func (c *checker) checkDue() {
	for k, v := range c.r.Scan(bucketDue, nil, nil) {
		deadline, seq := decodeDueKey(k) // checkHalves sees to the era
		rec := c.r.Get(bucketHalf, v)
		c.want(rec != nil, "half %v is due and has no record", seq)
		if rec != nil {
			h := decodeHalf(v, rec)
			c.want(h.deadline == deadline && h.seq == seq, "half %v is due at %v, by its record half %v at %v", seq, deadline, h.seq, h.deadline)
		}
	}
}

func (c *checker) checkPairs() {
	for k, v := range c.r.Scan(bucketPair, nil, nil) {
		p := decodePair(k, v)
		c.want(bytes.Compare(p.lo[:], p.hi[:]) < 0, "pair %v %v is not in ascending order", p.lo, p.hi)
		c.want(p.standing != friends || !p.sides[0].blocked && !p.sides[1].blocked, "pair %v %v is friends and blocked", p.lo, p.hi)
		c.checkSide(p, p.lo)
		c.checkSide(p, p.hi)
		f, formed := FriendshipByCause(c.r, p.cause)
		c.want(formed == (p.cause != 0), "pair %v %v: there is no friendship %v", p.lo, p.hi, p.cause)
		c.want(!formed || f.Lo == p.lo && f.Hi == p.hi, "pair %v %v: friendship %v is another pair's", p.lo, p.hi, p.cause)
		c.want(p.standing == standingBy(f, formed), "pair %v %v has standing %d, by its friendship %d", p.lo, p.hi, p.standing, standingBy(f, formed))
	}
}

func (c *checker) checkSide(p pair, w fact.WearerID) {
	s := p.of(w)
	c.want(s.block <= s.last && (s.block != 0 || !s.blocked), "pair %v %v: %v blocked by %v, and ordered last by %v", p.lo, p.hi, w, s.block, s.last)
	c.want(s.last != 0 || len(s.marks) == 0, "pair %v %v has marks of %v, who ordered nothing", p.lo, p.hi, w)
	var before fact.PinID
	for _, m := range s.marks {
		pin, _ := roster.PinByID(c.r, m.pin)
		c.want(pin.Paired != 0 && pin.Paired < s.last && pin.Wearer == w, "pair %v %v has a mark of %v by pin %v", p.lo, p.hi, w, m.pin)
		c.want(bytes.Compare(before[:], m.pin[:]) < 0 && m.counter > 0, "pair %v %v has a mark of pin %v at %d behind pin %v", p.lo, p.hi, m.pin, m.counter, before)
		before = m.pin
	}
}

// standingBy returns what a pair is after its last friendship.
func standingBy(f Friendship, formed bool) standing {
	switch {
	case !formed:
		return apart
	case f.Current():
		return friends
	case f.Ending == fact.EndedRevoked:
		return revoked
	}
	return apart
}

func (c *checker) checkFriendships() {
	for k, v := range c.r.Scan(bucketFriendship, nil, nil) {
		f := decodeFriendship(k, v)
		c.counted.FriendshipsFormed++
		c.counted.Matched += 2
		c.want(f.Mate < f.Cause, "friendship %v has the later half %v as its first", f.Cause, f.Mate)
		c.want(f.Current() == (f.Ending == 0), "friendship %v ended at %v by %v", f.Cause, f.Ended, f.Ending)
		c.want(f.Current() || f.Ended > f.Cause, "friendship %v ended at %v, before it began", f.Cause, f.Ended)
		p := getPair(c.r, f.Lo, f.Hi)
		c.want(p.cause >= f.Cause, "friendship %v is later than its pair's last, %v", f.Cause, p.cause)
		if f.Current() {
			c.counted.Friendships++
			c.want(p.cause == f.Cause, "friendship %v is current, and so is %v of the same pair", f.Cause, p.cause)
			c.want(bytes.Equal(c.r.Get(bucketFriend, friendKey(f.Lo, f.Cause)), f.Hi[:]), "friendship %v is not in the list of %v", f.Cause, f.Lo)
			c.want(bytes.Equal(c.r.Get(bucketFriend, friendKey(f.Hi, f.Cause)), f.Lo[:]), "friendship %v is not in the list of %v", f.Cause, f.Hi)
		}
	}
}

func (c *checker) checkFriends() {
	var owner fact.WearerID
	var count, listed uint32
	checkCount := func() { c.want(count == listed, "%v has %d friends listed and %d counted", owner, listed, count) }
	for k, v := range c.r.Scan(bucketFriend, nil, nil) {
		if w := fact.WearerID(k[:wearerSize]); w != owner {
			checkCount()
			owner, count, listed = w, 0, 0
		}
		if len(k) == wearerSize { // it stands before the list
			count = decodeCount(v)
			c.want(count > 0, "%v has a count of no friends", owner)
			continue
		}
		listed++
		cause := causeOf(k)
		f, formed := FriendshipByCause(c.r, cause)
		c.want(formed && f.Current() && f.of(owner) && f.of(fact.WearerID(v)) && owner != fact.WearerID(v), "%v is listed with %v by friendship %v", fact.WearerID(v), owner, cause)
	}
	checkCount()
}

func (c *checker) checkTotals() {
	t := Totals(c.r)
	c.want(t.Halves == t.Outcomes(), "%d halves have %d outcomes", t.Halves, t.Outcomes())
	c.want(t.Pending == c.counted.Pending, "%d halves are pending, in total %d", c.counted.Pending, t.Pending)
	c.want(t.Matched == c.counted.Matched, "%d halves formed friendships, in total %d", c.counted.Matched, t.Matched)
	c.want(t.Friendships == c.counted.Friendships, "%d friendships are current, in total %d", c.counted.Friendships, t.Friendships)
	c.want(t.FriendshipsFormed == c.counted.FriendshipsFormed, "%d friendships were formed, in total %d", c.counted.FriendshipsFormed, t.FriendshipsFormed)
}
