package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// Outcome is what a log comes to. Medals and backgrounds are those held at its end.
type Outcome struct {
	Friendships       uint64 `json:"friendships"` // current
	FriendshipsFormed uint64 `json:"friendships_formed"`
	Bronze            uint64 `json:"bronze"`
	Silver            uint64 `json:"silver"`
	Gold              uint64 `json:"gold"`
	Backgrounds       uint64 `json:"backgrounds"`
	StepGoals         uint64 `json:"step_goals"` // days whose goal was reached
}

// Change is what one wearer would gain and lose.
type Change struct {
	Wearer            string   `json:"wearer"`
	FriendsBefore     uint32   `json:"friends_before"`
	FriendsAfter      uint32   `json:"friends_after"`
	MedalsGained      []string `json:"medals_gained,omitempty"` // ascending
	MedalsLost        []string `json:"medals_lost,omitempty"`
	BackgroundsGained []string `json:"backgrounds_gained,omitempty"` // sport ids, in the order given
	BackgroundsLost   []string `json:"backgrounds_lost,omitempty"`
	GoalsGained       int      `json:"goals_gained,omitempty"` // days whose goal would be reached, and was not
	GoalsLost         int      `json:"goals_lost,omitempty"`   // and the other way round
}

// WhatIfResult compares a log under its own rules, before, with the same log under others, after.
type WhatIfResult struct {
	Facts  uint64  // in the log
	Before Outcome // once all that follows from the log is derived, also where it was not recorded yet
	After  Outcome

	wearers []fact.WearerID // all who were paired with a pin, ascending
	stores  []view.Store
}

// WhatIf folds the log twice side by side, under the rules that it adopts and under others: change returns, for the rules
// of each RulesAdopted, those in their place. They must pass rules.Check, and their zone must be that of the log up to its
// last fact.
//
// Other rules derive other facts, so the recorded derived facts are not folded: on each side, tap and steps fold the
// reported facts, and rewards folds what that tap derives. Only the place of the recorded friendship facts is used: rewards
// gets a derived one where it, or a later one, was recorded. So the side with the log's own rules comes to exactly the
// recorded facts where services had derived all, and goes on to what is outstanding where they had not.
//
// Commands name friendships and awards by sequences, which under other rules may name others or none. What was ended or
// revoked under the log's own rules is ended or revoked on the other side too, by whichever tap that pair became
// friends there, and for whichever friend that award was given. A command that had no effect has none there. Where the
// pair are not friends at that point, or the award was not given yet, nothing is ended or revoked either; it may still
// come later.
//
// In memory are the states of both sides. The errors are those of the messages and of change, an *eventlog.DecodeError,
// and the context's.
func WhatIf(ctx context.Context, messages iter.Seq2[eventlog.Message, error], change func(fact.Rules) (fact.Rules, error)) (*WhatIfResult, error) {
	w := &whatIf{change: change, before: &chain{made: madeUp}, after: &chain{made: madeUp}}
	var stores []view.Store
	for range 2 * viewsOfChain {
		stores = append(stores, view.NewMemory())
	}
	err := replay(ctx, messages, stores, func(txs []kv.Tx, m eventlog.Message) (bool, error) {
		w.open(txs)
		return true, w.take(m)
	})
	if err != nil {
		return nil, err
	}
	if err := updateAll(stores, nil, func(txs []kv.Tx) error { w.open(txs); w.end(); return nil }); err != nil {
		return nil, err
	}
	slices.SortFunc(w.wearers, func(a, b fact.WearerID) int { return bytes.Compare(a[:], b[:]) })
	result := &WhatIfResult{Facts: w.facts, wearers: slices.Compact(w.wearers), stores: stores}
	err = viewAll(stores, nil, func(views []view.Reader) {
		before, after := sides(views)
		result.Before, result.After = before.outcome(), after.outcome()
	})
	return result, err
}

// Changes goes through the wearers who would gain or lose something, in ascending order.
func (r *WhatIfResult) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		_ = viewAll(r.stores, nil, func(views []view.Reader) { // the views of memory do not fail
			before, after := sides(views)
			for _, w := range r.wearers {
				if c, any := changeOf(w, before, after); any && !yield(c) {
					return
				}
			}
		})
	}
}

// whatIf is a WhatIf on its way through the log.
type whatIf struct {
	change        func(fact.Rules) (fact.Rules, error)
	before, after *chain
	facts         uint64
	last          fact.UnixMilli  // the latest at which a fact was stored
	zone          otherZone       // of the other rules, the first one to be reached
	wearers       []fact.WearerID // each once for each pairing
}

// otherZone is that of rules that were adopted at a sequence and differ from the log's from an instant on. 0 = there is none.
type otherZone struct {
	adopted fact.Seq
	from    fact.UnixMilli
}

func (w *whatIf) open(txs []kv.Tx) {
	w.before.open(txs[:viewsOfChain])
	w.after.open(txs[viewsOfChain:])
}

func (w *whatIf) take(m eventlog.Message) error {
	w.facts++
	w.last = max(w.last, m.Stored)
	if m.Family != fact.Award && m.Family != fact.Goal { // nothing is folded from them
		if err := w.fold(m); err != nil {
			return err
		}
	}
	if w.zone.adopted != 0 && w.last >= w.zone.from {
		return rulesError(w.zone.adopted, errZone)
	}
	return nil
}

func (w *whatIf) fold(m eventlog.Message) error {
	e, err := m.Decode()
	if err != nil {
		return err
	}
	if f, ok := e.Fact.(fact.PinPaired); ok {
		w.wearers = append(w.wearers, f.Wearer)
	}
	other := e
	if other.Fact, err = w.otherwise(e); err != nil {
		return err
	}
	w.before.take(e)
	w.after.take(other)
	return nil
}

func rulesError(adopted fact.Seq, err error) error {
	return fmt.Errorf("rules adopted at sequence %d: %w", adopted, err)
}

func (w *whatIf) end() {
	w.before.drain()
	w.after.drain()
}

// otherwise returns what stands in the place of a fact on the other side.
func (w *whatIf) otherwise(e fact.Entry) (fact.Fact, error) {
	switch f := e.Fact.(type) {
	case fact.RulesAdopted:
		other, from, differ, err := otherRules(f.Rules, w.change)
		if err != nil {
			return nil, rulesError(e.Seq, err)
		}
		if differ && (w.zone.adopted == 0 || from < w.zone.from) {
			w.zone = otherZone{e.Seq, from}
		}
		f.Rules = other
		return f, nil
	case fact.Unfriended:
		f.Friendship = w.sameFriendship(f.Friendship)
		return f, nil
	case fact.FriendshipRevoked:
		f.Friendship = w.sameFriendship(f.Friendship)
		return f, nil
	case fact.AwardRevoked:
		same := w.sameAward(rewards.AwardID{Cause: f.Cause, Index: f.Index})
		f.Cause, f.Index = same.Cause, same.Index
		return f, nil
	}
	return e.Fact, nil
}

// sameFriendship returns the other side's friendship of the pair that has this one; 0, which names none, if either is
// not current.
func (w *whatIf) sameFriendship(cause fact.Seq) fact.Seq {
	f, known := tap.FriendshipByCause(w.before.tap, cause)
	if !known || !f.Current() {
		return 0
	}
	same, _ := tap.FriendshipOf(w.after.tap, f.Lo, f.Hi)
	return same.Cause
}

// sameAward returns the other side's award of the wearer who holds this one; zero, which names none, if either is not
// held.
func (w *whatIf) sameAward(id rewards.AwardID) rewards.AwardID {
	wearer, known := rewards.AwardedTo(w.before.rewards, id)
	if !known {
		return rewards.AwardID{}
	}
	mine, others := rewards.AwardsOf(w.before.rewards, wearer), rewards.AwardsOf(w.after.rewards, wearer)
	for _, m := range mine.Medals {
		if i := slices.IndexFunc(others.Medals, func(o rewards.Medal) bool { return o.Medal == m.Medal }); m.Award == id && i >= 0 {
			return others.Medals[i].Award
		}
	}
	for _, b := range mine.Backgrounds {
		same := func(o rewards.Background) bool { return o.Sport == b.Sport && !o.Revoked }
		if i := slices.IndexFunc(others.Backgrounds, same); b.Award == id && !b.Revoked && i >= 0 {
			return others.Backgrounds[i].Award
		}
	}
	return rewards.AwardID{}
}

// chain is one side: the folds, rewards fed by tap.
type chain struct {
	tap, rewards, steps kv.Tx // of the transaction that is open

	waiting []fact.Record // of tap, which rewards was not given yet
	made    fact.Seq      // the last sequence that was made up
}

const (
	viewsOfChain = 3
	// madeUp stands before the sequences of derived facts that were not recorded, behind those of any log.
	madeUp fact.Seq = 1 << 63
)

func (c *chain) open(txs []kv.Tx) { c.tap, c.rewards, c.steps = txs[0], txs[1], txs[2] }

// take folds a fact of the log.
func (c *chain) take(e fact.Entry) {
	if e.Fact.Family() == fact.Friendship {
		c.meet(e)
		return
	}
	derived := feed(tap.Core{}, c.tap, e)
	for i, f := range derived {
		d := fact.Derivation{Cause: e.Seq, Index: uint32(i), Count: uint32(len(derived))}
		c.waiting = append(c.waiting, fact.Record{Fact: f, Derivation: d})
	}
	feed(rewards.Core{}, c.rewards, e)
	feed(steps.Core{}, c.steps, e)
}

// meet gives rewards what was derived up to the place of the recorded fact. The fact itself keeps its sequence, by which
// commands name the awards that follow from it.
func (c *chain) meet(recorded fact.Entry) {
	for len(c.waiting) > 0 && !c.waiting[0].Derivation.After(recorded.Derivation) {
		next := fact.Entry{Seq: recorded.Seq, Stored: recorded.Stored, Record: c.waiting[0]}
		if next.Record != recorded.Record {
			next.Seq = c.makeUp()
		}
		c.waiting = c.waiting[1:]
		feed(rewards.Core{}, c.rewards, next)
	}
}

// drain gives rewards what has no recorded fact at or behind its place.
func (c *chain) drain() {
	for _, r := range c.waiting {
		feed(rewards.Core{}, c.rewards, fact.Entry{Seq: c.makeUp(), Record: r})
	}
	c.waiting = nil
}

func (c *chain) makeUp() fact.Seq {
	c.made++
	return c.made
}

// side reads one side.
type side struct{ tap, rewards, steps view.Reader }

func sides(views []view.Reader) (before, after side) {
	return side{views[0], views[1], views[2]}, side{views[3], views[4], views[5]}
}

func (s side) outcome() Outcome {
	friends, given := tap.Totals(s.tap), rewards.Totals(s.rewards)
	return Outcome{
		Friendships: friends.Friendships, FriendshipsFormed: friends.FriendshipsFormed,
		Bronze: given.Bronze, Silver: given.Silver, Gold: given.Gold, Backgrounds: given.Backgrounds,
		StepGoals: steps.Totals(s.steps).Goals,
	}
}

// changeOf returns what the wearer would gain and lose, and whether that is anything.
func changeOf(w fact.WearerID, before, after side) (Change, bool) {
	old, other := rewards.AwardsOf(before.rewards, w), rewards.AwardsOf(after.rewards, w)
	c := Change{Wearer: w.String(), FriendsBefore: old.Friends, FriendsAfter: other.Friends}
	c.MedalsGained, c.MedalsLost = gains(medalsHeld(old), medalsHeld(other))
	c.BackgroundsGained, c.BackgroundsLost = gains(backgroundsHeld(old), backgroundsHeld(other))
	gained, lost := gains(goalsReached(before.steps, w), goalsReached(after.steps, w))
	c.GoalsGained, c.GoalsLost = len(gained), len(lost)
	same := c.FriendsBefore == c.FriendsAfter && len(c.MedalsGained)+len(c.MedalsLost) == 0 &&
		len(c.BackgroundsGained)+len(c.BackgroundsLost)+c.GoalsGained+c.GoalsLost == 0
	return c, !same
}

// gains returns what is in after only, and what is in before only.
func gains[T comparable](before, after []T) (gained, lost []T) {
	without := func(list, not []T) (rest []T) {
		for _, x := range list {
			if !slices.Contains(not, x) {
				rest = append(rest, x)
			}
		}
		return rest
	}
	return without(after, before), without(before, after)
}

func medalsHeld(a rewards.Awards) (names []string) {
	for _, m := range a.Medals {
		names = append(names, m.Medal.String())
	}
	return names
}

func backgroundsHeld(a rewards.Awards) (sports []string) {
	for _, b := range a.Backgrounds {
		if !b.Revoked {
			sports = append(sports, b.Sport)
		}
	}
	return sports
}

func goalsReached(r kv.Reader, w fact.WearerID) (days []fact.Day) {
	for _, d := range allDays(r, w) {
		if d.GoalReached {
			days = append(days, d.Day)
		}
	}
	return days
}
