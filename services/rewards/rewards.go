// Package rewards is the core of the rewards service: it counts each wearer's friends, gives the awards that the count
// leads to, and ranks the wearers by it.
package rewards

import (
	"math"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
)

// Core is the fold of the rewards service. All its state is in the transaction.
//
//  1. FriendshipFormed raises the friend count of both wearers by one, FriendshipEnded lowers it by one, never below 0.
//     HalfRefused has no effect.
//  2. A wearer's awards are checked after each change of the friend count, and when a PinPaired takes effect: package
//     roster decides whether it does. Where a fact changes two counts, Lo is checked before Hi.
//  3. A check gives backgrounds until as many are given as are due under the rules in force: each time the first sport,
//     in the order of the rules, that was not yet given to this wearer. Then it gives each medal in ascending order that
//     was reached and not yet given. Before any RulesAdopted, nothing is due.
//  4. One check gives at most 125 backgrounds, so that no step exceeds 256 facts. The rest follows at the next check.
//  5. Awards are kept: a lower count takes nothing back, and what was given once is not given again.
//  6. AwardRevoked names an award by the (cause, index) of its fact. The award is no longer held, but counts as given. It
//     has no effect when there is no such award or it is revoked already.
//  7. BackgroundChosen has effect only when the wearer holds that background and is not erased. A chosen background that
//     is revoked is no longer chosen; none takes its place.
//  8. WearerErased: the wearer gets no further awards and is not ranked. The friend count goes on, and what the wearer
//     holds stays in the totals. For the other wearers nothing changes.
//  9. RulesAdopted replaces the rules and derives nothing: each wearer is checked under them when rule 2 next says so.
//     Sports are known by id: what was given under earlier rules stays, and counts as given under the new ones. A
//     sport that is listed twice counts once, one without an id not at all.
//  10. A collection is complete when, at the last change to the wearer's record, as many backgrounds were held as the
//     rules in force had sports.
type Core struct{}

// Name returns the name of the service.
func (Core) Name() string { return "rewards" }

// ActsOn returns the families whose facts have an effect here.
func (Core) ActsOn() []fact.Family { return []fact.Family{fact.Friendship, fact.Wearer, fact.Roster} }

// Derives returns the family of the derived facts.
func (Core) Derives() fact.Family { return fact.Award }

// Step folds one fact into the transaction and returns the awards that follow from it, at most 256.
func (Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	s := step{tx: tx, cause: e.Seq}
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
			rerank(tx, f.Wearer, recordOf(tx, f.Wearer).friends, 0)
		}
	}
	return s.facts
}

// step is one call of Step: what it works on, and what it has derived so far.
type step struct {
	tx    kv.Tx
	cause fact.Seq
	facts []fact.Fact
}

// oneMore and oneLess stop at the ends: the log of a correct tap fold reaches neither, but a step is total.
func oneMore(friends uint32) uint32 {
	if friends == math.MaxUint32 {
		return friends
	}
	return friends + 1
}

func oneLess(friends uint32) uint32 {
	if friends == 0 {
		return 0
	}
	return friends - 1
}

// count changes a wearer's friend count and does what follows from that: rank and awards.
func (s *step) count(w fact.WearerID, change func(friends uint32) uint32) {
	old := recordOf(s.tx, w)
	rec := old
	rec.friends = change(old.friends)
	if rec.friends == old.friends {
		return
	}
	if !roster.Erased(s.tx, w) {
		rerank(s.tx, w, old.friends, rec.friends)
		s.check(w, &rec)
	}
	store(s.tx, w, old, rec)
}

// pair checks the awards of a wearer who was given a pin: the starter backgrounds.
func (s *step) pair(w fact.WearerID) {
	old := recordOf(s.tx, w)
	rec := old
	s.check(w, &rec)
	store(s.tx, w, old, rec)
}

// maxBackgrounds is how many backgrounds one check gives at most: with the medals 128 facts for a wearer, 256 for two.
const maxBackgrounds = 125

// check gives the wearer what is due.
func (s *step) check(w fact.WearerID, rec *record) {
	in, adopted := inForce(s.tx)
	if !adopted {
		return
	}
	if missing := in.backgroundsDue(rec.friends) - int(rec.given); missing > 0 {
		s.unlock(w, rec, in, min(missing, maxBackgrounds))
	}
	for _, m := range fact.Medals() {
		if in.medalDue(m, rec.friends) && !rec.medals.has(m) {
			s.give(w, rec, award{medal: m}, fact.MedalAwarded{Wearer: w, Medal: m, Friends: rec.friends})
		}
	}
}

// unlock gives the wearer the next n backgrounds, or as many as the rules still have.
func (s *step) unlock(w fact.WearerID, rec *record, in ruling, n int) {
	given := rec.sports()
	for sp := range in.order() {
		if n == 0 {
			return
		}
		if given[sp] {
			continue
		}
		n--
		s.give(w, rec, award{sport: sp},
			fact.BackgroundUnlocked{Wearer: w, Background: sportID(s.tx, sp), Friends: rec.friends})
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
		if a.held() && a.medal == 0 && sportID(s.tx, a.sport) == f.Background {
			rec := old
			rec.chosen = a.sport
			store(s.tx, f.Wearer, old, rec)
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
		if a.cause == f.Cause && uint32(a.index) == f.Index && a.held() {
			rec := old
			rec.revoke(i, a)
			store(s.tx, w, old, rec)
			return
		}
	}
}
