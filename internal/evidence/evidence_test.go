package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// player does what a log can have, at random.
type player struct {
	*world
	rt      *rapid.T
	wearers []fact.WearerID
	pinsOf  map[fact.WearerID][]*client.Pin
}

func (p *player) newWearer() {
	pin := p.wearer()
	p.wearers = append(p.wearers, wearerOf(pin))
	p.pinsOf[wearerOf(pin)] = []*client.Pin{pin}
}

func (p *player) two() (a, b fact.WearerID) {
	i := rapid.IntRange(0, len(p.wearers)-1).Draw(p.rt, "one")
	j := rapid.IntRange(0, len(p.wearers)-2).Draw(p.rt, "other")
	if j >= i {
		j++
	}
	return p.wearers[i], p.wearers[j]
}

func (p *player) pinOf(w fact.WearerID) *client.Pin {
	return rapid.SampledFrom(p.pinsOf[w]).Draw(p.rt, "pin")
}

// play does one thing.
func (p *player) play() {
	a, b := p.two()
	switch what := rapid.IntRange(0, 19).Draw(p.rt, "what"); what {
	default:
		first, second := p.halves(p.pinOf(a), p.pinOf(b))
		if what%2 == 0 {
			first, second = second, first
		}
		first.Carrier = second.Half.Pin
		p.add(first)
		p.add(fact.TimePassed{Time: p.now})
		p.add(second)
		if what == 5 {
			p.add(first)
		}
	case 0, 1:
		p.add(fact.Unfriended{Wearer: a, Pin: p.pinsOf[a][0].ID(), Counter: 0, Friendship: p.friendship(a, b)})
	case 2:
		p.add(fact.Blocked{Wearer: a, Pin: p.pinsOf[a][0].ID(), Counter: 1, Other: b})
		p.add(fact.Unblocked{Wearer: a, Other: b})
	case 3:
		p.add(fact.FriendshipRevoked{Friendship: p.friendship(a, b), Reason: fact.RevokedFraud})
	case 14:
		pin := p.newPin()
		p.add(fact.PinRegistered{Key: pin.Key()}, p.pairing(pin, a, games))
		p.pinsOf[a] = append(p.pinsOf[a], pin)
	case 15: // without effect: the pin is there, and somebody's
		p.add(fact.PinRegistered{Key: p.pinOf(a).Key()}, p.pairing(p.pinOf(a), b, games))
	case 16:
		r := easyRules()
		r.StarterBackgrounds = rapid.Uint32Range(0, 2).Draw(p.rt, "starters")
		r.FriendsPerBackground = rapid.Uint32Range(1, 3).Draw(p.rt, "per background")
		r.Medals.Bronze = rapid.Uint32Range(1, 2).Draw(p.rt, "bronze")
		slices.Reverse(r.Sports)
		r.Sports = r.Sports[:rapid.IntRange(3, 4).Draw(p.rt, "sports")]
		p.add(fact.RulesAdopted{Rules: r})
	case 17:
		p.newWearer()
	case 18:
		p.add(fact.PinRetired{Pin: p.pinOf(a).ID(), Reason: fact.RetiredLost})
	case 19:
		if rapid.IntRange(0, 3).Draw(p.rt, "erase") == 0 {
			p.add(fact.WearerErased{Wearer: a})
		}
	}
}

// TestEveryAward plays, and then proves every award of the log.
func TestEveryAward(t *testing.T) {
	causes := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		r := easyRules()
		r.StarterBackgrounds = rapid.Uint32Range(0, 2).Draw(rt, "starters")
		p := &player{world: newWorld(t, r), rt: rt, pinsOf: map[fact.WearerID][]*client.Pin{}}
		for range 4 {
			p.newWearer()
		}
		for range rapid.IntRange(1, 40).Draw(rt, "plays") {
			p.play()
		}
		entries := p.entries()
		given := map[fact.WearerID]map[evidence.Award]bool{}
		for _, w := range p.wearers {
			given[w] = map[evidence.Award]bool{}
		}
		for _, e := range entries {
			w, what, friends, ok := awardIn(e.Fact)
			if !ok {
				continue
			}
			given[w][what] = true
			ev := p.collect(w, what)
			causes[fmt.Sprintf("%T", ev.Cause.Fact)] = true
			if got, want := othersIn(ev), friendsAt(entries, w, e.Derivation.Cause); ev.Award.Seq != e.Seq || ev.Friends != friends || !slices.Equal(got, want) {
				rt.Fatalf("%v of %v: got friends %v by the award at %d, want %v and %d", what, w, got, ev.Award.Seq, want, e.Seq)
			}
			for _, short := range []bool{false, true} {
				checked, err := check(t, p.issue(ev, short))
				if err != nil {
					rt.Fatalf("%v of %v, short %t: %v", what, w, short, err)
				}
				if checked.Seq != e.Seq || checked.Friends != friends || checked.Wearer != w.String() || checked.Award != what.String() || checked.Size != p.next-1 {
					rt.Fatalf("%v of %v: got %+v", what, w, checked)
				}
			}
		}
		p.checkNotGiven(given)
	})
	for _, want := range []string{"fact.FriendshipFormed", "fact.FriendshipEnded", "fact.PinPaired"} {
		if !causes[want] {
			t.Errorf("no award was caused by a %s", want)
		}
	}
}

// checkNotGiven asks for every award that there is not.
func (p *player) checkNotGiven(given map[fact.WearerID]map[evidence.Award]bool) {
	all := []evidence.Award{medal(fact.Bronze), medal(fact.Silver), medal(fact.Gold), background("curling")}
	for _, s := range easyRules().Sports {
		all = append(all, background(s.ID))
	}
	for w, has := range given {
		for _, what := range all {
			if has[what] {
				continue
			}
			if _, err := evidence.Collect(context.Background(), p.view, p.log, w, what); !errors.Is(err, evidence.ErrNotAwarded) {
				p.rt.Fatalf("%v of %v was not given: got error %v", what, w, err)
			}
		}
	}
}

func awardIn(f fact.Fact) (w fact.WearerID, what evidence.Award, friends uint32, ok bool) {
	switch f := f.(type) {
	case fact.MedalAwarded:
		return f.Wearer, medal(f.Medal), f.Friends, true
	case fact.BackgroundUnlocked:
		return f.Wearer, background(f.Background), f.Friends, true
	}
	return w, what, 0, false
}

// othersIn returns the friends of the evidence.
func othersIn(ev *evidence.Evidence) []fact.WearerID {
	var others []fact.WearerID
	for _, f := range ev.Friendships {
		others = append(others, f.Other)
	}
	return others
}

// friendsAt is the model: it goes through the log up to seq.
func friendsAt(entries []fact.Entry, w fact.WearerID, seq fact.Seq) []fact.WearerID {
	var friends []fact.WearerID
	other := func(lo, hi fact.WearerID) (fact.WearerID, bool) {
		if lo == w {
			return hi, true
		}
		return lo, hi == w
	}
	for _, e := range entries[:seq] {
		switch f := e.Fact.(type) {
		case fact.FriendshipFormed:
			if o, ok := other(f.Lo, f.Hi); ok {
				friends = append(friends, o)
			}
		case fact.FriendshipEnded:
			if o, ok := other(f.Lo, f.Hi); ok {
				friends = slices.DeleteFunc(friends, func(f fact.WearerID) bool { return f == o })
			}
		}
	}
	return friends
}

func TestParseAward(t *testing.T) {
	for text, want := range map[string]evidence.Award{
		"bronze": medal(fact.Bronze), "silver": medal(fact.Silver), "gold": medal(fact.Gold), "judo": background("judo"),
		"modern-pentathlon": background("modern-pentathlon"), "3x3": background("3x3"),
	} {
		got, err := evidence.ParseAward(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %+v and error %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Gold", "gold ", "j\u00fcdo", strings.Repeat("x", 33), "a\nb"} {
		if got, err := evidence.ParseAward(text); err == nil {
			t.Errorf("%q: got %+v and no error", text, got)
		}
	}
}

// TestEnter is about messages that no service of ours wrote, and about those that the index does not look into.
func TestEnter(t *testing.T) {
	enter := func(m eventlog.Message) error {
		return view.NewMemory().Update(func(tx kv.Tx) error { return evidence.Enter(tx, m) })
	}
	for _, f := range fact.Families() {
		read := f == fact.Roster || f == fact.Friendship || f == fact.Award
		if err := enter(eventlog.Message{Seq: 1, Family: f, Payload: []byte("?")}); (err != nil) != read {
			t.Errorf("nonsense in family %s: got error %v", f, err)
		}
	}
	ended := fact.Record{Fact: fact.FriendshipEnded{Friendship: 3, Ending: fact.EndedBlocked}, Derivation: fact.Derivation{Cause: 4, Count: 1}}
	payload, err := eventlog.Encode(ended)
	if err != nil {
		t.Fatal(err)
	}
	if err := enter(eventlog.Message{Seq: 5, Family: fact.Friendship, Payload: payload}); err != nil {
		t.Errorf("the end of a friendship that was never formed: got error %v", err)
	}
}

// TestEnterBeside shows that the index can stand beside the roster of another fold.
func TestEnterBeside(t *testing.T) {
	w := newWorld(t, easyRules())
	w.meet(w.wearer(), w.wearer())
	err := w.index.View(func(r view.Reader) error {
		for _, bucket := range r.Buckets() {
			if !strings.HasPrefix(bucket, "evidence.") && bucket != "tree" && bucket != "treesize" {
				t.Errorf("bucket %q is not the index's own", bucket)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// source answers instead of a log.
type source func(seq fact.Seq) (eventlog.Message, bool, error)

func (s source) At(_ context.Context, seq fact.Seq) (eventlog.Message, bool, error) { return s(seq) }

// TestCollectFails lets each read of the log go wrong in turn.
func TestCollectFails(t *testing.T) {
	w, who := bronzeWorld(t)
	errAway := errors.New("away")
	for i, m := range w.collect(who, medal(fact.Bronze)).Messages() {
		for _, tt := range []struct {
			name string
			at   source
			want func(error) bool
		}{
			{
				"an error",
				func(fact.Seq) (eventlog.Message, bool, error) { return eventlog.Message{}, false, errAway },
				func(err error) bool { return errors.Is(err, errAway) },
			},
			{
				"nothing",
				func(fact.Seq) (eventlog.Message, bool, error) { return eventlog.Message{}, false, nil },
				func(err error) bool { return ruleOf(err) == evidence.Missing },
			},
			{
				"nonsense",
				func(seq fact.Seq) (eventlog.Message, bool, error) {
					return eventlog.Message{Seq: seq, Family: m.Family, Payload: []byte("?")}, true, nil
				},
				func(err error) bool { return ruleOf(err) == evidence.Unreadable },
			},
			{
				"another fact",
				func(seq fact.Seq) (eventlog.Message, bool, error) {
					other, _, err := w.log.At(context.Background(), 2)
					other.Seq = seq
					return other, true, err
				},
				func(err error) bool { return ruleOf(err) != "" },
			},
		} {
			_, err := evidence.Collect(context.Background(), w.view, source(func(seq fact.Seq) (eventlog.Message, bool, error) {
				if seq == m.Seq {
					return tt.at(seq)
				}
				return w.log.At(context.Background(), seq)
			}), who, medal(fact.Bronze))
			if !tt.want(err) {
				t.Errorf("%s at sequence %d, the %d. of the facts: got error %v", tt.name, m.Seq, i+1, err)
			}
		}
	}
	for calls := 1; calls <= 2; calls++ {
		n := 0
		_, err := evidence.Collect(context.Background(), func(f func(kv.Reader) error) error {
			if n++; n == calls {
				return errAway
			}
			return w.view(f)
		}, w.log, who, medal(fact.Bronze))
		if !errors.Is(err, errAway) {
			t.Errorf("the index fails at call %d: got error %v", calls, err)
		}
	}
	for _, what := range []evidence.Award{{}, {Medal: fact.Gold, Background: "judo"}, {Medal: 4}, {Background: "Judo"}} {
		if _, err := evidence.Collect(context.Background(), w.view, w.log, who, what); err == nil || errors.Is(err, evidence.ErrNotAwarded) {
			t.Errorf("award %+v: got error %v, want one about the question", what, err)
		}
	}
}

// TestCollectBroken is about logs in which the services must not have given the award: no rules, or a pin that was never
// registered, or never paired.
func TestCollectBroken(t *testing.T) {
	w, who := bronzeWorld(t)
	for name, without := range map[string]func(fact.Fact) bool{
		"no rules":         func(f fact.Fact) bool { _, ok := f.(fact.RulesAdopted); return ok },
		"no registrations": func(f fact.Fact) bool { _, ok := f.(fact.PinRegistered); return ok },
		"no pairings":      func(f fact.Fact) bool { _, ok := f.(fact.PinPaired); return ok },
	} {
		index := view.NewMemory()
		for _, e := range w.entries() {
			m, _, err := w.log.At(context.Background(), e.Seq)
			if err != nil {
				t.Fatal(err)
			}
			if !without(e.Fact) {
				err = index.Update(func(tx kv.Tx) error { return evidence.Enter(tx, m) })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := evidence.Collect(context.Background(), func(f func(kv.Reader) error) error {
			return index.View(func(r view.Reader) error { return f(r) })
		}, source(func(seq fact.Seq) (eventlog.Message, bool, error) {
			if seq == 0 {
				t.Errorf("%s: the log was asked for sequence 0", name)
			}
			return w.log.At(context.Background(), seq)
		}), who, medal(fact.Bronze))
		if ruleOf(err) != evidence.Missing {
			t.Errorf("%s: got error %v, want one of what is missing", name, err)
		}
	}
}

func ruleOf(err error) evidence.Rule {
	var e *evidence.Error
	if errors.As(err, &e) {
		return e.Rule
	}
	return ""
}
