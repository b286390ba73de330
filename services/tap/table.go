package tap

import (
	"pinfold/internal/fact"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
)

// report gives a half its outcome, or leaves it pending: rows 0 to 5 of the table of docs/design.md section 7.
func (s *step) report(h fact.Half) {
	s.tally.Halves++
	author, registered := roster.Count(s.tx, h.Pin, h.Counter) // whatever comes of it: rule 10
	tap := statement.TapID(h)
	old, kept := s.half(tap, h.Pin)
	if kept && s.overdue(old) { // row 0
		s.drop(old)
		kept = false
	}
	if kept { // row 1
		s.tally.Duplicate++
		return
	}
	in := getSchedule(s.tx)
	mate, met := s.half(tap, h.Peer)
	own := half{
		tap: tap, author: h.Pin, deadline: s.now.Add(in.pendingFor), seq: s.seq,
		pending: true, counter: h.Counter, wearer: author.Wearer,
	}
	switch {
	case !registered || author.Paired == 0: // row 2
		s.refuse(fact.RefusedUnpairedPin, own.seq)
	case author.Retired != 0 || roster.Erased(s.tx, author.Wearer): // row 3
		s.refuse(fact.RefusedRetiredPin, own.seq)
	case !in.open(s.now): // row 4
		s.refuse(fact.RefusedClosed, own.seq)
	case !met || !mate.pending || s.overdue(mate): // row 5
		s.tally.Pending++
		s.keep(own)
	default:
		s.judge(mate, own)
	}
}

// judge gives both halves of a tap their outcome, now that both are there: rows 6 to 12. To judge the first half alone
// would make the outcome depend on the order in which they come.
func (s *step) judge(mate, own half) {
	p := getPair(s.tx, mate.wearer, own.wearer)
	switch {
	case roster.Erased(s.tx, mate.wearer): // row 6
		s.refuse(fact.RefusedRetiredPin, mate.seq, own.seq)
	case mate.wearer == own.wearer: // row 7
		s.refuse(fact.RefusedSameWearer, mate.seq, own.seq)
	case p.sides[0].blocked || p.sides[1].blocked: // row 8
		s.refuse(fact.RefusedBlocked, mate.seq, own.seq)
	case p.standing == friends: // row 9
		s.tally.AlreadyFriends += 2
	case p.standing == revoked: // row 10
		s.refuse(fact.RefusedRevoked, mate.seq, own.seq)
	case !s.higher(p, mate) || !s.higher(p, own): // row 11
		s.refuse(fact.RefusedUnfriended, mate.seq, own.seq)
	default: // row 12
		s.tally.Matched += 2
		s.form(p, mate, own)
	}
	s.tally.Pending-- // the mate is no longer
	mate.pending, own.pending = false, false
	s.put(mate)
	s.keep(own)
}

// open reports whether taps are taken. Rules that keep no half pending take none: no two could ever meet.
func (in schedule) open(now fact.UnixMilli) bool {
	return in.pendingFor > 0 && rules.Open(in.window, now)
}

// higher reports whether the half was signed after the last command of its side of the pair, as far as can be told.
func (s *step) higher(p pair, h half) bool {
	by := p.of(h.wearer)
	if by.last == 0 || h.counter > by.mark(h.author) {
		return true
	}
	pin, _ := roster.PinByID(s.tx, h.author)
	return pin.Paired > by.last
}

func (s *step) refuse(refusal fact.Refusal, halves ...fact.Seq) {
	for _, seq := range halves {
		s.tally.Refused[refusal]++
		s.derive(fact.HalfRefused{Half: seq, Refusal: refusal})
	}
}

// half returns the record of a half, and whether there is one.
func (s *step) half(tap fact.TapID, author fact.PinID) (half, bool) {
	k := halfKey(tap, author)
	v := s.tx.Get(bucketHalf, k)
	if v == nil {
		return half{}, false
	}
	return decodeHalf(k, v), true
}

// keep begins a record: the half and its place among those that fall due.
func (s *step) keep(h half) {
	s.put(h)
	s.tx.Put(bucketDue, dueKey(s.eras.current().seq, h.deadline, h.seq), halfKey(h.tap, h.author))
}

func (s *step) put(h half) { s.tx.Put(bucketHalf, halfKey(h.tap, h.author), h.encode()) }

// drop removes an overdue record. A pending half thereby gets its outcome.
func (s *step) drop(h half) {
	if h.pending {
		s.tally.Pending--
		s.tally.Expired++
		s.derive(fact.HalfRefused{Half: h.seq, Refusal: fact.RefusedExpired})
	}
	s.tx.Delete(bucketHalf, halfKey(h.tap, h.author))
	s.tx.Delete(bucketDue, dueKey(s.eras.at(h.seq).seq, h.deadline, h.seq))
}
