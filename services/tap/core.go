// Package tap is the core of the tap service: the fold that makes friendships of reported halves.
package tap

import (
	"cmp"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// Core is the fold of the tap service. It has no state: all state is in the transaction. Its rules:
//
//  1. Every fact takes three steps in this order: its change of the roster or of the time, the due expiries, its own
//     effect. What is not defined here has no effect. Now is the fold's time, as in package roster: it goes back, or on,
//     where it is corrected.
//  2. A record is kept of a half, by (tap id, author), from now until its deadline: now + pending_for of the rules then
//     in force. It is pending while its mate is awaited, and done once it has met it. It is live while now < deadline,
//     and overdue from the deadline on, whether that was noted yet or not.
//  3. Each TimeCorrected sets a limit to all deadlines that were given before it, those of done records too: the time at
//     which it was stored + pending_for of the rules in force. None of them counts as later than that. What is overdue
//     when the time is corrected stays so for good, whatever the time is afterwards. A deadline given after it is
//     untouched by it.
//  4. Each fact lets at most 240 overdue records be dropped, those of the earliest era first, then in the order of
//     (deadline, sequence); an era is what lies between two corrections. A pending one is refused as EXPIRED thereby; a
//     done one goes without a fact, having had its outcome.
//  5. A reported half gets the outcome of the first row that holds, 0 to 12 of the table in docs/design.md section 7 (file table.go). Its
//     mate is the record of the same tap by the peer. Only a pending and live mate meets it: then both get the outcome,
//     and derived refusals name the older half first.
//  6. Rules count from their adoption on: a deadline once given stays. Until rules are adopted that keep halves at all,
//     every half is refused as CLOSED. (No real log is without rules: it begins with them.)
//  7. A pin identifies its wearer from its pairing on, for ever, also once it is retired or the wearer erased. That
//     holds for a half met by its mate after its author was retired, and for the commands. Erasure ends no friendship.
//  8. Unfriended takes effect if it names the current friendship of a pair, its wearer is one of the two, and its pin is
//     that wearer's. It ends the friendship.
//  9. Blocked and Unblocked take effect only if they follow (After) the last Blocked or Unblocked of the same wearer
//     against the same other that took effect, 0 if there is none: so one that was ordered in ignorance of a later one
//     changes nothing. Blocked needs a pin of its wearer, and another wearer who ever had a pin. It ends the friendship, if
//     there is one; where the other is blocked already it renews the marks. Unblocked needs that what it follows is a
//     Blocked. Each of the two may block the other; one block is enough.
//  10. Unfriended, Blocked and Unblocked, where they take effect, leave marks on their wearer's side of the pair, one for
//     each pin that was paired with the wearer so far, a retired one too: the largest of the pin's mark so far on this
//     side, the counter that the command gives, if it names that pin, and the highest counter of any half of it in the
//     log before, whatever became of it. A half counts as higher if its counter is above its pin's mark, or if its pin was
//     paired after the last of these commands of its side, or if its side has none. A pair forms only by halves that are
//     both higher. Marks never go.
//  11. FriendshipRevoked takes effect if it names the current friendship of a pair. It ends it, and the pair never forms
//     one again. It can still be blocked, which then is the reason given.
//  12. A friendship is named by its cause, the half that came second. It is in the lists of both, newest first.
//
// Session and operator of a command are not read, and Restored changes nothing.
type Core struct {
	expiries int // per fact; 0 = expiriesPerFact. Tests lower it: faults in the order of expiries hide behind a large one.
}

// expiriesPerFact bounds what a step derives: 240 expiries, one more by row 0, and two refusals are below the 256 that
// a step may return.
const expiriesPerFact = 240

// Name returns the name of the service.
func (Core) Name() string { return "tap" }

// ActsOn returns the families that change the view.
func (Core) ActsOn() []fact.Family { return []fact.Family{fact.Tap, fact.Roster, fact.Clock} }

// Derives returns the family of the derived facts.
func (Core) Derives() fact.Family { return fact.Friendship }

// Step folds one fact into the view and returns what follows from it, at most 256 facts. It is total.
func (c Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	before := Totals(tx)
	s := step{tx: tx, seq: e.Seq, eras: getEras(tx), tally: before}
	if _, corrected := e.Fact.(fact.TimeCorrected); corrected {
		s.correct(roster.Now(tx), e.Stored)
	}
	roster.Apply(tx, e)
	s.now = roster.Now(tx)
	s.expire(cmp.Or(c.expiries, expiriesPerFact))
	switch f := e.Fact.(type) {
	case fact.RulesAdopted:
		s.adopt(f.Rules)
	case fact.HalfReported:
		s.report(f.Half)
	case fact.Unfriended:
		s.unfriend(f)
	case fact.Blocked:
		s.block(f)
	case fact.Unblocked:
		s.unblock(f)
	case fact.FriendshipRevoked:
		s.revoke(f)
	}
	if s.tally != before {
		tx.Put(bucketTotal, tallyKey, s.tally.encode())
	}
	return s.derived
}

// step is one fact on its way through the fold.
type step struct {
	tx      kv.Tx
	seq     fact.Seq
	now     fact.UnixMilli
	eras    eras
	tally   Tally
	derived []fact.Fact
}

func (s *step) derive(f fact.Fact) { s.derived = append(s.derived, f) }

func (s *step) adopt(r fact.Rules) {
	in := schedule{pendingFor: r.PendingFor, window: rules.WindowOf(r)}
	s.tx.Put(bucketSchedule, scheduleKey, in.encode())
}

func (s *step) unfriend(f fact.Unfriended) {
	friendship, known := FriendshipByCause(s.tx, f.Friendship)
	if !known || !friendship.Current() || !friendship.of(f.Wearer) || !s.owns(f.Wearer, f.Pin) {
		return
	}
	p := getPair(s.tx, friendship.Lo, friendship.Hi)
	s.mark(&p, f.Wearer, mark{pin: f.Pin, counter: f.Counter})
	s.end(friendship, fact.EndedUnfriended, f.Wearer)
	p.standing = apart
	s.keepPair(p)
}

func (s *step) block(f fact.Blocked) {
	p := getPair(s.tx, f.Wearer, f.Other)
	by := p.of(f.Wearer)
	if f.Other == f.Wearer || f.After != by.block || !s.owns(f.Wearer, f.Pin) || !s.everHadPin(f.Other) {
		return
	}
	by.block, by.blocked = s.seq, true
	s.mark(&p, f.Wearer, mark{pin: f.Pin, counter: f.Counter})
	if p.standing == friends {
		friendship, _ := FriendshipByCause(s.tx, p.cause)
		s.end(friendship, fact.EndedBlocked, f.Wearer)
		p.standing = apart
	}
	s.keepPair(p)
}

func (s *step) unblock(f fact.Unblocked) {
	p := getPair(s.tx, f.Wearer, f.Other)
	by := p.of(f.Wearer)
	if !by.blocked || f.After != by.block {
		return
	}
	by.block, by.blocked = s.seq, false
	s.mark(&p, f.Wearer, mark{})
	s.keepPair(p)
}

func (s *step) revoke(f fact.FriendshipRevoked) {
	friendship, known := FriendshipByCause(s.tx, f.Friendship)
	if !known || !friendship.Current() {
		return
	}
	p := getPair(s.tx, friendship.Lo, friendship.Hi)
	s.end(friendship, fact.EndedRevoked, fact.WearerID{})
	p.standing = revoked
	s.keepPair(p)
}

// owns reports whether the pin was paired with the wearer.
func (s *step) owns(w fact.WearerID, id fact.PinID) bool {
	pin, registered := roster.PinByID(s.tx, id)
	return registered && pin.Paired != 0 && pin.Wearer == w
}

// everHadPin reports whether a pin was ever paired with the wearer.
func (s *step) everHadPin(w fact.WearerID) bool {
	for range roster.PinsOf(s.tx, w) {
		return true
	}
	return false
}

// mark leaves the marks of a command of the wearer, which gave the one that is named.
func (s *step) mark(p *pair, w fact.WearerID, given mark) {
	by := p.of(w)
	by.last = s.seq
	var marks []mark
	for id, pin := range roster.PinsOf(s.tx, w) {
		m := mark{pin: id, counter: max(by.mark(id), pin.Counter)}
		if id == given.pin {
			m.counter = max(m.counter, given.counter)
		}
		if m.counter > 0 {
			marks = append(marks, m)
		}
	}
	by.marks = marks
}

// end takes the friendship out of force. What the pair is from then on is the caller's to say. Of a revocation, nobody is
// the author.
func (s *step) end(f Friendship, ending fact.Ending, author fact.WearerID) {
	s.derive(fact.FriendshipEnded{Lo: f.Lo, Hi: f.Hi, Friendship: f.Cause, Ending: ending})
	s.tally.Friendships--
	f.Ended, f.Ending, f.by = s.seq, ending, f.sideOf(author)
	s.keepFriendship(f)
	s.removeFriend(f.Lo, f.Cause)
	s.removeFriend(f.Hi, f.Cause)
}

// form makes the two halves' wearers friends.
func (s *step) form(p pair, mate, own half) {
	s.derive(fact.FriendshipFormed{Lo: p.lo, Hi: p.hi, Tap: own.tap, Mate: mate.seq})
	s.tally.Friendships++
	s.tally.FriendshipsFormed++
	s.keepFriendship(Friendship{Cause: s.seq, Mate: mate.seq, Lo: p.lo, Hi: p.hi, Tap: own.tap})
	s.addFriend(p.lo, p.hi)
	s.addFriend(p.hi, p.lo)
	p.cause, p.standing = s.seq, friends
	s.keepPair(p)
}

func (s *step) addFriend(w, friend fact.WearerID) {
	s.tx.Put(bucketFriend, friendKey(w, s.seq), friend[:])
	s.tx.Put(bucketFriend, w[:], encodeCount(FriendCount(s.tx, w)+1))
}

func (s *step) removeFriend(w fact.WearerID, cause fact.Seq) {
	s.tx.Delete(bucketFriend, friendKey(w, cause))
	if n := FriendCount(s.tx, w); n > 1 {
		s.tx.Put(bucketFriend, w[:], encodeCount(n-1))
	} else {
		s.tx.Delete(bucketFriend, w[:])
	}
}

func (s *step) keepPair(p pair) { s.tx.Put(bucketPair, pairKey(p.lo, p.hi), p.encode()) }

func (s *step) keepFriendship(f Friendship) {
	s.tx.Put(bucketFriendship, friendshipKey(f.Cause), f.encode())
}

// of reports whether the wearer is one of the two.
func (f Friendship) of(w fact.WearerID) bool { return f.sideOf(w) != 0 }

// sideOf returns 1 for the lower wearer, 2 for the higher one, and 0 for anybody else.
func (f Friendship) sideOf(w fact.WearerID) byte {
	switch w {
	case f.Lo:
		return 1
	case f.Hi:
		return 2
	}
	return 0
}
