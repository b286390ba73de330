package evidence_test

import (
	"slices"
	"strings"
	"testing"

	"pinfold/client"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// proves checks the full certificate of an award, and returns the evidence and what was found.
func (w *world) proves(of fact.WearerID, what evidence.Award) (*evidence.Evidence, evidence.Checked) {
	w.t.Helper()
	ev := w.collect(of, what)
	checked, err := check(w.t, w.issue(ev, false))
	if err != nil {
		w.t.Fatalf("%v: %v", what, err)
	}
	return ev, checked
}

func wearersOf(pins ...*client.Pin) []fact.WearerID {
	var all []fact.WearerID
	for _, p := range pins {
		all = append(all, wearerOf(p))
	}
	return all
}

// TestAfterUnfriending counts who is a friend when the award is given: not one who was before, nor one who came later, but
// one who came back.
func TestAfterUnfriending(t *testing.T) {
	w := newWorld(t, easyRules())
	a, b, c, d, e := w.wearer(), w.wearer(), w.wearer(), w.wearer(), w.wearer()
	w.meet(a, b)
	lost := w.friendship(wearerOf(a), wearerOf(b))
	w.add(fact.Unfriended{Wearer: wearerOf(a), Pin: a.ID(), Counter: 1, Friendship: lost})
	w.meet(a, c)
	w.meet(a, d) // bronze
	w.meet(a, b) // silver
	w.add(fact.Blocked{Wearer: wearerOf(d), Pin: d.ID(), Counter: 9, Other: wearerOf(a)})
	w.meet(a, e)
	for what, want := range map[fact.Medal][]*client.Pin{fact.Bronze: {c, d}, fact.Silver: {c, d, b}} {
		ev, checked := w.proves(wearerOf(a), medal(what))
		if got := othersIn(ev); !slices.Equal(got, wearersOf(want...)) || int(checked.Friends) != len(want) {
			t.Errorf("%v: got %v, want %v", what, got, wearersOf(want...))
		}
		for _, f := range ev.Friendships {
			if f.Later.Seq == lost {
				t.Errorf("%v: the friendship that had ended is counted", what)
			}
		}
	}
	w.meet(b, c)
	if _, ok := w.find(wearerOf(a), medal(fact.Gold)); ok {
		t.Error("a gold medal by 3 friends")
	}
}

// TestStarters are given at the pairing, for no friends.
func TestStarters(t *testing.T) {
	r := easyRules()
	r.StarterBackgrounds = 2
	w := newWorld(t, r)
	p, other := w.wearer(), w.wearer()
	for place, sport := range r.Sports[:2] {
		ev, checked := w.proves(wearerOf(p), background(sport.ID))
		if len(ev.Messages()) != 4 || checked.Friends != 0 {
			t.Errorf("%s: got %d facts and %d friends, want the award, the rules, a registration and a pairing", sport.ID, len(ev.Messages()), checked.Friends)
		}
		if want := "2 backgrounds at once, then a background for every 2 friends"; !strings.Contains(checked.Story.Rule, want) {
			t.Errorf("%s, number %d: got the rule %q", sport.ID, place+1, checked.Story.Rule)
		}
		if checked.Story.Taps == nil || len(checked.Story.Taps) != 0 {
			t.Errorf("%s: got taps %v, want an empty list", sport.ID, checked.Story.Taps)
		}
	}
	for _, tt := range []struct {
		name   string
		tamper func(*forgery)
		want   evidence.Rule
	}{
		{"nothing", func(*forgery) {}, ""},
		{"one starter by the rules", change(0, func(f *fact.RulesAdopted) { f.Rules.StarterBackgrounds = 1 }), evidence.Threshold},
		{"other sports", change(0, func(f *fact.RulesAdopted) { f.Rules.Sports = f.Rules.Sports[2:] }), evidence.Threshold},
		{"the pairing of another wearer", change(0, func(f *fact.PinPaired) { f.Wearer = wearerOf(other) }), evidence.BadPin},
		{"a proof by another key", change(0, func(f *fact.PinPaired) { f.Signature[0]++ }), evidence.BadSignature},
		{"a proof for another challenge", change(0, func(f *fact.PinPaired) { f.Random[0]++ }), evidence.BadProof},
		{"no registration", drop[fact.PinRegistered](0), evidence.Missing},
		{"no pairing", drop[fact.PinPaired](0), evidence.Missing},
		{"a registration as the cause", func(f *forgery) {
			e := entryOf[fact.PinRegistered](f, 0)
			derive[fact.BackgroundUnlocked](0, func(d *fact.Derivation) { d.Cause = e.Seq })(f)
		}, evidence.BadAward},
	} {
		f := forge(t, w, wearerOf(p), background(r.Sports[1].ID))
		tt.tamper(f)
		if _, err := f.sign().Check(trusted(t)); ruleOf(err) != tt.want || (tt.want == "") != (err == nil) {
			t.Errorf("%s: got error %v, want rule %q", tt.name, err, tt.want)
		}
	}
}

// TestEndedCause is about an award that came when a friendship ended, since other rules were in force by then.
func TestEndedCause(t *testing.T) {
	r := easyRules()
	r.Medals = fact.Thresholds{Bronze: 4, Silver: 5, Gold: 6}
	w := newWorld(t, r)
	a, b, c, d := w.wearer(), w.wearer(), w.wearer(), w.wearer()
	w.meet(a, b)
	w.meet(a, c)
	w.meet(a, d)
	r.Medals.Bronze = 2
	w.add(fact.RulesAdopted{Rules: r})
	w.add(fact.Unfriended{Wearer: wearerOf(b), Pin: b.ID(), Counter: 9, Friendship: w.friendship(wearerOf(a), wearerOf(b))})
	ev, checked := w.proves(wearerOf(a), medal(fact.Bronze))
	if got, want := othersIn(ev), wearersOf(c, d); !slices.Equal(got, want) || ev.Rules.Fact.Rules.Medals.Bronze != 2 {
		t.Errorf("got friends %v and %+v, want %v and the later rules", got, ev.Rules.Fact.Rules.Medals, want)
	}
	if want := "a friendship ended, and the rules had changed"; !strings.HasPrefix(checked.Story.Cause, want) {
		t.Errorf("got the cause %q, want %q", checked.Story.Cause, want)
	}
	for _, tt := range []struct {
		name   string
		tamper func(*forgery)
		want   evidence.Rule
	}{
		{"nothing", func(*forgery) {}, ""},
		{"the end of a friendship of others", change(0, func(f *fact.FriendshipEnded) { f.Lo, f.Hi = fact.WearerID{1}, fact.WearerID{2} }), evidence.BadAward},
		{"the end of one that is counted", func(f *forgery) {
			cause := entryOf[fact.FriendshipFormed](f, 0).Derivation.Cause
			change(0, func(f *fact.FriendshipEnded) { f.Friendship = cause })(f)
		}, evidence.BadFriendship},
		{"an earlier end", move[fact.FriendshipEnded](0, func(*forgery, fact.Seq) fact.Seq { return 2 }), evidence.Missing},
	} {
		f := forge(t, w, wearerOf(a), medal(fact.Bronze))
		tt.tamper(f)
		if _, err := f.sign().Check(trusted(t)); ruleOf(err) != tt.want || (tt.want == "") != (err == nil) {
			t.Errorf("%s: got error %v, want rule %q", tt.name, err, tt.want)
		}
	}
}

// find asks the index.
func (w *world) find(of fact.WearerID, what evidence.Award) (ref evidence.Ref, ok bool) {
	_ = w.view(func(r kv.Reader) error { ref, ok = evidence.Find(r, of, what); return nil })
	return ref, ok
}

// TestSecondPin counts the taps of both pins of a wearer, the lost one's too.
func TestSecondPin(t *testing.T) {
	w, who := goldenWorld(t)
	third := w.wearer()
	w.meet(w.pins[4], third)
	ev, _ := w.proves(who, medal(fact.Gold))
	pins := map[fact.PinID]int{}
	for _, f := range ev.Friendships {
		for _, h := range []evidence.Half{f.First, f.Later} {
			if h.Pin.Paired.Fact.Wearer == who {
				pins[h.Fact.Half.Pin]++
			}
		}
	}
	if len(pins) != 1 || pins[w.pins[4].ID()] != 4 {
		t.Errorf("got taps by pins %v, want 4 by the second pin", pins)
	}

	w = newWorld(t, easyRules())
	first, b, c := w.wearer(), w.wearer(), w.wearer()
	w.meet(first, b)
	second := w.newPin()
	w.add(fact.PinRegistered{Key: second.Key()}, w.pairing(second, wearerOf(first), games))
	w.meet(c, second)
	ev, _ = w.proves(wearerOf(first), medal(fact.Bronze))
	if got := []fact.PinID{ev.Friendships[0].First.Fact.Half.Pin, ev.Friendships[1].Later.Fact.Half.Pin}; !slices.Equal(got, []fact.PinID{first.ID(), second.ID()}) {
		t.Errorf("got pins %v, want the first and the second", got)
	}
	if got := len(ev.Messages()); got != 1+1+2*3+4*2 {
		t.Errorf("got %d facts, want the award, the rules, 2 friendships with their halves, and 4 pins", got)
	}
}

// TestSeveralByOneCause: each award that one friendship gives, to either of the two, has the same evidence but itself.
func TestSeveralByOneCause(t *testing.T) {
	w := newWorld(t, easyRules())
	a, b, c, d := w.wearer(), w.wearer(), w.wearer(), w.wearer()
	w.meet(a, c)
	w.meet(b, d)
	w.meet(a, b)
	cause, indexes := fact.Seq(0), []uint32{}
	for _, p := range []*client.Pin{a, b} {
		for _, what := range []evidence.Award{medal(fact.Bronze), background("aquatics")} {
			ev, checked := w.proves(wearerOf(p), what)
			if cause == 0 {
				cause = ev.Cause.Seq
			}
			if ev.Cause.Seq != cause || len(ev.Friendships) != 2 || checked.Award != what.String() {
				t.Errorf("%v: got cause %d and %d friendships, want cause %d and 2", what, ev.Cause.Seq, len(ev.Friendships), cause)
			}
			ref, ok := w.find(wearerOf(p), what)
			if !ok || ref.Seq != ev.Award.Seq || ref.Derivation != ev.Award.Derivation || ref.Derivation.Count != 4 {
				t.Errorf("%v: got %+v, %t, want what the fact says, %+v", what, ref, ok, ev.Award)
			}
			indexes = append(indexes, ref.Derivation.Index)
		}
	}
	if slices.Sort(indexes); !slices.Equal(indexes, []uint32{0, 1, 2, 3}) {
		t.Errorf("got the facts %v of the cause, want all four", indexes)
	}
}
