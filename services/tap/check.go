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
//  2. Records and due index name each other. A pending record names its pin's wearer. No tap has two records that are
//     pending and live: they would have met.
//  3. A pair is friends exactly when the friendship that it names is current; a pair of friends is not blocked; a
//     revoked pair's friendship was revoked. A mark is by a pin of its side's wearer.
//  4. The lists of friends hold every current friendship twice, once with each of the two, and nothing else; each
//     wearer's count is the length of the list.
//  5. The outcomes add up to the reported halves (invariant 4), and the totals to what the view holds.
func Check(r kv.Reader) error {
	c := checker{r: r}
	c.checkLayouts()
	if c.findings != nil { // what follows could not be read
		return errors.Join(c.findings...)
	}
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
		{bucketPair, func(k, v int) bool { return k == pairKeySize && (v == pairSize || v == markedPairSize) }},
		{bucketFriend, func(k, v int) bool { return k == wearerSize && v == countSize || k == friendKeySize && v == wearerSize }},
		{bucketFriendship, func(k, v int) bool { return k == friendshipKeySize && v == friendshipSize }},
		{bucketTotal, func(k, v int) bool { return k == len(tallyKey) && v == tallySize }},
		{bucketSchedule, func(k, v int) bool { return k == len(scheduleKey) && v == scheduleSize }},
	}
	for _, l := range layouts {
		for k, v := range c.r.Scan(l.bucket, nil, nil) {
			c.want(l.fits(len(k), len(v)), "bucket %s, key %x: %d bytes of key and %d of value", l.bucket, k, len(k), len(v))
		}
	}
}

func (c *checker) checkHalves() {
	now := roster.Now(c.r)
	var last half
	for k, v := range c.r.Scan(bucketHalf, nil, nil) {
		h := decodeHalf(k, v)
		c.want(bytes.Equal(c.r.Get(bucketDue, dueKey(h.deadline, h.seq)), k), "half %v is not in the due index", h.seq)
		if h.pending {
			c.counted.Pending++
			pin, _ := roster.PinByID(c.r, h.author)
			c.want(pin.Paired != 0 && pin.Wearer == h.wearer, "half %v is pending for %v, who does not have pin %v", h.seq, h.wearer, h.author)
			met := last.pending && last.tap == h.tap && last.deadline > now && h.deadline > now
			c.want(!met, "halves %v and %v are both pending", last.seq, h.seq)
		}
		last = h
	}
}

func (c *checker) checkDue() {
	for k, v := range c.r.Scan(bucketDue, nil, nil) {
		deadline, seq := decodeDueKey(k)
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
		c.want(p.standing != friends || p.blocks == [2]bool{}, "pair %v %v is friends and blocked", p.lo, p.hi)
		for side, w := range []fact.WearerID{p.lo, p.hi} {
			pin, _ := roster.PinByID(c.r, p.marks[side].pin)
			c.want(p.marks[side].seq == 0 || pin.Wearer == w, "pair %v %v has a mark by pin %v", p.lo, p.hi, p.marks[side].pin)
		}
		f, formed := FriendshipByCause(c.r, p.cause)
		c.want(formed == (p.cause != 0), "pair %v %v: there is no friendship %v", p.lo, p.hi, p.cause)
		c.want(!formed || f.Lo == p.lo && f.Hi == p.hi, "pair %v %v: friendship %v is another pair's", p.lo, p.hi, p.cause)
		c.want(p.standing == standingBy(f, formed), "pair %v %v has standing %d, by its friendship %d", p.lo, p.hi, p.standing, standingBy(f, formed))
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
