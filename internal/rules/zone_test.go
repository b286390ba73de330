package rules

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
)

func slotAt(t *testing.T, instant string) fact.Slot {
	t.Helper()
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil || at.Unix()%secondsPerQuarter != 0 {
		t.Fatalf("%s is no slot: %v", instant, err)
	}
	return fact.Slot(at.Unix() / secondsPerQuarter)
}

func TestLocalDay(t *testing.T) {
	tests := []struct {
		zone, name, instant, want string
	}{
		{"Asia/Tokyo", "last slot of a day", "2021-07-23T23:45:00+09:00", "2021-07-23"},
		{"Asia/Tokyo", "midnight", "2021-07-24T00:00:00+09:00", "2021-07-24"},
		{"Asia/Tokyo", "the first slot of all", "1970-01-01T00:00:00Z", "1970-01-01"},
		{"America/New_York", "the epoch is yesterday there", "1970-01-01T00:00:00Z", "1969-12-31"},
		{"America/New_York", "last slot before 1970 there", "1970-01-01T04:45:00Z", "1969-12-31"},
		{"America/New_York", "1970 begins there", "1970-01-01T05:00:00Z", "1970-01-01"},
		{"Asia/Kathmandu", "last slot of a day", "2021-07-23T18:00:00Z", "2021-07-23"},
		{"Asia/Kathmandu", "midnight", "2021-07-23T18:15:00Z", "2021-07-24"},
		{"Europe/Paris", "last slot of winter's day", "2021-03-27T22:45:00Z", "2021-03-27"},
		{"Europe/Paris", "midnight before the day of 23 hours", "2021-03-27T23:00:00Z", "2021-03-28"},
		{"Europe/Paris", "last slot of the day of 23 hours", "2021-03-28T21:45:00Z", "2021-03-28"},
		{"Europe/Paris", "midnight after it", "2021-03-28T22:00:00Z", "2021-03-29"},
		{"Europe/Paris", "midnight before the day of 25 hours", "2021-10-30T22:00:00Z", "2021-10-31"},
		{"Europe/Paris", "last slot of the day of 25 hours", "2021-10-31T22:45:00Z", "2021-10-31"},
		{"Europe/Paris", "midnight after it, later", "2021-10-31T23:00:00Z", "2021-11-01"},
		{"Australia/Lord_Howe", "midnight before the day of 24.5 hours", "2021-04-03T13:00:00Z", "2021-04-04"},
		{"Australia/Lord_Howe", "last slot of the day of 24.5 hours", "2021-04-04T13:15:00Z", "2021-04-04"},
		{"Australia/Lord_Howe", "midnight after it", "2021-04-04T13:30:00Z", "2021-04-05"},
		{"Australia/Lord_Howe", "midnight before the day of 23.5 hours", "2021-10-02T13:30:00Z", "2021-10-03"},
		{"Australia/Lord_Howe", "midnight after it, sooner", "2021-10-03T13:00:00Z", "2021-10-04"},
		{"Pacific/Apia", "last day before the one left out", "2011-12-30T09:45:00Z", "2011-12-29"},
		{"Pacific/Apia", "day after the one left out", "2011-12-30T10:00:00Z", "2011-12-31"},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.name, func(t *testing.T) {
			zone, err := zoneNamed(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			if got := LocalDay(zone, slotAt(t, tt.instant)).String(); got != tt.want {
				t.Errorf("LocalDay at %s = %s, want %s", tt.instant, got, tt.want)
			}
		})
	}
}

func TestLocalDayBeforeTheFirstEntry(t *testing.T) {
	zone := []fact.ZoneOffset{{From: 1000, Quarters: 4}, {From: 2000, Quarters: 0}}
	tests := map[fact.Slot]fact.Day{0: 0, 91: 0, 92: 1, 999: 10, 1999: 20, 2000: 20, 1<<32 - 1: 44739242}
	for slot, want := range tests {
		if got := LocalDay(zone, slot); got != want {
			t.Errorf("LocalDay(%d) = %d, want %d", slot, got, want)
		}
	}
}

// Against the arithmetic of package time, near each change and anywhere else in the years of the table.
func TestLocalDayAgreesWithTime(t *testing.T) {
	type place struct {
		location *time.Location
		table    []fact.ZoneOffset
	}
	places := map[string]place{}
	names := []string{
		"Asia/Tokyo", "Asia/Kathmandu", "Europe/Paris", "Australia/Lord_Howe", "America/New_York", "America/St_Johns",
		"Pacific/Chatham", "Pacific/Apia", "Pacific/Kiritimati", "Africa/Casablanca", "America/Caracas", "UTC",
	}
	for _, name := range names {
		location, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		table, err := zoneNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		places[name] = place{location, table}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := places[rapid.SampledFrom(names).Draw(t, "zone")]
		slot := fact.Slot(rapid.Int64Range(tableFrom/secondsPerQuarter, tableTo/secondsPerQuarter-1).Draw(t, "slot"))
		if change := rapid.SampledFrom(p.table).Draw(t, "change"); change.From != 0 && rapid.Bool().Draw(t, "near") {
			slot = change.From + fact.Slot(rapid.IntRange(0, 200).Draw(t, "after")) - 100
		}
		if got, want := LocalDay(p.table, slot), dayByTime(p.location, slot); got != want {
			t.Errorf("LocalDay(%d), %v UTC: %v, want %v", slot, slot.Start(), got, want)
		}
	})
}

func dayByTime(location *time.Location, s fact.Slot) fact.Day {
	year, month, day := time.UnixMilli(int64(s.Start())).In(location).Date()
	return fact.Day(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay)
}

func TestZoneNamed(t *testing.T) {
	apia, err := zoneNamed("Pacific/Apia")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		got  fact.ZoneOffset
		want fact.ZoneOffset
	}{
		{"first entry", apia[0], fact.ZoneOffset{From: 0, Quarters: -44}},
		{"first summer time", apia[1], fact.ZoneOffset{From: slotAt(t, "2010-09-26T11:00:00Z"), Quarters: -40}},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.got, tt.want)
		}
	}
}

// Africa/Monrovia was 44 minutes and 30 seconds behind until 1972.
func TestZoneNamedLeavesOldOddOffsetsOut(t *testing.T) {
	got, err := zoneNamed("Africa/Monrovia")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != (fact.ZoneOffset{}) {
		t.Errorf("zone %+v, want one entry of offset 0", got)
	}
}

// A change in a leap year past the changes listed in the database, where Time.ZoneBounds goes wrong.
func TestZoneNamedGoesOnAfterLeapYears(t *testing.T) {
	got, err := zoneNamed("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	want := fact.ZoneOffset{From: slotAt(t, "2099-10-25T01:00:00Z"), Quarters: 4}
	if last := got[len(got)-1]; last != want {
		t.Errorf("last entry %+v, want %+v", last, want)
	}
}

func TestZoneOfRefuses(t *testing.T) {
	tests := []struct {
		name   string
		offset int
		want   string
	}{
		{"odd seconds", 9*3600 + 1, "its offset at 2000-01-01T00:00:00Z is 9h0m1s: must be whole quarter hours"},
		{"odd minutes", -20 * 60, "its offset at 2000-01-01T00:00:00Z is -20m0s: must be whole quarter hours"},
		{"far east", 14*3600 + 900, "its offset at 2000-01-01T00:00:00Z is 14h15m0s: must be -12h to 14h"},
		{"far west", -12*3600 - 900, "its offset at 2000-01-01T00:00:00Z is -12h15m0s: must be -12h to 14h"},
		{"past eight bits", 64 * 3600, "its offset at 2000-01-01T00:00:00Z is 64h0m0s: must be -12h to 14h"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := zoneOf(time.FixedZone("odd", tt.offset))
			if err == nil {
				t.Fatalf("zone %+v, want error %s", zone, tt.want)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("error %s, want %s", got, tt.want)
			}
		})
	}
}

// Tables of 1 or 2 entries stand for those of Africa/Casablanca: 2025b of the database knows of the changes of clocks up to
// 2087, later ones of none after a year from now.
func TestZonesDifferFrom(t *testing.T) {
	at := func(from fact.Slot, quarters int8) fact.ZoneOffset {
		return fact.ZoneOffset{From: from, Quarters: quarters}
	}
	for name, tt := range map[string]struct {
		a, b []fact.ZoneOffset
		want fact.Slot // 0 = from the beginning
		same bool
	}{
		"one table":                           {[]fact.ZoneOffset{at(0, 4)}, []fact.ZoneOffset{at(0, 4)}, 0, true},
		"another offset":                      {[]fact.ZoneOffset{at(0, 4)}, []fact.ZoneOffset{at(0, 8)}, 0, false},
		"a change that the other lacks":       {[]fact.ZoneOffset{at(0, 4), at(100, 0)}, []fact.ZoneOffset{at(0, 4)}, 100, false},
		"a change sooner":                     {[]fact.ZoneOffset{at(0, 4), at(100, 0)}, []fact.ZoneOffset{at(0, 4), at(90, 0)}, 90, false},
		"a change to another offset":          {[]fact.ZoneOffset{at(0, 4), at(100, 0)}, []fact.ZoneOffset{at(0, 4), at(100, 8)}, 100, false},
		"a change that changes nothing":       {[]fact.ZoneOffset{at(0, 4), at(100, 4)}, []fact.ZoneOffset{at(0, 4)}, 0, true},
		"the first entry holds before it too": {[]fact.ZoneOffset{at(100, 4)}, []fact.ZoneOffset{at(0, 4)}, 0, true},
		"the last slot":                       {[]fact.ZoneOffset{at(0, 4), at(1<<32-1, 0)}, []fact.ZoneOffset{at(0, 4)}, 1<<32 - 1, false},
	} {
		for _, order := range [][2][]fact.ZoneOffset{{tt.a, tt.b}, {tt.b, tt.a}} {
			from, differ := ZonesDifferFrom(order[0], order[1])
			if differ == tt.same || from != tt.want.Start() {
				t.Errorf("%s: differ from %v on, %t; want %v, %t", name, from, differ, tt.want.Start(), !tt.same)
			}
		}
	}
}

// Whatever the tables, before that slot all days are the same, and in it the local times are not.
func TestZonesDifferFromIsExact(t *testing.T) {
	anyZone := rapid.Custom(func(t *rapid.T) []fact.ZoneOffset {
		zone := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) fact.ZoneOffset {
			return fact.ZoneOffset{From: fact.Slot(rapid.IntRange(0, 60).Draw(t, "from")), Quarters: int8(rapid.IntRange(-1, 1).Draw(t, "quarters"))}
		}), 1, 5, func(z fact.ZoneOffset) fact.Slot { return z.From }).Draw(t, "zone")
		slices.SortFunc(zone, func(a, b fact.ZoneOffset) int { return cmp.Compare(a.From, b.From) })
		return zone
	})
	offset := func(zone []fact.ZoneOffset, s fact.Slot) int8 {
		q := zone[0].Quarters
		for _, z := range zone {
			if z.From <= s {
				q = z.Quarters
			}
		}
		return q
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyZone.Draw(t, "a"), anyZone.Draw(t, "b")
		from, differ := ZonesDifferFrom(a, b)
		for s := fact.Slot(0); s < 70; s++ {
			if offset(a, s) != offset(b, s) {
				if !differ || from != s.Start() {
					t.Fatalf("they differ from slot %d on, got %v, %t", s, from, differ)
				}
				return
			}
		}
		if differ {
			t.Fatalf("they never differ, got %v", from)
		}
	})
}
