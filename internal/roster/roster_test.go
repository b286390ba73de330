package roster_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/view"
)

var (
	keyA, keyB = fact.PublicKey{0xa}, fact.PublicKey{0xb}
	pinA, pinB = keyA.PinID(), keyB.PinID()
	ann, bob   = fact.WearerID{1}, fact.WearerID{2}
)

func registered(k fact.PublicKey) fact.Fact { return fact.PinRegistered{Key: k} }
func retired(p fact.PinID) fact.Fact        { return fact.PinRetired{Pin: p, Reason: fact.RetiredLost} }
func erased(w fact.WearerID) fact.Fact      { return fact.WearerErased{Wearer: w} }

func paired(p fact.PinID, w fact.WearerID) fact.Fact {
	return fact.PinPaired{Wearer: w, Proof: fact.Proof{Pin: p}}
}

// step is a fact and whether it takes effect. Its sequence is its place in the list, from 1.
type step struct {
	fact   fact.Fact
	effect bool
}

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name   string
		steps  []step
		pins   map[fact.PinID]roster.Pin
		erased []fact.WearerID
	}{
		{
			name: "nothing",
			pins: map[fact.PinID]roster.Pin{},
		},
		// Rule 1.
		{
			name:  "a pin is registered once",
			steps: []step{{registered(keyA), true}, {registered(keyA), false}, {registered(keyB), true}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA}, pinB: {Key: keyB}},
		},
		{
			name:  "registering again takes nothing back",
			steps: []step{{registered(keyA), true}, {paired(pinA, ann), true}, {retired(pinA), true}, {registered(keyA), false}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 2, Retired: 3}},
		},
		// Rule 2.
		{
			name:  "a pin is paired for ever",
			steps: []step{{registered(keyA), true}, {paired(pinA, ann), true}, {paired(pinA, bob), false}, {paired(pinA, ann), false}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 2}},
		},
		{
			name:  "a wearer has several pins",
			steps: []step{{registered(keyA), true}, {registered(keyB), true}, {paired(pinB, ann), true}, {paired(pinA, ann), true}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 4}, pinB: {Key: keyB, Wearer: ann, Paired: 3}},
		},
		{
			name:  "a pin is registered before it is paired",
			steps: []step{{paired(pinA, ann), false}, {registered(keyA), true}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA}},
		},
		{
			name:  "a retired pin is not paired",
			steps: []step{{registered(keyA), true}, {retired(pinA), true}, {paired(pinA, ann), false}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Retired: 2}},
		},
		{
			name:   "an erased wearer is not paired",
			steps:  []step{{registered(keyA), true}, {erased(ann), true}, {paired(pinA, ann), false}, {paired(pinA, bob), true}},
			pins:   map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: bob, Paired: 4}},
			erased: []fact.WearerID{ann},
		},
		{
			name:  "the wearer of zeros is one like any other",
			steps: []step{{registered(keyA), true}, {paired(pinA, fact.WearerID{}), true}, {paired(pinA, ann), false}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Paired: 2}},
		},
		// Rule 3.
		{
			name:  "a pin is retired once",
			steps: []step{{registered(keyA), true}, {paired(pinA, ann), true}, {retired(pinA), true}, {retired(pinA), false}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 2, Retired: 3}},
		},
		{
			name:  "a pin that is not registered is not retired",
			steps: []step{{retired(pinA), false}, {registered(keyA), true}},
			pins:  map[fact.PinID]roster.Pin{pinA: {Key: keyA}},
		},
		{
			name:   "a wearer is erased once, and need not be known",
			steps:  []step{{erased(bob), true}, {erased(bob), false}, {erased(ann), true}},
			pins:   map[fact.PinID]roster.Pin{},
			erased: []fact.WearerID{ann, bob},
		},
		{
			name:   "an erased wearer's pins stay as they are",
			steps:  []step{{registered(keyA), true}, {paired(pinA, ann), true}, {erased(ann), true}, {retired(pinA), true}},
			pins:   map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 2, Retired: 4}},
			erased: []fact.WearerID{ann},
		},
		{
			name: "other facts have no effect",
			steps: []step{
				{fact.RulesAdopted{}, false},
				{fact.Restored{Epoch: 2, Kept: 1}, false},
				{fact.TimeCorrected{Time: -1}, false},
				{fact.HalfReported{Half: fact.Half{Pin: pinA}}, false},
				{fact.StepsReported{}, false},
				{fact.Unfriended{Wearer: ann, Pin: pinA}, false},
				{fact.Blocked{Wearer: ann, Pin: pinA}, false},
				{fact.Unblocked{Wearer: ann}, false},
				{fact.FriendshipRevoked{}, false},
				{fact.BackgroundChosen{Wearer: ann}, false},
				{fact.AwardRevoked{}, false},
				{fact.FriendshipFormed{Lo: ann, Hi: bob}, false},
				{fact.FriendshipEnded{}, false},
				{fact.HalfRefused{}, false},
				{fact.BackgroundUnlocked{}, false},
				{fact.MedalAwarded{}, false},
				{fact.StepGoalReached{}, false},
				{nil, false},
			},
			pins: map[fact.PinID]roster.Pin{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := view.NewMemory()
			for i, s := range tt.steps {
				e := fact.Entry{Seq: fact.Seq(i + 1), Record: fact.Record{Fact: s.fact}}
				if got := apply(t, store, e); got != s.effect {
					t.Errorf("sequence %d, %T: got effect %v, want %v", e.Seq, s.fact, got, s.effect)
				}
			}
			wantRoster(t, store, tt.pins, tt.erased)
		})
	}
}

// apply folds one fact. What had no effect must have left no trace.
func apply(t *testing.T, store view.Store, e fact.Entry) (effect bool) {
	t.Helper()
	before := digest(t, store)
	if err := store.Update(func(tx kv.Tx) error { effect = roster.Apply(tx, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if changed := digest(t, store) != before; changed != effect {
		t.Errorf("sequence %d: got effect %v, and a view that changed: %v", e.Seq, effect, changed)
	}
	return effect
}

func digest(t *testing.T, store view.Store) (d view.Digest) {
	t.Helper()
	if err := store.View(func(r view.Reader) error { d = view.DigestOf(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantRoster(t *testing.T, store view.Store, pins map[fact.PinID]roster.Pin, erased []fact.WearerID) {
	t.Helper()
	err := store.View(func(r view.Reader) error {
		got := map[fact.PinID]roster.Pin{}
		for _, id := range []fact.PinID{pinA, pinB, {}} {
			if p, ok := roster.PinByID(r, id); ok {
				got[id] = p
			} else if p != (roster.Pin{}) {
				t.Errorf("pin %v: got %+v for one that is not registered", id, p)
			}
		}
		if !maps.Equal(got, pins) {
			t.Errorf("got the pins %+v, want %+v", got, pins)
		}
		gone := map[fact.WearerID]bool{ann: false, bob: false}
		for _, w := range erased {
			gone[w] = true
		}
		for w, want := range gone {
			if got := roster.Erased(r, w); got != want {
				t.Errorf("wearer %v: got erased %v, want %v", w, got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPinsOf lists the pins of wearers: those that were ever paired with them, by one that took effect.
func TestPinsOf(t *testing.T) {
	store := view.NewMemory()
	keyC := fact.PublicKey{0xc}
	for i, f := range []fact.Fact{
		registered(keyA), registered(keyB), registered(keyC), paired(pinA, ann), paired(pinB, bob), paired(pinA, bob),
		paired(keyC.PinID(), ann), retired(pinA), erased(bob), paired(fact.PinID{1}, ann),
	} {
		apply(t, store, fact.Entry{Seq: fact.Seq(i + 1), Record: fact.Record{Fact: f}})
	}
	err := store.View(func(r view.Reader) error {
		for w, want := range map[fact.WearerID][]fact.PinID{ann: {pinA, keyC.PinID()}, bob: {pinB}, {3}: nil} {
			slices.SortFunc(want, func(a, b fact.PinID) int { return bytes.Compare(a[:], b[:]) })
			var got []fact.PinID
			for id, pin := range roster.PinsOf(r, w) {
				if p, _ := roster.PinByID(r, id); p != pin || pin.Wearer != w {
					t.Errorf("%v of %v: got %+v, want %+v", id, w, pin, p)
				}
				got = append(got, id)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: got the pins %v, want %v", w, got, want)
			}
			for id := range roster.PinsOf(r, w) { // one is enough for some
				if id != want[0] {
					t.Errorf("%v: got the first pin %v, want %v", w, id, want[0])
				}
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCount counts before a pin is registered, paired and retired, and behind each of these.
func TestCount(t *testing.T) {
	store := view.NewMemory()
	count := func(counter, want fact.Counter, known bool) {
		t.Helper()
		err := store.Update(func(tx kv.Tx) error {
			returned, gotKnown := roster.Count(tx, pinA, counter)
			p, _ := roster.PinByID(tx, pinA)
			if p.Counter != want || returned != p || gotKnown != known {
				t.Errorf("counted %d: got %+v and %+v, registered %v, want the counter %d, registered %v", counter, returned, p, gotKnown, want, known)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count(0, 0, false)
	count(7, 7, false)
	count(5, 7, false)
	for i, f := range []fact.Fact{registered(keyA), paired(pinA, ann), retired(pinA)} {
		if !apply(t, store, fact.Entry{Seq: fact.Seq(i + 1), Record: fact.Record{Fact: f}}) {
			t.Errorf("%T of a pin that was counted: got no effect", f)
		}
		last := fact.Counter(7 + i)
		count(last, last, true)
		count(last+1, last+1, true)
	}
	wantRoster(t, store, map[fact.PinID]roster.Pin{pinA: {Key: keyA, Wearer: ann, Paired: 2, Retired: 3, Counter: 10}}, nil)
}

// TestCorrected is the rest of rule 4: the time goes to where it is set, and passes on from there.
func TestCorrected(t *testing.T) {
	store := view.NewMemory()
	passed := func(at fact.UnixMilli) fact.Fact { return fact.TimePassed{Time: at} }
	corrected := func(at fact.UnixMilli) fact.Fact { return fact.TimeCorrected{Time: at} }
	for i, tt := range []struct {
		name   string
		fact   fact.Fact
		stored fact.UnixMilli
		want   fact.UnixMilli
	}{
		{"a wrong clock, and the log's too", passed(9000), 9000, 9000},
		{"back", corrected(100), 110, 100},
		{"to where it is", corrected(100), 120, 100},
		{"passing on", passed(130), 130, 130},
		{"the old time again", passed(9000), 140, 140},
		{"on", corrected(200), 250, 200},
		{"no further than it was stored", corrected(900), 300, 300},
		{"before the epoch", corrected(-7), 310, 0},
		{"on again", passed(50), 320, 50},
		{"stored before the epoch", corrected(400), -1, 0},
	} {
		e := fact.Entry{Seq: fact.Seq(i + 1), Stored: tt.stored, Record: fact.Record{Fact: tt.fact}}
		apply(t, store, e)
		if got := now(t, store); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestNow is rule 4: no single wrong clock runs the time ahead, and none sets it back.
func TestNow(t *testing.T) {
	store := view.NewMemory()
	for i, tt := range []struct {
		name            string
		claimed, stored fact.UnixMilli
		want            fact.UnixMilli
	}{
		{"before the epoch", -5, 1, 0},
		{"the epoch itself", 0, 1, 0},
		{"the first", 100, 110, 100},
		{"later", 150, 160, 150},
		{"a gateway's clock ahead", 1_000_000, 200, 200},
		{"the same again", 200, 210, 200},
		{"a gateway's clock behind", 50, 220, 200},
		{"the log's clock behind", 300, 190, 200},
		{"both ahead of what was", 230, 231, 230},
		{"a restored message, stored long ago", 240, 3, 230},
		{"clocks of one mind", 250, 250, 250},
		{"stored before the epoch", 300, -1, 250},
	} {
		e := fact.Entry{Seq: fact.Seq(i + 1), Stored: tt.stored, Record: fact.Record{Fact: fact.TimePassed{Time: tt.claimed}}}
		before := now(t, store)
		if got, want := apply(t, store, e), tt.want != before; got != want {
			t.Errorf("%s: got effect %v, want %v", tt.name, got, want)
		}
		if got := now(t, store); got != tt.want {
			t.Errorf("%s: claimed %d, stored %d: got %d, want %d", tt.name, tt.claimed, tt.stored, got, tt.want)
		}
	}
}

func now(t *testing.T, store view.Store) (at fact.UnixMilli) {
	t.Helper()
	if err := store.View(func(r view.Reader) error { at = roster.Now(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return at
}
