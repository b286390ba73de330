// Package rules reads, checks and applies the rules of one Games, which are data: the default is Tokyo 2020, any other
// is a file. It is a pure leaf; everything that a fold asks of it is a function of the rules and the question alone.
//
// Rules come from Tokyo2020 or Parse, or from the log, whose codec calls Check. The functions that apply
// rules take it that Check has passed.
package rules

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"time"

	"pinfold/internal/fact"
)

//go:embed tokyo2020.json
var tokyo2020 []byte

// Tokyo2020 returns the default rules, docs/design.md section 3: 33 sports with a background for every 5 friends, medals at
// 50, 100 and 151 friends, Asia/Tokyo, 10,000 steps a day, halves kept for 14 days, always open.
// The caller may change what it gets.
func Tokyo2020() fact.Rules {
	r, err := Parse(tokyo2020)
	if err != nil {
		panic(fmt.Sprintf("rules: tokyo2020.json: %v", err))
	}
	return r
}

// Default returns the file of the default rules.
func Default() []byte { return slices.Clone(tokyo2020) }

// Same reports whether a and b are the same rules for a log whose last fact is of that instant (docs/design.md section 3): what
// governments decide about clocks later is no difference yet.
func Same(a, b fact.Rules, last fact.UnixMilli) bool {
	from, differ := DifferFrom(a, b)
	return !differ || last < from
}

// DifferFrom returns the instant from which on a and b are not the same rules, and false if they are for ever. That is the
// beginning of time, unless they differ in the zone alone.
func DifferFrom(a, b fact.Rules) (from fact.UnixMilli, differ bool) {
	zoneA, zoneB := a.Zone, b.Zone
	a.Zone, b.Zone = nil, nil
	// By reflection, so that no field added later is left out. It tells a nil list from an empty one, but Check
	// passes neither.
	if !reflect.DeepEqual(a, b) {
		return 0, true
	}
	return ZonesDifferFrom(zoneA, zoneB)
}

// Window is the part of the rules that says when taps and steps are taken, small enough for a fold to keep.
type Window struct {
	Opens       fact.UnixMilli // 0 = always
	Closes      fact.UnixMilli // 0 = always
	UploadGrace time.Duration
}

// WindowOf returns the window of the rules.
func WindowOf(r fact.Rules) Window {
	return Window{Opens: r.Opens, Closes: r.Closes, UploadGrace: r.UploadGrace}
}

// WindowSize is how many bytes a window takes.
const WindowSize = 3 * 8

// AppendWindow appends the form in which folds keep a window: opens, closes and grace, i64 milliseconds each.
func AppendWindow(dst []byte, w Window) []byte {
	for _, millis := range []int64{int64(w.Opens), int64(w.Closes), w.UploadGrace.Milliseconds()} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(millis))
	}
	return dst
}

// WindowFrom reads what AppendWindow has appended.
func WindowFrom(b []byte) Window {
	millis := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
	return Window{
		Opens: fact.UnixMilli(millis(0)), Closes: fact.UnixMilli(millis(1)),
		UploadGrace: time.Duration(millis(2)) * time.Millisecond,
	}
}

// Open reports whether taps and step reports are taken at now, a fold's time: from the opening on, through the last millisecond of the
// closing plus the grace. Both ends belong to the window (docs/design.md section 7, row 4: refused before opening, or past
// closing and grace).
func Open(w Window, now fact.UnixMilli) bool {
	if now < w.Opens {
		return false
	}
	return w.Closes == 0 || now <= w.Closes.Add(w.UploadGrace)
}

// Within reports whether the steps of a slot count, whenever they are taken: those of a slot that begins at the opening or
// later, and before the closing (docs/design.md section 3). The grace is for what comes late, not for what is walked late.
func Within(w Window, s fact.Slot) bool {
	return s.Start() >= w.Opens && (w.Closes == 0 || s.Start() < w.Closes)
}

// BackgroundsDue returns how many backgrounds a wearer with so many friends is due: the starters and one for every
// FriendsPerBackground friends, up to one for each sport (docs/design.md section 3).
func BackgroundsDue(r fact.Rules, friends uint32) int {
	due := uint64(r.StarterBackgrounds) + uint64(friends/r.FriendsPerBackground)
	return int(min(due, uint64(len(r.Sports))))
}

// ToNextBackground returns how many friends more a wearer needs for the next background, and false if none is left.
// Given counts the backgrounds of these rules that the wearer was ever given, revoked ones too: backgrounds are kept
// when friends go, so the friend count alone does not tell. 0 friends more means that the next one is due already,
// and comes with the next change of the count.
func ToNextBackground(r fact.Rules, friends uint32, given int) (more uint32, ok bool) {
	if given >= len(r.Sports) {
		return 0, false
	}
	if BackgroundsDue(r, friends) > given {
		return 0, true
	}
	// Not due means that the starters are among the given ones. The product fits: see maxSports and maxFriends.
	needed := (uint32(given) + 1 - r.StarterBackgrounds) * r.FriendsPerBackground
	return needed - friends, true
}

// Needed returns the number of friends, at least, that the medal takes (docs/design.md section 3).
// It panics when there is no such medal.
func Needed(r fact.Rules, m fact.Medal) uint32 {
	switch m {
	case fact.Bronze:
		return r.Medals.Bronze
	case fact.Silver:
		return r.Medals.Silver
	case fact.Gold:
		return r.Medals.Gold
	}
	panic(fmt.Sprintf("rules: no such medal: %v", m))
}

// MedalDue reports whether a wearer with so many friends is due the medal.
func MedalDue(r fact.Rules, m fact.Medal, friends uint32) bool { return friends >= Needed(r, m) }

// ToNextMedal returns the medal after given and how many friends more it takes, and false if none is left. Given is the
// highest medal that the wearer was ever given, a revoked one too; 0 is none. 0 friends more means that the medal is
// due already, and comes with the next change of the count.
func ToNextMedal(r fact.Rules, friends uint32, given fact.Medal) (next fact.Medal, more uint32, ok bool) {
	if given >= fact.Gold {
		return 0, 0, false
	}
	next = given + 1
	return next, max(Needed(r, next), friends) - friends, true
}

// slotsPerDay is the number of quarter hours in a day of 24 hours.
const slotsPerDay = 96

// LocalDay returns the local calendar day in which the slot begins. Slots before the first entry of the zone use it.
// The zone must be as Check passes it.
func LocalDay(zone []fact.ZoneOffset, s fact.Slot) fact.Day {
	local := int64(s) + int64(quartersOf(zone, s))
	if local < 0 {
		// Division truncates towards zero, and these slots are of 31 December 1969.
		local -= slotsPerDay - 1
	}
	return fact.Day(local / slotsPerDay)
}

// ZonesDifferFrom returns the beginning of the first slot whose local time is not the same in both zones, and false if
// there is none. The zones must be as Check passes them.
func ZonesDifferFrom(a, b []fact.ZoneOffset) (from fact.UnixMilli, differ bool) {
	slots := []fact.Slot{0} // from which on an offset may be another one
	for _, z := range slices.Concat(a, b) {
		slots = append(slots, z.From)
	}
	slices.Sort(slots)
	for _, s := range slots {
		if quartersOf(a, s) != quartersOf(b, s) {
			return s.Start(), true
		}
	}
	return 0, false
}

// quartersOf returns the offset of the zone in the slot, in quarter hours.
func quartersOf(zone []fact.ZoneOffset, s fact.Slot) int8 {
	later := sort.Search(len(zone), func(i int) bool { return zone[i].From > s })
	return zone[max(later-1, 0)].Quarters
}
