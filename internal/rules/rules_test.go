package rules_test

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

func TestTokyo2020(t *testing.T) {
	got := rules.Tokyo2020()
	want := fact.Rules{
		Name:                 "Tokyo 2020",
		Sports:               got.Sports,
		FriendsPerBackground: 5,
		StarterBackgrounds:   0,
		Medals:               fact.Thresholds{Bronze: 50, Silver: 100, Gold: 151},
		Zone:                 []fact.ZoneOffset{{From: 0, Quarters: 36}},
		StepGoal:             10_000,
		PendingFor:           14 * 24 * time.Hour,
		UploadGrace:          7 * 24 * time.Hour,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Tokyo2020() = %+v, want %+v", got, want)
	}
}

// The ids as docs/design.md section 3 lists them: they are in every log, and their order decides who gets which background.
func TestTokyo2020Sports(t *testing.T) {
	want := []string{
		"aquatics", "archery", "athletics", "badminton", "baseball-softball", "basketball", "boxing", "canoe", "cycling",
		"equestrian", "fencing", "football", "golf", "gymnastics", "handball", "hockey", "judo", "karate",
		"modern-pentathlon", "rowing", "rugby", "sailing", "shooting", "skateboarding", "sport-climbing", "surfing",
		"table-tennis", "taekwondo", "tennis", "triathlon", "volleyball", "weightlifting", "wrestling",
	}
	var got []string
	for _, s := range rules.Tokyo2020().Sports {
		got = append(got, s.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("sports %v, want %v", got, want)
	}
}

func TestTokyo2020IsTheCallers(t *testing.T) {
	rules.Tokyo2020().Sports[0].ID = "changed"
	if got, want := rules.Tokyo2020().Sports[0].ID, "aquatics"; got != want {
		t.Errorf("first sport %q after a caller's change, want %q", got, want)
	}
}

func TestSame(t *testing.T) {
	changes := map[string]func(*fact.Rules){
		"name":           func(r *fact.Rules) { r.Name += "!" },
		"sport":          func(r *fact.Rules) { r.Sports[32].French = "Lutte!" },
		"sports":         func(r *fact.Rules) { r.Sports = r.Sports[:32] },
		"order":          func(r *fact.Rules) { r.Sports[0], r.Sports[1] = r.Sports[1], r.Sports[0] },
		"per":            func(r *fact.Rules) { r.FriendsPerBackground++ },
		"starters":       func(r *fact.Rules) { r.StarterBackgrounds++ },
		"bronze":         func(r *fact.Rules) { r.Medals.Bronze++ },
		"silver":         func(r *fact.Rules) { r.Medals.Silver++ },
		"gold":           func(r *fact.Rules) { r.Medals.Gold++ },
		"zone entry":     func(r *fact.Rules) { r.Zone[0].Quarters++ },
		"zone entries":   func(r *fact.Rules) { r.Zone = append(r.Zone, fact.ZoneOffset{From: 1_000_000}) },
		"step goal":      func(r *fact.Rules) { r.StepGoal++ },
		"pending for":    func(r *fact.Rules) { r.PendingFor++ },
		"opening":        func(r *fact.Rules) { r.Opens++ },
		"closing":        func(r *fact.Rules) { r.Closes++ },
		"upload grace":   func(r *fact.Rules) { r.UploadGrace++ },
		"nothing at all": nil,
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			a, b := rules.Tokyo2020(), rules.Tokyo2020()
			want := change == nil
			if !want {
				change(&b)
			}
			for _, last := range []fact.UnixMilli{0, math.MaxInt64} {
				want := want || name == "zone entries" && last == 0
				if got := rules.Same(a, b, last); got != want {
					t.Errorf("Same at %d = %v, want %v", last, got, want)
				}
				if got := rules.Same(b, a, last); got != want {
					t.Errorf("Same the other way at %d = %v, want %v", last, got, want)
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	const opens, closes, grace = 1_000_000, 2_000_000, 500 * time.Second
	tests := []struct {
		name   string
		window rules.Window
		now    fact.UnixMilli
		want   bool
	}{
		{"no window", rules.Window{}, 0, true},
		{"no window, grace alone", rules.Window{UploadGrace: grace}, math.MaxInt64, true},
		{"just before the opening", rules.Window{Opens: opens}, opens - 1, false},
		{"at the opening", rules.Window{Opens: opens}, opens, true},
		{"never closed", rules.Window{Opens: opens}, math.MaxInt64, true},
		{"never opened", rules.Window{Closes: closes}, 0, true},
		{"at the closing", rules.Window{Closes: closes}, closes, true},
		{"just after the closing", rules.Window{Closes: closes}, closes + 1, false},
		{"at the end of the grace", rules.Window{Closes: closes, UploadGrace: grace}, closes + 500_000, true},
		{"just after the grace", rules.Window{Closes: closes, UploadGrace: grace}, closes + 500_001, false},
		{"in between", rules.Window{Opens: opens, Closes: closes, UploadGrace: grace}, 1_500_000, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rules.Tokyo2020()
			r.Opens, r.Closes, r.UploadGrace = tt.window.Opens, tt.window.Closes, tt.window.UploadGrace
			if got := rules.WindowOf(r); got != tt.window {
				t.Errorf("WindowOf = %+v, want %+v", got, tt.window)
			}
			if got := rules.Open(tt.window, tt.now); got != tt.want {
				t.Errorf("Open(%+v, %d) = %v, want %v", tt.window, tt.now, got, tt.want)
			}
		})
	}
}

func TestWindowAsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rules.Window{
			Opens: fact.UnixMilli(rapid.Int64().Draw(t, "opens")), Closes: fact.UnixMilli(rapid.Int64().Draw(t, "closes")),
			UploadGrace: time.Duration(rapid.Int64Range(0, 366*24*3600*1000).Draw(t, "grace")) * time.Millisecond,
		}
		b := rules.AppendWindow([]byte("before"), want)
		if got := rules.WindowFrom(b[len("before"):]); got != want || len(b) != len("before")+rules.WindowSize {
			t.Errorf("got %+v from %d bytes, want %+v", got, len(b), want)
		}
	})
}

func TestWithin(t *testing.T) {
	const slot fact.Slot = 1_807_776
	start := slot.Start()
	tests := []struct {
		name   string
		window rules.Window
		want   bool
	}{
		{"no window", rules.Window{}, true},
		{"it begins at the opening", rules.Window{Opens: start}, true},
		{"it begins just before the opening", rules.Window{Opens: start + 1}, false},
		{"it begins just before the closing", rules.Window{Closes: start + 1}, true},
		{"it begins at the closing", rules.Window{Closes: start}, false},
		{"in the grace", rules.Window{Closes: start, UploadGrace: time.Hour}, false},
		{"in between", rules.Window{Opens: start - 1, Closes: start + 1}, true},
	}
	for _, tt := range tests {
		if got := rules.Within(tt.window, slot); got != tt.want {
			t.Errorf("%s: Within = %v, want %v", tt.name, got, tt.want)
		}
	}
	if !rules.Within(rules.Window{Opens: 1}, math.MaxUint32) {
		t.Error("the last slot of all is before the opening")
	}
}

func TestBackgroundsDue(t *testing.T) {
	tests := []struct {
		starters, friends uint32
		want              int
	}{
		{0, 0, 0},
		{0, 4, 0},
		{0, 5, 1},
		{0, 9, 1},
		{0, 10, 2},
		{0, 164, 32},
		{0, 165, 33},
		{0, 166, 33},
		{0, 170, 33},
		{0, math.MaxUint32, 33},
		{5, 0, 5},
		{5, 4, 5},
		{5, 5, 6},
		{5, 139, 32},
		{5, 140, 33},
		{5, 145, 33},
		{33, 0, 33},
		{33, math.MaxUint32, 33},
	}
	for _, tt := range tests {
		r := rules.Tokyo2020()
		r.StarterBackgrounds = tt.starters
		if got := rules.BackgroundsDue(r, tt.friends); got != tt.want {
			t.Errorf("BackgroundsDue of %d starters and %d friends = %d, want %d", tt.starters, tt.friends, got, tt.want)
		}
	}
}

func TestToNextBackground(t *testing.T) {
	tests := []struct {
		name              string
		starters, friends uint32
		given             int
		wantMore          uint32
		wantOK            bool
	}{
		{"nobody met", 0, 0, 0, 5, true},
		{"one friend short", 0, 4, 0, 1, true},
		{"just unlocked", 0, 5, 1, 5, true},
		{"last one ahead", 0, 164, 32, 1, true},
		{"all", 0, 165, 33, 0, false},
		{"all, and more friends", 0, 166, 33, 0, false},
		{"all kept by one who lost every friend", 0, 0, 33, 0, false},
		{"more than these rules have", 0, 7, 40, 0, false},
		{"kept after unfriending", 0, 8, 2, 7, true},
		{"kept by one who lost every friend", 0, 0, 2, 15, true},
		{"due already", 0, 12, 1, 0, true},
		{"starters", 5, 0, 5, 5, true},
		{"starters not given yet", 5, 0, 0, 0, true},
		{"starters and one more", 5, 7, 6, 3, true},
		{"starters are all", 33, 0, 33, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rules.Tokyo2020()
			r.StarterBackgrounds = tt.starters
			more, ok := rules.ToNextBackground(r, tt.friends, tt.given)
			if more != tt.wantMore || ok != tt.wantOK {
				t.Errorf("ToNextBackground = %d, %v, want %d, %v", more, ok, tt.wantMore, tt.wantOK)
			}
		})
	}
}

// What ToNextBackground promises is what BackgroundsDue then gives, and not a friend earlier.
func TestToNextBackgroundIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rules.Tokyo2020()
		r.StarterBackgrounds = rapid.Uint32Range(0, 33).Draw(t, "starters")
		r.FriendsPerBackground = rapid.Uint32Range(1, 1_000_000).Draw(t, "per")
		friends := rapid.Uint32Range(0, 40*r.FriendsPerBackground).Draw(t, "friends")
		given := rapid.IntRange(rules.BackgroundsDue(r, friends), 33).Draw(t, "given")

		more, ok := rules.ToNextBackground(r, friends, given)
		if want := given < 33; ok != want {
			t.Fatalf("ok = %v with %d given, want %v", ok, given, want)
		}
		if !ok {
			return
		}
		if got, want := rules.BackgroundsDue(r, friends+more), given+1; got != want {
			t.Errorf("%d due with %d friends more, want %d", got, more, want)
		}
		if got := rules.BackgroundsDue(r, friends+more-1); got > given {
			t.Errorf("%d due with a friend less, want at most %d", got, given)
		}
	})
}

func TestMedals(t *testing.T) {
	r := rules.Tokyo2020()
	tests := []struct {
		friends uint32
		want    []fact.Medal
	}{
		{0, nil},
		{49, nil},
		{50, []fact.Medal{fact.Bronze}},
		{99, []fact.Medal{fact.Bronze}},
		{100, []fact.Medal{fact.Bronze, fact.Silver}},
		{150, []fact.Medal{fact.Bronze, fact.Silver}},
		{151, fact.Medals()},
		{math.MaxUint32, fact.Medals()},
	}
	for _, tt := range tests {
		var got []fact.Medal
		for _, m := range fact.Medals() {
			if rules.MedalDue(r, m, tt.friends) {
				got = append(got, m)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("medals due to %d friends: %v, want %v", tt.friends, got, tt.want)
		}
	}
}

func TestNeeded(t *testing.T) {
	for medal, want := range map[fact.Medal]uint32{fact.Bronze: 50, fact.Silver: 100, fact.Gold: 151} {
		if got := rules.Needed(rules.Tokyo2020(), medal); got != want {
			t.Errorf("Needed(%v) = %d, want %d", medal, got, want)
		}
	}
}

func TestNeededOfNoMedalPanics(t *testing.T) {
	defer func() {
		if got, want := recover(), "rules: no such medal: Medal(4)"; got != want {
			t.Errorf("panic %v, want %v", got, want)
		}
	}()
	rules.Needed(rules.Tokyo2020(), fact.Gold+1)
}

func TestToNextMedal(t *testing.T) {
	tests := []struct {
		friends  uint32
		given    fact.Medal
		want     fact.Medal
		wantMore uint32
		wantOK   bool
	}{
		{0, 0, fact.Bronze, 50, true},
		{49, 0, fact.Bronze, 1, true},
		{50, 0, fact.Bronze, 0, true},
		{50, fact.Bronze, fact.Silver, 50, true},
		{40, fact.Bronze, fact.Silver, 60, true},
		{99, fact.Bronze, fact.Silver, 1, true},
		{100, fact.Silver, fact.Gold, 51, true},
		{150, fact.Silver, fact.Gold, 1, true},
		{500, fact.Silver, fact.Gold, 0, true},
		{151, fact.Gold, 0, 0, false},
		{0, fact.Gold, 0, 0, false},
	}
	for _, tt := range tests {
		got, more, ok := rules.ToNextMedal(rules.Tokyo2020(), tt.friends, tt.given)
		if got != tt.want || more != tt.wantMore || ok != tt.wantOK {
			t.Errorf("ToNextMedal of %d friends after %v = %v, %d, %v, want %v, %d, %v",
				tt.friends, tt.given, got, more, ok, tt.want, tt.wantMore, tt.wantOK)
		}
	}
}
