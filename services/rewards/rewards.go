// Package rewards is the core of the rewards service: it counts each wearer's friends, gives the awards that the count
// leads to, and ranks the wearers by it.
package rewards

import (
	"math"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// Core is the fold of the rewards service. All its state is in the transaction.
//
//  1. FriendshipFormed raises the friend count of both wearers by one, FriendshipEnded lowers it by one, never below 0.
//     HalfRefused has no effect.
//  2. A wearer's awards are checked after each change of the friend count, and when a PinPaired takes effect, which
//     package roster decides. Where a fact changes two counts, Lo comes first, then Hi.
//  3. A check gives backgrounds until as many were given as are due under the rules in force: each time the first sport,
//     in the order of the rules, that was not yet given to this wearer. Then it gives each medal in ascending order that
//     is due and was not yet given. Before any RulesAdopted, nothing is due.
//  4. Awards are kept: a lower count takes nothing back, and what was given once is not given again.
//  5. AwardRevoked names an award by its fact's (cause, index). The award is no longer held, but counts as given. It has
//     no effect when there is no such award, or it is revoked already.
//  6. BackgroundChosen has effect only when the wearer holds that background and is not erased. A chosen background that
//     is revoked is no longer chosen, and none takes its place.
//  7. WearerErased: the wearer gets no further awards and is not ranked. The friend count goes on, and what the wearer
//     holds stays in the totals. To other wearers nothing changes.
//  8. RulesAdopted replaces the rules and derives nothing: awards are checked under them when rule 2 next says so. A
//     sport is known by its id: what was given under earlier rules is kept, and counts as given under the new ones.
//  9. A collection is complete when, after the wearer's last check or revocation, the wearer held the background of
//     every sport of the rules then in force.
type Core struct{}

// Name returns the name of the service.
func (Core) Name() string { return "rewards" }

// ActsOn returns the families whose facts have an effect here.
func (Core) ActsOn() []fact.Family { return []fact.Family{fact.Friendship, fact.Wearer, fact.Roster} }

// Derives returns the family of the derived facts.
func (Core) Derives() fact.Family { return fact.Award }

// Step folds one fact into the transaction and returns the awards that follow from it. They are at most 256: two wearers
// get at most a background for each sport of the rules and three medals each, and package rules bounds the sports.
func (Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	s := step{tx: tx, cause: e.Seq, rules: inForce(tx)}
	switch f := e.Fact.(type) {
	case fact.FriendshipFormed:
		s.count(f.Lo, oneMore)
		s.count(f.Hi, oneMore)
	case fact.FriendshipEnded:
		s.count(f.Lo, oneLess)
		s.count(f.Hi, oneLess)
	case fact.BackgroundChosen:
		s.choose(f)
	case fact.AwardRevoked:
		s.revoke(f)
	case fact.RulesAdopted:
		adopt(tx, f.Rules)
	case fact.PinRegistered, fact.PinRetired:
		roster.Apply(tx, e)
	case fact.PinPaired:
		if roster.Apply(tx, e) {
			s.pair(f.Wearer)
		}
	case fact.WearerErased:
		if roster.Apply(tx, e) {
			board.Move(tx, f.Wearer, recordOf(tx, f.Wearer).friends, 0)
		}
	}
	return s.facts
}

// step is one call of Step: what it works with, and what it has derived so far.
type step struct {
	tx    kv.Tx
	cause fact.Seq
	rules ruling
	facts []fact.Fact
}

// count changes a wearer's friend count and does what follows from that.
func (s *step) count(w fact.WearerID, change func(friends uint32) uint32) {
	old := recordOf(s.tx, w)
	rec := old
	rec.friends = change(old.friends)
	if rec.friends == old.friends {
		return
	}
	if !roster.Erased(s.tx, w) {
		board.Move(s.tx, w, old.friends, rec.friends)
		s.check(w, &rec)
	}
	s.store(w, old, rec)
}

// oneMore and oneLess stop at the ends. The tap fold never leads beyond them, but a step is total.
func oneMore(friends uint32) uint32 {
	if friends == math.MaxUint32 {
		return friends
	}
	return friends + 1
}

func oneLess(friends uint32) uint32 {
	if friends == 0 {
		return friends
	}
	return friends - 1
}

// pair gives a wearer who was paired with a pin what is due without a friend: the starter backgrounds.
func (s *step) pair(w fact.WearerID) {
	old := recordOf(s.tx, w)
	rec := old
	s.check(w, &rec)
	s.store(w, old, rec)
}

// check gives the wearer all that is due and was not yet given.
func (s *step) check(w fact.WearerID, rec *record) {
	if !s.rules.adopted() {
		return
	}
	if missing := rules.BackgroundsDue(s.rules.Rules, rec.friends) - int(rec.given); missing > 0 {
		s.unlock(w, rec, missing)
	}
	for _, m := range fact.Medals() {
		if m > rec.medal && rules.MedalDue(s.rules.Rules, m, rec.friends) {
			s.give(w, rec, award{medal: m}, fact.MedalAwarded{Wearer: w, Medal: m, Friends: rec.friends})
		}
	}
	rec.complete = s.rules.completedBy(*rec)
}

// unlock gives the wearer n backgrounds. There are as many left: no more are ever due than there are sports.
func (s *step) unlock(w fact.WearerID, rec *record, n int) {
	for sp := range s.rules.notIn(rec.sportsGiven()) {
		s.give(w, rec, award{sport: sp},
			fact.BackgroundUnlocked{Wearer: w, Background: sportID(s.tx, sp), Friends: rec.friends})
		if n--; n == 0 {
			return
		}
	}
}

// give enters an award into the wearer's record, and its fact among those derived.
func (s *step) give(w fact.WearerID, rec *record, a award, f fact.Fact) {
	a.cause, a.index = s.cause, uint8(len(s.facts))
	rec.add(a)
	s.tx.Put(awards, awardKey(a.cause, a.index), w[:])
	s.facts = append(s.facts, f)
}

func (s *step) choose(f fact.BackgroundChosen) {
	if roster.Erased(s.tx, f.Wearer) {
		return
	}
	old := recordOf(s.tx, f.Wearer)
	for _, a := range old.all() {
		if a.medal == 0 && !a.revoked && sportID(s.tx, a.sport) == f.Background {
			rec := old
			rec.chosen = a.sport
			s.store(f.Wearer, old, rec)
			return
		}
	}
}

func (s *step) revoke(f fact.AwardRevoked) {
	w, ok := awardedTo(s.tx, f.Cause, f.Index)
	if !ok {
		return
	}
	old := recordOf(s.tx, w)
	for i, a := range old.all() {
		if a.cause == f.Cause && uint32(a.index) == f.Index && !a.revoked {
			rec := old
			rec.revoke(i, a)
			rec.complete = s.rules.completedBy(rec)
			s.store(w, old, rec)
			return
		}
	}
}

// store replaces the wearer's record and brings the totals up to date.
func (s *step) store(w fact.WearerID, old, rec record) {
	if rec.head == old.head {
		return // nor did the awards change, which are counted in the head
	}
	s.tx.Put(wearers, w[:], rec.encode())
	moveTotals(s.tx, old.head, rec.head)
}
