package audit_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// settings makes the change of `--set`.
func settings(list ...string) func(fact.Rules) (fact.Rules, error) {
	return func(r fact.Rules) (fact.Rules, error) { return audit.ChangeRules(r, list) }
}

func whatIf(t testing.TB, messages []eventlog.Message, change func(fact.Rules) (fact.Rules, error)) *audit.WhatIfResult {
	t.Helper()
	r, err := audit.WhatIf(context.Background(), each(messages, nil), change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hubWorld has six wearers: a is a friend of all, b of c and d, e of f. The friends are 5, 3, 2, 2, 2, 2.
// Between the two halves of e and f pass two hours; c walks 1200 steps, d 800. It returns when b met c.
func hubWorld(t testing.TB) (w *verifyWorld, all []*client.Pin, noon fact.UnixMilli) {
	w = newVerifyWorld(t)
	for range 6 {
		all = append(all, w.wearer())
	}
	for _, p := range all[1:] {
		w.meet(all[0], p)
	}
	first, second := w.halves(all[4], all[5])
	w.add(first)
	w.now = w.now.Add(2 * time.Hour)
	noon = w.now
	w.add(fact.TimePassed{Time: noon})
	w.meet(all[1], all[2])
	w.meet(all[1], all[3])
	w.add(second)
	w.walk(all[2], 1200)
	w.walk(all[3], 800)
	return w, all, noon
}

// change is an audit.Change of the i-th pin's wearer, with as many friends after as before.
func change(all []*client.Pin, i int, friends uint32, c audit.Change) audit.Change {
	c.Wearer, c.FriendsBefore = wearerOf(all[i]).String(), friends
	if c.FriendsAfter == 0 {
		c.FriendsAfter = friends
	}
	return c
}

func TestWhatIf(t *testing.T) {
	w, all, noon := hubWorld(t)
	before := audit.Outcome{
		Friendships: 8, FriendshipsFormed: 8, Bronze: 6, Silver: 2, Gold: 1, Backgrounds: 2 + 1 + 1 + 1 + 1 + 1, StepGoals: 1,
	}
	medals := func(list ...string) []string { return list }
	five := []string{"aquatics", "archery", "athletics", "badminton", "baseball-softball"}
	aquatics := five[:1]
	for name, tt := range map[string]struct {
		settings []string
		after    func(o *audit.Outcome)
		want     []audit.Change
	}{
		"nothing":        {nil, func(*audit.Outcome) {}, nil},
		"the same value": {[]string{"medals.silver=3", "step_goal=1000"}, func(*audit.Outcome) {}, nil},
		"five starters": {[]string{"starter_backgrounds=5"}, func(o *audit.Outcome) { o.Backgrounds += 30 }, []audit.Change{
			change(all, 0, 5, audit.Change{BackgroundsGained: []string{"athletics", "badminton", "baseball-softball", "basketball", "boxing"}}),
			change(all, 1, 3, audit.Change{BackgroundsGained: []string{"archery", "athletics", "badminton", "baseball-softball", "basketball"}}),
			change(all, 2, 2, audit.Change{BackgroundsGained: []string{"archery", "athletics", "badminton", "baseball-softball", "basketball"}}),
			change(all, 3, 2, audit.Change{BackgroundsGained: []string{"archery", "athletics", "badminton", "baseball-softball", "basketball"}}),
			change(all, 4, 2, audit.Change{BackgroundsGained: []string{"archery", "athletics", "badminton", "baseball-softball", "basketball"}}),
			change(all, 5, 2, audit.Change{BackgroundsGained: []string{"archery", "athletics", "badminton", "baseball-softball", "basketball"}}),
		}},
		"fewer backgrounds": {[]string{"friends_per_background=5"}, func(o *audit.Outcome) { o.Backgrounds = 1 }, []audit.Change{
			change(all, 0, 5, audit.Change{BackgroundsLost: []string{"archery"}}),
			change(all, 1, 3, audit.Change{BackgroundsLost: aquatics}),
			change(all, 2, 2, audit.Change{BackgroundsLost: aquatics}),
			change(all, 3, 2, audit.Change{BackgroundsLost: aquatics}),
			change(all, 4, 2, audit.Change{BackgroundsLost: aquatics}),
			change(all, 5, 2, audit.Change{BackgroundsLost: aquatics}),
		}},
		"silver lowered": {
			[]string{"medals.bronze=1", "medals.silver=2"},
			func(o *audit.Outcome) { o.Silver = 6 },
			[]audit.Change{
				change(all, 2, 2, audit.Change{MedalsGained: medals("silver")}),
				change(all, 3, 2, audit.Change{MedalsGained: medals("silver")}),
				change(all, 4, 2, audit.Change{MedalsGained: medals("silver")}),
				change(all, 5, 2, audit.Change{MedalsGained: medals("silver")}),
			},
		},
		"medals raised": {
			[]string{`medals={"bronze": 3, "silver": 5, "gold": 6}`},
			func(o *audit.Outcome) { o.Bronze, o.Silver, o.Gold = 2, 1, 0 },
			[]audit.Change{
				change(all, 0, 5, audit.Change{MedalsLost: medals("gold")}),
				change(all, 1, 3, audit.Change{MedalsLost: medals("silver")}),
				change(all, 2, 2, audit.Change{MedalsLost: medals("bronze")}),
				change(all, 3, 2, audit.Change{MedalsLost: medals("bronze")}),
				change(all, 4, 2, audit.Change{MedalsLost: medals("bronze")}),
				change(all, 5, 2, audit.Change{MedalsLost: medals("bronze")}),
			},
		},
		"goal lowered": {[]string{"step_goal=800"}, func(o *audit.Outcome) { o.StepGoals = 2 }, []audit.Change{
			change(all, 3, 2, audit.Change{GoalsGained: 1}),
		}},
		"goal raised": {[]string{"step_goal=1201"}, func(o *audit.Outcome) { o.StepGoals = 0 }, []audit.Change{
			change(all, 2, 2, audit.Change{GoalsLost: 1}),
		}},
		"halves kept for an hour": {
			[]string{"pending_for=1h"},
			func(o *audit.Outcome) { o.Friendships, o.FriendshipsFormed, o.Bronze, o.Backgrounds = 7, 7, 4, 5 },
			[]audit.Change{
				change(all, 4, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics}),
				change(all, 5, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics}),
			},
		},
		"closed before noon": {
			[]string{"closes=" + (noon - 1).String(), "upload_grace=0s"},
			func(o *audit.Outcome) {
				o.Friendships, o.FriendshipsFormed, o.Bronze, o.Silver, o.Backgrounds, o.StepGoals = 5, 5, 1, 1, 2, 0
			},
			[]audit.Change{
				change(all, 1, 3, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze", "silver"), BackgroundsLost: aquatics}),
				change(all, 2, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics, GoalsLost: 1}),
				change(all, 3, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics}),
				change(all, 4, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics}),
				change(all, 5, 2, audit.Change{FriendsAfter: 1, MedalsLost: medals("bronze"), BackgroundsLost: aquatics}),
			},
		},
		"open at noon": {
			[]string{"closes=" + noon.String(), "upload_grace=0s"},
			func(*audit.Outcome) {}, nil,
		},
		"an hour more": {
			[]string{"closes=" + (noon - 1).String(), "upload_grace=1h"},
			func(*audit.Outcome) {}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := whatIf(t, w.messages(), settings(tt.settings...))
			after := before
			tt.after(&after)
			if r.Before != before || r.After != after {
				t.Errorf("before %+v, after\n%+v, want before %+v, after\n%+v", r.Before, r.After, before, after)
			}
			slices.SortFunc(tt.want, func(a, b audit.Change) int { return compareWearers(t, a.Wearer, b.Wearer) })
			if got := slices.Collect(r.Changes()); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("changes\n%+v, want\n%+v", got, tt.want)
			}
			if int(r.Facts) != len(w.messages()) {
				t.Errorf("%d facts, want %d", r.Facts, len(w.messages()))
			}
		})
	}
}

// compareWearers orders wearers by their bytes, as their texts do not.
func compareWearers(t testing.TB, a, b string) int {
	idA, errA := fact.ParseWearerID(a)
	idB, errB := fact.ParseWearerID(b)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return slices.Compare(idA[:], idB[:])
}

// TestWhatIfChangesStop leaves the loop early.
func TestWhatIfChangesStop(t *testing.T) {
	w, _, _ := hubWorld(t)
	n := 0
	for range whatIf(t, w.messages(), settings("starter_backgrounds=5")).Changes() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d changes", n)
	}
}

// TestWhatIfOtherTap ends friendships that under the other rules were formed by another tap.
func TestWhatIfOtherTap(t *testing.T) {
	for name, end := range map[string]func(w *verifyWorld, p *client.Pin, cause fact.Seq){
		"unfriended": func(w *verifyWorld, p *client.Pin, cause fact.Seq) {
			w.add(fact.Unfriended{Wearer: wearerOf(p), Pin: p.ID(), Counter: 1000, Friendship: cause})
		},
		"revoked": func(w *verifyWorld, _ *client.Pin, cause fact.Seq) {
			w.add(fact.FriendshipRevoked{Friendship: cause, Reason: fact.RevokedFraud})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := emptyVerifyWorld(t)
			r := verifyRules()
			r.PendingFor = time.Hour
			w.add(fact.RulesAdopted{Rules: r}, fact.TimePassed{Time: w.now})
			a, b := w.wearer(), w.wearer()
			first, second := w.halves(a, b)
			w.add(first)
			w.now = w.now.Add(2 * time.Hour)
			w.add(fact.TimePassed{Time: w.now})
			w.add(second)
			open := whatIf(t, w.messages(), settings("pending_for=3h"))
			if open.Before.Friendships != 0 || open.After.Friendships != 1 || len(slices.Collect(open.Changes())) != 2 {
				t.Errorf("the late tap: before %+v, after %+v", open.Before, open.After)
			}
			first, second = w.halves(a, b)
			w.add(first)
			cause := w.add(second)
			end(w, a, cause)
			got := whatIf(t, w.messages(), settings("pending_for=3h"))
			if got.Before.Friendships != 0 || got.After.Friendships != 0 || got.After.FriendshipsFormed != 1 {
				t.Errorf("before %+v, after %+v, want none after", got.Before, got.After)
			}
			if changes := slices.Collect(got.Changes()); changes != nil {
				t.Errorf("changes %+v, want none", changes)
			}
		})
	}
}

// TestWhatIfOtherAward revokes awards that under the other rules have other causes and places.
func TestWhatIfOtherAward(t *testing.T) {
	w, all, _ := hubWorld(t)
	a := wearerOf(all[0])
	gold, archery := awardOf(t, w, a, "gold"), awardOf(t, w, a, "archery")
	w.add(gold)
	w.add(archery)
	w.add(gold) // and in vain: it is revoked already
	w.add(fact.AwardRevoked{Cause: gold.Cause, Index: 2, Reason: fact.RevokedError})
	for _, change := range []string{"starter_backgrounds=1", "friends_per_background=1", "medals.gold=5", "medals={\"bronze\":1,\"silver\":2,\"gold\":3}"} {
		for c := range whatIf(t, w.messages(), settings(change)).Changes() {
			if c.Wearer == a.String() && (slices.Contains(c.MedalsGained, "gold") || slices.Contains(c.BackgroundsGained, "archery") || len(c.MedalsLost)+len(c.BackgroundsLost) > 0) {
				t.Errorf("%s: %+v", change, c)
			}
		}
	}
}

// TestWhatIfInVain repeats commands that have no effect any more.
func TestWhatIfInVain(t *testing.T) {
	t.Run("unfriended again", func(t *testing.T) {
		w := newVerifyWorld(t)
		a, b := w.wearer(), w.wearer()
		first, second := w.halves(a, b)
		w.add(first)
		cause := w.add(second)
		command := fact.Unfriended{Wearer: wearerOf(a), Pin: a.ID(), Friendship: cause}
		w.add(command)
		w.meet(a, b)
		w.add(command)
		r := whatIf(t, w.messages(), settings("starter_backgrounds=1"))
		if r.Before.Friendships != 1 || r.After.Friendships != 1 {
			t.Errorf("before %+v, after %+v, want one friendship", r.Before, r.After)
		}
	})
	t.Run("revoked again", func(t *testing.T) {
		w := newVerifyWorld(t)
		a := w.wearer()
		for range 2 {
			w.meet(a, w.wearer())
		}
		aquatics := awardOf(t, w, wearerOf(a), "aquatics")
		w.add(aquatics)
		w.meet(a, w.wearer())
		w.add(aquatics) // under the other rules it was given meanwhile
		want := []audit.Change{change([]*client.Pin{a}, 0, 3, audit.Change{BackgroundsGained: []string{"aquatics"}})}
		if got := slices.Collect(whatIf(t, w.messages(), settings("friends_per_background=3")).Changes()); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// awardOf returns the command that revokes the wearer's medal or background.
func awardOf(t testing.TB, w *verifyWorld, of fact.WearerID, award string) fact.AwardRevoked {
	t.Helper()
	for _, m := range w.messages() {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		medal, _ := e.Fact.(fact.MedalAwarded)
		background, _ := e.Fact.(fact.BackgroundUnlocked)
		if medal.Wearer == of && medal.Medal.String() == award || background.Wearer == of && background.Background == award {
			return fact.AwardRevoked{Cause: e.Derivation.Cause, Index: e.Derivation.Index, Reason: fact.RevokedError}
		}
	}
	t.Fatalf("no %s", award)
	panic("unreachable")
}

// TestWhatIfOtherAwardUnrecorded revokes an award that under the other rules follows from a friendship that was never
// recorded, between others that were.
func TestWhatIfOtherAwardUnrecorded(t *testing.T) {
	w := emptyVerifyWorld(t)
	r := verifyRules()
	r.PendingFor, r.Medals.Bronze = time.Hour, 1
	w.add(fact.RulesAdopted{Rules: r}, fact.TimePassed{Time: w.now})
	var all []*client.Pin
	for range 7 {
		all = append(all, w.wearer())
	}
	first, second := w.halves(all[0], all[1])
	w.add(first)
	third, fourth := w.halves(all[2], all[3])
	w.add(third)
	w.now = w.now.Add(2 * time.Hour)
	w.add(fact.TimePassed{Time: w.now})
	w.add(second, fourth)
	w.meet(all[4], all[5])
	w.meet(all[0], all[6])
	w.add(awardOf(t, w, wearerOf(all[0]), "bronze"))
	got := whatIf(t, w.messages(), settings("pending_for=3h"))
	if got.Before.Bronze != 3 || got.After.Bronze != 6 {
		t.Errorf("%d and %d hold bronze, want 3 and 6", got.Before.Bronze, got.After.Bronze)
	}
	for c := range got.Changes() {
		if c.MedalsLost != nil || c.Wearer == wearerOf(all[0]).String() && c.MedalsGained != nil && !slices.Equal(c.MedalsGained, []string{"silver"}) {
			t.Errorf("%+v", c)
		}
	}
}

func TestWhatIfErrors(t *testing.T) {
	w, _, _ := hubWorld(t)
	messages := w.messages()
	zone := func(r fact.Rules) (fact.Rules, error) {
		r.Zone = rules.Tokyo2020().Zone[:1]
		r.Zone[0].Quarters++
		return r, nil
	}
	bad := func(r fact.Rules) (fact.Rules, error) { r.StepGoal = 0; return r, nil }
	lost := errors.New("connection lost")
	undecodable := slices.Clone(messages)
	undecodable[4].Payload = []byte{0xff}
	for name, tt := range map[string]struct {
		cut      bool // the context is
		messages []eventlog.Message
		err      error
		change   func(fact.Rules) (fact.Rules, error)
		want     string
	}{
		"another zone":    {false, messages, nil, zone, "sequence 1: time_zone: must stay that of the log"},
		"rules no good":   {false, messages, nil, bad, "sequence 1: step_goal 0: must be"},
		"unknown key":     {false, messages, nil, settings("medal=1"), `rules adopted at sequence 1: "medal": unknown key`},
		"reading fails":   {false, messages, lost, settings(), "connection lost"},
		"interrupted":     {true, messages, nil, settings(), "context canceled"},
		"not to be read":  {false, undecodable, nil, settings(), "log: sequence 5"},
		"nothing to fold": {false, nil, nil, settings(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if tt.cut {
				cancel()
			}
			_, err := audit.WhatIf(ctx, each(tt.messages, tt.err), tt.change)
			if got := errorText(err); !strings.Contains(got, tt.want) || (tt.want == "") != (err == nil) {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestChangeRules(t *testing.T) {
	full := verifyRules()
	full.Name, full.Opens, full.Closes = `<"Ｔ">&`, 1_500_000_000_001, 1_600_000_000_000
	full.UploadGrace, full.StarterBackgrounds = 1500*time.Millisecond, 3
	for _, r := range []fact.Rules{rules.Tokyo2020(), verifyRules(), full} {
		if got, err := audit.ChangeRules(r, nil); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("unchanged: got %+v, error %v, want %+v", got, err, r)
		}
	}
	for setting, want := range map[string]func(*fact.Rules){
		"name=Paris 2024":             func(r *fact.Rules) { r.Name = "Paris 2024" },
		"name=2024":                   func(r *fact.Rules) { r.Name = "2024" },
		`name="2024"`:                 func(r *fact.Rules) { r.Name = "2024" },
		"friends_per_background=7":    func(r *fact.Rules) { r.FriendsPerBackground = 7 },
		"starter_backgrounds=5":       func(r *fact.Rules) { r.StarterBackgrounds = 5 },
		"medals.bronze=1":             func(r *fact.Rules) { r.Medals.Bronze = 1 },
		"medals.gold=20":              func(r *fact.Rules) { r.Medals.Gold = 20 },
		"step_goal=1":                 func(r *fact.Rules) { r.StepGoal = 1 },
		"pending_for=90m":             func(r *fact.Rules) { r.PendingFor = 90 * time.Minute },
		"opens=":                      func(r *fact.Rules) { r.Opens = 0 },
		"closes=":                     func(r *fact.Rules) { r.Closes = 0 },
		"closes=2030-01-01T00:00:00Z": func(r *fact.Rules) { r.Closes = 1_893_456_000_000 },
		"upload_grace=0s":             func(r *fact.Rules) { r.UploadGrace = 0 },
		`sports=[{"id":"go","english":"Go","japanese":"囲碁","french":"Go"},{"id":"a","english":"A","japanese":"B","french":"C"},{"id":"b","english":"A","japanese":"B","french":"C"}]`: func(r *fact.Rules) {
			r.Sports = []fact.Sport{{ID: "go", English: "Go", Japanese: "囲碁", French: "Go"}, {ID: "a", English: "A", Japanese: "B", French: "C"}, {ID: "b", English: "A", Japanese: "B", French: "C"}}
		},
	} {
		r := full
		want(&r)
		if got, err := audit.ChangeRules(full, []string{setting}); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, error %v, want %+v", setting, got, err, r)
		}
	}
	// Settings may need each other.
	if got, err := audit.ChangeRules(full, []string{"medals.silver=50", "medals.gold=60", "medals.silver=51"}); err != nil || got.Medals != (fact.Thresholds{Bronze: 2, Silver: 51, Gold: 60}) {
		t.Errorf("got %+v, error %v", got.Medals, err)
	}
	for setting, want := range map[string]string{
		"medals.silver":     `setting "medals.silver": must be KEY=VALUE`,
		"":                  `setting "": must be KEY=VALUE`,
		"=1":                `"": unknown key`,
		"silver=1":          `"silver": unknown key`,
		"medals.tin=1":      `"medals.tin": unknown key`,
		"name.first=1":      `"name.first": unknown key`,
		"sports.0.id=x":     `"sports.0.id": unknown key`,
		"medals=1":          "medals 1: must be an object",
		"medals.silver=x":   `medals.silver "x": must be a whole number`,
		"medals.silver=":    `medals.silver "": must be a whole number`,
		"medals.silver=-1":  `medals.silver "-1": must be a whole number`,
		"medals.silver=1":   "medals.silver 1: must be more than medals.bronze, 2",
		"pending_for=1":     `pending_for "1": must be a duration`,
		"pending_for=1s":    "pending_for 1s: must be 1m0s",
		"closes=2000":       `closes 2000: must be a string`,
		"opens=now":         `opens "now": must be RFC 3339`,
		"time_zone=UTC":     "time_zone: must stay that of the log",
		"time_zone.name=ab": `"time_zone.name": unknown key`,
	} {
		if _, err := audit.ChangeRules(verifyRules(), []string{setting}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", setting, err, want)
		}
	}
}
