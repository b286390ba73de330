// Package tap is the core of the tap service: the fold that makes friendships of reported halves.
package tap

import (
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// Core is the fold of the tap service. It has no state: all state is in the transaction. Its rules:
//
//  1. Every fact takes three steps in this order: its change of the roster or of the time, the due expiries, its own
//     effect. What is not defined here has no effect. Now is the fold's time; it changes with TimePassed only.
//  2. A record is kept of a half, by (tap id, author), from now until its deadline: now + pending_for of the rules then
//     in force. It is pending while its mate is awaited, and done once it has met it. It is live while now < deadline,
//     and overdue from the deadline on, whether that was noted yet or not.
//  3. Each fact lets at most 240 overdue records be dropped, in the order of (deadline, sequence). A pending one is
//     refused as EXPIRED thereby; a done one goes without a fact, having had its outcome.
//  4. A reported half gets the outcome of the first row that holds, 0 to 12 of the design's table (file table.go). Its
//     mate is the record of the same tap by the peer. Only a pending and live mate meets it: then both get the outcome,
//     and derived refusals name the older half first.
//  5. Rules count from their adoption on: a deadline once given stays. Until rules are adopted that keep halves at all,
//     every half is refused as CLOSED. (No real log is without rules: it begins with them.)
//  6. A pin identifies its wearer from its pairing on, for ever, also once it is retired or the wearer erased. That
//     holds for a half met by its mate after its author was retired, and for the commands. Erasure ends no friendship.
//  7. Unfriended takes effect if it names the current friendship of a pair, its wearer is one of the two, and its pin is
//     that wearer's. It ends the friendship.
//  8. Blocked takes effect if its pin is its wearer's and the other is somebody else. It ends the friendship, if there
//     is one, and stands until the same wearer's Unblocked. Each of the two may block the other; one block is enough.
//  9. Unfriended and Blocked, where they take effect, leave a mark (pin, counter, sequence of the command) on their
//     wearer's side of the pair, in place of that side's older mark. A half counts as higher than its side's mark if it
//     is of the mark's pin and its counter is higher, or of a pin paired after the command. A pair forms only by halves
//     that are higher than both sides' marks, if any. A later command of the same pin never lowers the counter.
//  10. FriendshipRevoked takes effect if it names the current friendship of a pair. It ends it, and the pair never forms
//     one again. It can still be blocked, which then is the reason given.
//  11. A friendship is named by its cause, the half that came second. It is in the lists of both, newest first.
type Core struct{}

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
func (Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	roster.Apply(tx, e)
	before := Totals(tx)
	s := step{tx: tx, seq: e.Seq, now: roster.Now(tx), tally: before}
	s.expire()
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
	tally   Tally
	derived []fact.Fact
}

func (s *step) derive(f fact.Fact) { s.derived = append(s.derived, f) }

// expire drops the records that are due, as many as one fact may.
func (s *step) expire() {
	var overdue []half
	for k, v := range s.tx.Scan(bucketDue, nil, nil) {
		if deadline, _ := decodeDueKey(k); deadline > s.now || len(overdue) == expiriesPerFact {
			break
		}
		overdue = append(overdue, decodeHalf(v, s.tx.Get(bucketHalf, v)))
	}
	for _, h := range overdue {
		s.drop(h)
	}
}

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
	p.setMark(f.Wearer, mark{pin: f.Pin, counter: f.Counter, seq: s.seq})
	s.end(friendship, fact.EndedUnfriended)
	p.standing = apart
	s.keepPair(p)
}

func (s *step) block(f fact.Blocked) {
	if f.Other == f.Wearer || !s.owns(f.Wearer, f.Pin) {
		return
	}
	p := getPair(s.tx, f.Wearer, f.Other)
	p.blocks[p.side(f.Wearer)] = true
	p.setMark(f.Wearer, mark{pin: f.Pin, counter: f.Counter, seq: s.seq})
	if p.standing == friends {
		friendship, _ := FriendshipByCause(s.tx, p.cause)
		s.end(friendship, fact.EndedBlocked)
		p.standing = apart
	}
	s.keepPair(p)
}

func (s *step) unblock(f fact.Unblocked) {
	p := getPair(s.tx, f.Wearer, f.Other)
	if !p.blocks[p.side(f.Wearer)] {
		return
	}
	p.blocks[p.side(f.Wearer)] = false
	s.keepPair(p)
}

func (s *step) revoke(f fact.FriendshipRevoked) {
	friendship, known := FriendshipByCause(s.tx, f.Friendship)
	if !known || !friendship.Current() {
		return
	}
	p := getPair(s.tx, friendship.Lo, friendship.Hi)
	s.end(friendship, fact.EndedRevoked)
	p.standing = revoked
	s.keepPair(p)
}

// owns reports whether the pin was paired with the wearer.
func (s *step) owns(w fact.WearerID, id fact.PinID) bool {
	pin, registered := roster.PinByID(s.tx, id)
	return registered && pin.Paired != 0 && pin.Wearer == w
}

// end takes the friendship out of force. What the pair is from then on is the caller's to say.
func (s *step) end(f Friendship, ending fact.Ending) {
	s.derive(fact.FriendshipEnded{Lo: f.Lo, Hi: f.Hi, Friendship: f.Cause, Ending: ending})
	s.tally.Friendships--
	f.Ended, f.Ending = s.seq, ending
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
func (f Friendship) of(w fact.WearerID) bool { return w == f.Lo || w == f.Hi }

// setMark replaces the mark of the wearer's side. The counter of one pin only rises: a command that was carried in late
// must not let in again what a newer one keeps out.
func (p *pair) setMark(w fact.WearerID, m mark) {
	old := &p.marks[p.side(w)]
	if old.pin == m.pin {
		m.counter = max(m.counter, old.counter)
	}
	*old = m
}
