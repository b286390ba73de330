package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// in2100 is the first instant that rules cannot name.
var in2100 = fact.UnixMilli(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())

func sportsOf(n int) []fact.Sport {
	sports := make([]fact.Sport, n)
	for i := range sports {
		sports[i] = fact.Sport{ID: fmt.Sprint("sport-", i), English: "E", Japanese: "日", French: "F"}
	}
	return sports
}

func zoneOfLength(n int) []fact.ZoneOffset {
	zone := make([]fact.ZoneOffset, n)
	for i := range zone {
		zone[i] = fact.ZoneOffset{From: fact.Slot(i), Quarters: int8(i % 2)}
	}
	return zone
}

// Each row breaks one rule, and no other.
func TestCheckRefuses(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		name string
		edit func(*fact.Rules)
		want string
	}{
		{"no name", func(r *fact.Rules) { r.Name = "" }, `name "": must not be empty`},
		{"long name", func(r *fact.Rules) { r.Name = long }, `name "` + long + `": has 65 bytes: must be at most 64`},
		{"name not UTF-8", func(r *fact.Rules) { r.Name = "a\xff" }, `name "a\xff": must be UTF-8 without replacement characters`},
		{"name with a replacement", func(r *fact.Rules) { r.Name = "a\ufffd" }, `name "a�": must be UTF-8 without replacement characters`},
		{"name with control", func(r *fact.Rules) { r.Name = "a\x1b[2J" }, `name "a\x1b[2J": must not hold control characters`},

		{"no sports", func(r *fact.Rules) { r.Sports = nil }, `sports: 0 of them: must be 1 to 120`},
		{"many sports", func(r *fact.Rules) { r.Sports = sportsOf(121) }, `sports: 121 of them: must be 1 to 120`},
		{"no id", func(r *fact.Rules) { r.Sports[2].ID = "" }, `sports[2].id "": must be 1 to 32 of a-z, 0-9 and -`},
		{"long id", func(r *fact.Rules) { r.Sports[2].ID = long[:33] }, `sports[2].id "` + long[:33] + `": must be 1 to 32 of a-z, 0-9 and -`},
		{"id in capitals", func(r *fact.Rules) { r.Sports[2].ID = "Judo" }, `sports[2].id "Judo": must be 1 to 32 of a-z, 0-9 and -`},
		{"id of other letters", func(r *fact.Rules) { r.Sports[2].ID = "karaté" }, `sports[2].id "karaté": must be 1 to 32 of a-z, 0-9 and -`},
		{"id twice", func(r *fact.Rules) { r.Sports[2].ID = r.Sports[0].ID }, `sports[2].id "aquatics": must be unique`},
		{"no English", func(r *fact.Rules) { r.Sports[1].English = "" }, `sports[1].english "": must not be empty`},
		{"no Japanese", func(r *fact.Rules) { r.Sports[1].Japanese = "" }, `sports[1].japanese "": must not be empty`},
		{"no French", func(r *fact.Rules) { r.Sports[1].French = "" }, `sports[1].french "": must not be empty`},
		{"long French", func(r *fact.Rules) { r.Sports[1].French = long }, `sports[1].french "` + long + `": has 65 bytes: must be at most 64`},
		{"Japanese not UTF-8", func(r *fact.Rules) { r.Sports[1].Japanese = "\xe6" }, `sports[1].japanese "\xe6": must be UTF-8 without replacement characters`},
		{"English with control", func(r *fact.Rules) { r.Sports[1].English = "\n" }, `sports[1].english "\n": must not hold control characters`},

		{"no friends for a background", func(r *fact.Rules) { r.FriendsPerBackground = 0 }, `friends_per_background 0: must be 1 to 1000000`},
		{"many friends for a background", func(r *fact.Rules) { r.FriendsPerBackground = 1_000_001 }, `friends_per_background 1000001: must be 1 to 1000000`},
		{"many starters", func(r *fact.Rules) { r.StarterBackgrounds = 34 }, `starter_backgrounds 34: must be at most the number of sports, 33`},

		{"bronze for nothing", func(r *fact.Rules) { r.Medals.Bronze = 0 }, `medals.bronze 0: must be at least 1`},
		{"silver as bronze", func(r *fact.Rules) { r.Medals.Silver = 50 }, `medals.silver 50: must be more than medals.bronze, 50`},
		{"gold as silver", func(r *fact.Rules) { r.Medals.Gold = 100 }, `medals.gold 100: must be more than medals.silver, 100`},
		{"far gold", func(r *fact.Rules) { r.Medals.Gold = 1_000_001 }, `medals.gold 1000001: must be at most 1000000`},

		{"no step goal", func(r *fact.Rules) { r.StepGoal = 0 }, `step_goal 0: must be 1 to 1000000`},
		{"high step goal", func(r *fact.Rules) { r.StepGoal = 1_000_001 }, `step_goal 1000001: must be 1 to 1000000`},

		{"pending short", func(r *fact.Rules) { r.PendingFor = time.Minute - time.Millisecond }, `pending_for 59.999s: must be 1m0s to 8784h0m0s`},
		{"pending negative", func(r *fact.Rules) { r.PendingFor = -time.Hour }, `pending_for -1h0m0s: must be 1m0s to 8784h0m0s`},
		{"pending long", func(r *fact.Rules) { r.PendingFor = 8784*time.Hour + time.Millisecond }, `pending_for 8784h0m0.001s: must be 1m0s to 8784h0m0s`},
		{"pending of odd length", func(r *fact.Rules) { r.PendingFor = time.Hour + 1 }, `pending_for 1h0m0.000000001s: must be a whole number of milliseconds`},

		{"opens before 1970", func(r *fact.Rules) { r.Opens = -1 }, `opens 1969-12-31T23:59:59.999Z: must not be before 1970`},
		{"opens late", func(r *fact.Rules) { r.Opens = in2100 }, `opens 2100-01-01T00:00:00.000Z: must be before 2100`},
		{"closes before 1970", func(r *fact.Rules) { r.Closes = -1 }, `closes 1969-12-31T23:59:59.999Z: must not be before 1970`},
		{"closes late", func(r *fact.Rules) { r.Closes = in2100 }, `closes 2100-01-01T00:00:00.000Z: must be before 2100`},
		{"closes as it opens", func(r *fact.Rules) { r.Opens, r.Closes = 5, 5 }, `closes 1970-01-01T00:00:00.005Z: must be after opens, 1970-01-01T00:00:00.005Z`},
		{"closes before it opens", func(r *fact.Rules) { r.Opens, r.Closes = 5, 4 }, `closes 1970-01-01T00:00:00.004Z: must be after opens, 1970-01-01T00:00:00.005Z`},
		{"grace negative", func(r *fact.Rules) { r.UploadGrace = -time.Millisecond }, `upload_grace -1ms: must be 0s to 8784h0m0s`},
		{"grace long", func(r *fact.Rules) { r.UploadGrace = 8784*time.Hour + time.Millisecond }, `upload_grace 8784h0m0.001s: must be 0s to 8784h0m0s`},
		{"grace of odd length", func(r *fact.Rules) { r.UploadGrace = time.Microsecond }, `upload_grace 1µs: must be a whole number of milliseconds`},

		{"no zone", func(r *fact.Rules) { r.Zone = nil }, `zone: 0 entries: must be 1 to 512`},
		{"long zone", func(r *fact.Rules) { r.Zone = zoneOfLength(513) }, `zone: 513 entries: must be 1 to 512`},
		{"zone standing still", func(r *fact.Rules) { r.Zone = []fact.ZoneOffset{{From: 7}, {From: 7, Quarters: 1}} }, `zone[1].from 7: must be after that of the entry before, 7`},
		{"zone going back", func(r *fact.Rules) { r.Zone = []fact.ZoneOffset{{From: 7}, {From: 6, Quarters: 1}} }, `zone[1].from 6: must be after that of the entry before, 7`},
		{"zone far west", func(r *fact.Rules) { r.Zone[0].Quarters = -49 }, `zone[0].quarters -49: must be -48 to 56`},
		{"zone far east", func(r *fact.Rules) { r.Zone[0].Quarters = 57 }, `zone[0].quarters 57: must be -48 to 56`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rules.Tokyo2020()
			tt.edit(&r)
			err := rules.Check(r)
			if err == nil {
				t.Fatalf("Check passed, want error %s", tt.want)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("Check:\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// The last values that each bound admits.
func TestCheckPasses(t *testing.T) {
	edge := strings.Repeat("x", 64)
	tests := []struct {
		name string
		edit func(*fact.Rules)
	}{
		{"the default", func(*fact.Rules) {}},
		{"longest name", func(r *fact.Rules) { r.Name = edge }},
		{"one sport", func(r *fact.Rules) { r.Sports = sportsOf(1) }},
		{"most sports", func(r *fact.Rules) { r.Sports = sportsOf(120) }},
		{"longest id", func(r *fact.Rules) { r.Sports[0].ID = edge[:32] }},
		{"shortest id", func(r *fact.Rules) { r.Sports[0].ID = "-" }},
		{"longest French", func(r *fact.Rules) { r.Sports[0].French = edge }},
		{"a friend for each background", func(r *fact.Rules) { r.FriendsPerBackground = 1 }},
		{"most friends for a background", func(r *fact.Rules) { r.FriendsPerBackground = 1_000_000 }},
		{"all are starters", func(r *fact.Rules) { r.StarterBackgrounds = 33 }},
		{"nearest medals", func(r *fact.Rules) { r.Medals = fact.Thresholds{Bronze: 1, Silver: 2, Gold: 3} }},
		{"farthest gold", func(r *fact.Rules) { r.Medals.Gold = 1_000_000 }},
		{"lowest step goal", func(r *fact.Rules) { r.StepGoal = 1 }},
		{"highest step goal", func(r *fact.Rules) { r.StepGoal = 1_000_000 }},
		{"shortest pending", func(r *fact.Rules) { r.PendingFor = time.Minute }},
		{"longest pending", func(r *fact.Rules) { r.PendingFor = 366 * 24 * time.Hour }},
		{"opens only", func(r *fact.Rules) { r.Opens = in2100 - 1 }},
		{"closes only", func(r *fact.Rules) { r.Closes = 1 }},
		{"open for a millisecond", func(r *fact.Rules) { r.Opens, r.Closes = 5, 6 }},
		{"no grace", func(r *fact.Rules) { r.UploadGrace = 0 }},
		{"longest grace", func(r *fact.Rules) { r.UploadGrace = 366 * 24 * time.Hour }},
		{"longest zone", func(r *fact.Rules) { r.Zone = zoneOfLength(512) }},
		{"zone that starts late", func(r *fact.Rules) { r.Zone[0].From = 9 }},
		{"farthest west", func(r *fact.Rules) { r.Zone[0].Quarters = -48 }},
		{"farthest east", func(r *fact.Rules) { r.Zone[0].Quarters = 56 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rules.Tokyo2020()
			tt.edit(&r)
			if err := rules.Check(r); err != nil {
				t.Errorf("Check: got %v, want no error", err)
			}
		})
	}
}
