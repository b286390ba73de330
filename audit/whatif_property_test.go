package audit_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// slowWorld makes a log with services that fold when they are told to, and so derive late, as real ones do. Nothing in
// it is signed: a what-if does not look.
type slowWorld struct {
	t     *rapid.T
	log   []eventlog.Message
	now   fact.UnixMilli
	cores []fold.Core
	views []*view.Memory
	at    []int // how many facts each core has folded

	pins    []fact.PinID
	of      map[fact.PinID]fact.WearerID
	held    []fact.HalfReported // second halves that were not reported yet
	counter fact.Counter
	friends []fact.Record // FriendshipFormed
	awards  []fact.Record
	facts   []fact.Fact // in log order
}

func newSlowWorld(t *rapid.T, r fact.Rules) *slowWorld {
	w := &slowWorld{
		t: t, now: 1_600_000_000_000, cores: []fold.Core{tap.Core{}, rewards.Core{}, steps.Core{}}, at: make([]int, 3),
		of: map[fact.PinID]fact.WearerID{},
	}
	for range w.cores {
		w.views = append(w.views, view.NewMemory())
	}
	w.report(fact.RulesAdopted{Rules: r})
	w.report(fact.TimePassed{Time: w.now})
	return w
}

func (w *slowWorld) report(f fact.Fact) {
	w.facts = append(w.facts, f)
	w.append(fact.Record{Fact: f})
}

func (w *slowWorld) append(r fact.Record) {
	payload, err := eventlog.Encode(r)
	if err != nil {
		w.t.Fatal(err)
	}
	m := eventlog.Message{Seq: fact.Seq(len(w.log) + 1), Stored: w.now, Family: r.Fact.Family(), Payload: payload}
	w.log = append(w.log, m)
	switch r.Fact.Family() {
	case fact.Award:
		w.awards = append(w.awards, r)
	case fact.Friendship:
		if _, ok := r.Fact.(fact.FriendshipFormed); ok {
			w.friends = append(w.friends, r)
		}
	}
}

// serve lets a service fold at most n facts, and append what it derives.
func (w *slowWorld) serve(i, n int) {
	var derived []fact.Record
	err := w.views[i].Update(func(tx kv.Tx) error {
		for ; n > 0 && w.at[i] < len(w.log); n-- {
			m := w.log[w.at[i]]
			w.at[i]++
			if !slices.Contains(w.cores[i].ActsOn(), m.Family) {
				continue
			}
			e, err := m.Decode()
			if err != nil {
				return err
			}
			facts := w.cores[i].Step(tx, e)
			for j, f := range facts {
				derived = append(derived, fact.Record{Fact: f, Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(j), Count: uint32(len(facts))}})
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range derived {
		w.append(r)
	}
}

// rest lets the services fold until there is nothing left.
func (w *slowWorld) rest() {
	for slices.ContainsFunc(w.at, func(at int) bool { return at < len(w.log) }) {
		for i := range w.cores {
			w.serve(i, len(w.log))
		}
	}
}

const slowWearers = 5

// pair pairs the next pin, with wearers in turn.
func (w *slowWorld) pair() {
	n := byte(len(w.pins) + 1)
	key, wearer := fact.PublicKey{n}, fact.WearerID{n % slowWearers}
	w.pins = append(w.pins, key.PinID())
	w.of[key.PinID()] = wearer
	w.report(fact.PinRegistered{Key: key})
	w.report(fact.PinPaired{Wearer: wearer, Proof: fact.Proof{Pin: key.PinID()}})
}

func (w *slowWorld) pin() fact.PinID { return rapid.SampledFrom(w.pins).Draw(w.t, "pin") }

func (w *slowWorld) wearer() fact.WearerID { return w.of[w.pin()] }

// meet reports one half of a tap. The other follows at once, or later.
func (w *slowWorld) meet() {
	a, b := w.pin(), w.pin()
	if a == b {
		return
	}
	w.counter++
	nonce, peer := fact.Nonce{byte(w.counter), byte(w.counter >> 8), 1}, fact.Nonce{byte(w.counter), byte(w.counter >> 8), 2}
	w.report(fact.HalfReported{Half: fact.Half{Pin: a, Peer: b, Nonce: nonce, PeerNonce: peer, Counter: w.counter, Link: fact.LinkWire}})
	second := fact.HalfReported{Half: fact.Half{Pin: b, Peer: a, Nonce: peer, PeerNonce: nonce, Counter: w.counter, Link: fact.LinkWire}}
	if rapid.IntRange(0, 3).Draw(w.t, "late") == 0 {
		w.held = append(w.held, second)
		return
	}
	w.report(second)
}

// plain is what may happen without a word that names a sequence, or that acts on rewards but by friendships.
func (w *slowWorld) plain() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"pair":   func(*rapid.T) { w.pair() },
		"meet 1": func(*rapid.T) { w.meet() },
		"meet 2": func(*rapid.T) { w.meet() },
		"meet 3": func(*rapid.T) { w.meet() },
		"late": func(t *rapid.T) {
			if len(w.held) > 0 {
				i := rapid.IntRange(0, len(w.held)-1).Draw(t, "half")
				w.report(w.held[i])
				w.held = slices.Delete(w.held, i, i+1)
			}
		},
		"time": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 180).Draw(t, "minutes")) * time.Minute)
			w.report(fact.TimePassed{Time: w.now})
		},
		"walk": func(t *rapid.T) {
			slot := fact.Slot(w.now / fact.UnixMilli(fact.SlotLength.Milliseconds()))
			w.counter++
			w.report(fact.StepsReported{Report: fact.StepReport{
				Pin: w.pin(), Counter: w.counter, FirstSlot: slot, Steps: []uint16{rapid.Uint16Range(1, 2000).Draw(t, "steps")},
			}})
		},
		"block": func(*rapid.T) {
			p, other := w.pin(), w.wearer()
			w.report(fact.Blocked{Wearer: w.of[p], Pin: p, Counter: w.counter, Other: other})
		},
		"unblock": func(*rapid.T) { w.report(fact.Unblocked{Wearer: w.wearer(), Other: w.wearer()}) },
		"serve": func(t *rapid.T) {
			w.serve(rapid.IntRange(0, 2).Draw(t, "service"), rapid.IntRange(1, 20).Draw(t, "facts"))
		},
	}
}

// everything adds the rest.
func (w *slowWorld) everything() map[string]func(*rapid.T) {
	ops := w.plain()
	ops["unfriend"] = func(t *rapid.T) {
		if len(w.friends) > 0 {
			r := rapid.SampledFrom(w.friends).Draw(t, "friendship")
			f := r.Fact.(fact.FriendshipFormed)
			i := slices.IndexFunc(w.pins, func(p fact.PinID) bool { return w.of[p] == f.Lo })
			w.report(fact.Unfriended{Wearer: f.Lo, Pin: w.pins[i], Counter: w.counter, Friendship: r.Derivation.Cause})
		}
	}
	ops["revoke a friendship"] = func(t *rapid.T) {
		if len(w.friends) > 0 {
			r := rapid.SampledFrom(w.friends).Draw(t, "friendship")
			w.report(fact.FriendshipRevoked{Friendship: r.Derivation.Cause, Reason: fact.RevokedFraud})
		}
	}
	ops["revoke an award"] = func(t *rapid.T) {
		if len(w.awards) > 0 {
			d := rapid.SampledFrom(w.awards).Draw(t, "award").Derivation
			w.report(fact.AwardRevoked{Cause: d.Cause, Index: d.Index, Reason: fact.RevokedError})
		}
	}
	ops["choose"] = func(*rapid.T) {
		w.report(fact.BackgroundChosen{Wearer: w.wearer(), Background: "aquatics"})
	}
	ops["retire"] = func(t *rapid.T) {
		if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
			w.report(fact.PinRetired{Pin: w.pin(), Reason: fact.RetiredLost})
		}
	}
	ops["erase"] = func(t *rapid.T) {
		if rapid.IntRange(0, 7).Draw(t, "really") == 0 {
			w.report(fact.WearerErased{Wearer: w.wearer()})
		}
	}
	ops["adopt"] = func(t *rapid.T) {
		if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
			w.report(fact.RulesAdopted{Rules: someRules(t)})
		}
	}
	return ops
}

// someRules let few friends earn much.
func someRules(t *rapid.T) fact.Rules {
	r := rules.Tokyo2020()
	r.Sports = r.Sports[:rapid.IntRange(2, 5).Draw(t, "sports")]
	r.FriendsPerBackground = rapid.Uint32Range(1, 3).Draw(t, "per background")
	r.StarterBackgrounds = rapid.Uint32Range(0, 2).Draw(t, "starters")
	r.Medals.Bronze = rapid.Uint32Range(1, 2).Draw(t, "bronze")
	r.Medals.Silver = r.Medals.Bronze + 1
	r.Medals.Gold = r.Medals.Silver + rapid.Uint32Range(1, 2).Draw(t, "gold")
	r.StepGoal = rapid.Uint32Range(500, 3000).Draw(t, "goal")
	r.PendingFor = time.Duration(rapid.IntRange(1, 240).Draw(t, "pending for")) * time.Minute
	if rapid.IntRange(0, 3).Draw(t, "closing") == 0 {
		r.Closes = 1_600_000_000_000 + fact.UnixMilli(rapid.IntRange(1, 12*3600_000).Draw(t, "closes"))
		r.UploadGrace = time.Minute
	}
	return r
}

// live lets ten pins be paired and much happen to them.
func (w *slowWorld) live(ops map[string]func(*rapid.T)) {
	w.pair()
	for range 7 {
		w.pair()
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range ops {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 120).Draw(w.t, "ops") {
		ops[name](w.t)
	}
}

func whatIfOf(t *rapid.T, messages []eventlog.Message, change func(fact.Rules) (fact.Rules, error)) *audit.WhatIfResult {
	r, err := audit.WhatIf(t.Context(), each(messages, nil), change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhatIfSame folds any log under its own rules on both sides: they come to what is recorded, byte by byte of the
// views. The causes of all awards stand in that of rewards, so there is none more and none less.
func TestWhatIfSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSlowWorld(t, someRules(t))
		w.live(w.everything())
		early := slices.Clone(w.log)
		w.rest()
		same := func(r fact.Rules) (fact.Rules, error) { return r, nil }
		r := whatIfOf(t, w.log, same)
		for i, got := range r.Digests() {
			_ = w.views[i%3].View(func(v view.Reader) error {
				if want := view.DigestOf(v); got != want {
					t.Fatalf("side %d: the view of %s is not the one that the service had", i/3, w.cores[i%3].Name())
				}
				return nil
			})
		}
		if r.Before != r.After {
			t.Fatalf("before %+v, after %+v", r.Before, r.After)
		}
		for c := range r.Changes() {
			t.Fatalf("the same rules change %+v", c)
		}

		// While services lag, what is outstanding is counted on both sides already.
		other := someRules(t)
		change := func(fact.Rules) (fact.Rules, error) { return other, nil }
		one, two := whatIfOf(t, early, change), whatIfOf(t, w.log, change)
		if one.Before != two.Before || one.After != two.After {
			t.Fatalf("with facts outstanding: before %+v, after\n%+v, at rest %+v, after\n%+v", one.Before, one.After, two.Before, two.After)
		}
		if a, b := slices.Collect(one.Changes()), slices.Collect(two.Changes()); !reflect.DeepEqual(a, b) {
			t.Fatalf("with facts outstanding\n%+v, at rest\n%+v", a, b)
		}
	})
}

// TestWhatIfLived lives the same days again under the other rules: that is what a what-if must foretell.
func TestWhatIfLived(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSlowWorld(t, someRules(t))
		w.live(w.plain())
		other := someRules(t)
		foretold := whatIfOf(t, w.log, func(fact.Rules) (fact.Rules, error) { return other, nil })

		again := newSlowWorld(t, other)
		for _, f := range w.facts[2:] {
			if passed, ok := f.(fact.TimePassed); ok {
				again.now = passed.Time
			}
			again.report(f)
		}
		again.rest()
		lived := whatIfOf(t, again.log, func(r fact.Rules) (fact.Rules, error) { return r, nil })
		if foretold.After != lived.Before {
			t.Fatalf("foretold %+v, lived\n%+v", foretold.After, lived.Before)
		}
		var friends uint64
		_ = again.views[0].View(func(v view.Reader) error { friends = tap.Totals(v).Friendships; return nil })
		if foretold.After.Friendships != friends {
			t.Fatalf("foretold %d friendships, lived %d", foretold.After.Friendships, friends)
		}
	})
}
