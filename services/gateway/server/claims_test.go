package server

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
)

// somewhen is a time of the folds.
const somewhen fact.UnixMilli = 1_626_998_400_000

const day = 24 * time.Hour

// TestClaims goes through the lives of clocks. Unless it says otherwise, the folds know each claim at once.
func TestClaims(t *testing.T) {
	type step struct {
		passes  time.Duration // by the monotonic clock
		ahead   time.Duration // of the clock: of what passed by the monotonic one since the start
		want    time.Duration // the claim, after the start
		verdict verdict
	}
	for name, steps := range map[string][]step{
		"a right clock": {
			{0, 0, 0, fits},
			{time.Minute, 0, time.Minute, fits},
			{time.Hour, 0, time.Hour + time.Minute, fits},
		},
		"a clock that drifts and is set": {
			{0, 0, 0, fits},
			{4 * time.Hour, 204 * time.Second, 4*time.Hour + 204*time.Second, fits}, // a hundredth, and a minute
			{time.Minute, 0, 4*time.Hour + time.Minute, fits},
			{time.Minute, 60600 * time.Millisecond, 4*time.Hour + 2*time.Minute + 60600*time.Millisecond, fits},
			{4 * time.Hour, 264601 * time.Millisecond, 8*time.Hour + 2*time.Minute + 264601*time.Millisecond, jumped},
		},
		"twenty seconds in 2036": {
			{0, 0, 0, fits},
			{time.Minute, 0, time.Minute, fits},
			{15 * time.Second, 15 * 365 * day, 75 * time.Second, doubted},
			{15 * time.Second, 15 * 365 * day, 90 * time.Second, doubting},
			{15 * time.Second, 0, 105 * time.Second, fits},
		},
		"a start after a day": {
			{0, day, day, fits},
			{time.Minute, day, day + time.Minute, fits},
		},
		"a start after a day and a millisecond": {
			{0, day + time.Millisecond, 0, doubted},
			{time.Hour - 1, day + time.Millisecond, time.Hour - time.Millisecond, doubting},
			{1, day + time.Millisecond, day + time.Hour + time.Millisecond, believed},
			{time.Minute, day + time.Millisecond, day + time.Hour + time.Minute + time.Millisecond, fits},
		},
		"a machine that slept for a night": {
			{0, 0, 0, fits},
			{time.Minute, 8 * time.Hour, 8*time.Hour + time.Minute, jumped},
			{time.Minute, 8 * time.Hour, 8*time.Hour + 2*time.Minute, fits},
		},
		"another jump begins the hour anew": {
			{0, 0, 0, fits},
			{time.Minute, 2 * day, time.Minute, doubted},
			{59 * time.Minute, 3 * day, time.Hour, doubted},
			{59 * time.Minute, 3 * day, time.Hour + 59*time.Minute, doubting},
			{time.Minute, 3 * day, 3*day + 2*time.Hour, believed},
		},
		"so does a moment of sense": {
			{0, 0, 0, fits},
			{time.Minute, 2 * day, time.Minute, doubted},
			{59 * time.Minute, 0, time.Hour, fits},
			{time.Minute, 2 * day, time.Hour + time.Minute, doubted},
			{59 * time.Minute, 2 * day, 2 * time.Hour, doubting},
		},
		"a clock in doubt may be set a little": {
			{0, 0, 0, fits},
			{time.Minute, 2 * day, time.Minute, doubted},
			{time.Hour, 2*day - time.Minute, 2*day + time.Hour, believed},
		},
		"set back, and right again": {
			{0, 0, 0, fits},
			{time.Minute, -3 * day, -3*day + time.Minute, fits},
			{time.Hour, 0, time.Hour + time.Minute, jumped}, // from where the folds stayed
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c claims
			folds, mono := somewhen, time.Duration(0)
			for i, s := range steps {
				mono += s.passes
				claim, due, v := c.next(reading{wall: somewhen.Add(mono + s.ahead), mono: mono, folds: folds})
				if want := somewhen.Add(s.want); claim != want || v != s.verdict {
					t.Fatalf("step %d: claims %v, verdict %d; want %v, %d (due %v)", i, claim, v, want, s.verdict, due)
				}
				folds = max(folds, claim)
				c.last = claim
			}
		})
	}
}

// TestClaimsCorrected: behind a correction of the folds' time, earlier or later, all begins anew with that time.
func TestClaimsCorrected(t *testing.T) {
	var c claims
	mono := time.Duration(0)
	next := func(passes, ahead time.Duration, folds fact.UnixMilli, corrected fact.Seq) (time.Duration, verdict) {
		mono += passes
		claim, _, v := c.next(reading{wall: somewhen.Add(mono + ahead), mono: mono, folds: folds, corrected: corrected})
		return time.Duration(claim-somewhen) * time.Millisecond, v
	}
	const years = 15 * 365 * day
	next(0, 0, somewhen, 0)
	next(time.Minute, years, somewhen, 0)
	if claim, v := next(time.Hour, years, somewhen, 0); claim < years || v != believed {
		t.Fatalf("got %v, %d, want the wrong time, which the clock has said for an hour", claim, v)
	}
	c.last = somewhen.Add(years)
	corrected := somewhen.Add(time.Hour)
	if claim, v := next(time.Minute, years, corrected, 9); claim != time.Hour || v != doubted || c.last != 0 {
		t.Errorf("got %v, %d, and %v as the last claim, want the time that was set, and doubt", claim, v, c.last)
	}
	if claim, v := next(59*time.Minute, years, corrected, 9); claim != time.Hour+59*time.Minute || v != doubting {
		t.Errorf("got %v, %d, want it to go on from the time that was set", claim, v)
	}
	if claim, v := next(time.Minute, 0, corrected, 9); claim != mono || v != jumped {
		t.Errorf("got %v, %d, want the right clock believed", claim, v)
	}
	// Later: who knows that the clock is right need not wait for an hour.
	next(time.Minute, 3*day, corrected, 9)
	ahead := somewhen.Add(mono + 3*day)
	if claim, v := next(0, 3*day, ahead, 10); claim != time.Duration(ahead-somewhen)*time.Millisecond || v != fits {
		t.Errorf("got %v, %d, want the clock believed", claim, v)
	}
}

// TestClaimsNeverAhead: whatever a clock shows, for less than an hour at a time and more than a day ahead, no claim is later
// than what it is; and each time that it is right, it is claimed.
func TestClaimsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c claims
		mono, folds := time.Duration(0), somewhen
		wrongFor, ahead := time.Duration(0), time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "readings") {
			passes := time.Duration(rapid.IntRange(1, 30*60).Draw(t, "seconds")) * time.Second
			mono += passes
			wrongFor += passes
			switch {
			case wrongFor >= doubtFor || rapid.Bool().Draw(t, "right"):
				wrongFor, ahead = 0, 0
			case ahead == 0 || rapid.Bool().Draw(t, "another"):
				if ahead == 0 {
					wrongFor = 0
				}
				ahead = day + 2*time.Hour + time.Duration(rapid.Int64Range(0, int64(20*365*day)).Draw(t, "ahead"))
			}
			now := somewhen.Add(mono)
			claim, _, _ := c.next(reading{wall: somewhen.Add(mono + ahead), mono: mono, folds: folds})
			if claim > now || ahead == 0 && claim != now {
				t.Fatalf("at %v, with a clock %v ahead, claims %v", now, ahead, claim)
			}
			if rapid.Bool().Draw(t, "written") {
				folds, c.last = max(folds, claim), claim
			}
		}
	})
}

// TestClaimsComeTrue: a clock that goes on saying the same is believed within an hour and a reading, however far ahead it is.
func TestClaimsComeTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c claims
		mono := time.Duration(rapid.Int64Range(0, int64(1000*day)).Draw(t, "up for"))
		ahead := time.Duration(rapid.Int64Range(0, int64(80*365*day)).Draw(t, "ahead"))
		folds := somewhen.Add(mono)
		if rapid.Bool().Draw(t, "right before") {
			c.next(reading{wall: folds, mono: mono, folds: folds})
		}
		for began := mono; mono < began+doubtFor+30*time.Second; mono += 15 * time.Second {
			claim, _, _ := c.next(reading{wall: somewhen.Add(mono + ahead), mono: mono, folds: folds})
			folds, c.last = max(folds, claim), claim
		}
		if wall := somewhen.Add(mono - 15*time.Second + ahead); folds != wall {
			t.Fatalf("after more than an hour the folds are at %v, want %v", folds, wall)
		}
	})
}
