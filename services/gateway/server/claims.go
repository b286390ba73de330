package server

import (
	"time"

	"pinfold/internal/fact"
)

const (
	// maxJump is how far ahead of what it was expected to show a clock may be, and is believed at once.
	maxJump = 24 * time.Hour
	// doubtFor is for how long a clock that is further ahead must say so.
	doubtFor = time.Hour
	// clockDrift is by which part of the time that passes a right clock may differ from the monotonic one.
	clockDrift = 100
	// clockSteps is what a right clock is set by now and then, and not worth a word.
	clockSteps = time.Minute
)

// claims says what time a gateway may claim in the log. Where both share a clock, the folds take whatever that shows, for
// good. So the clock of the machine is believed as far as the monotonic one has come, and further with care
// (docs/design.md section 6, "Time is a fact"). The zero claims know of no time yet.
type claims struct {
	base      fact.UnixMilli // the last time that was believed
	at        time.Duration  // when, by the monotonic clock
	last      fact.UnixMilli // claimed last; 0 = nothing that holds back the next claim
	corrected fact.Seq       // the last correction that was seen
	begun     bool
	doubt     doubt
}

// reading is what a gateway knows of the time at one moment.
type reading struct {
	wall      fact.UnixMilli // by the clock of the machine
	mono      time.Duration  // by one that nobody sets, and that stands still while the machine sleeps
	folds     fact.UnixMilli // by the folds
	corrected fact.Seq       // of the last TimeCorrected that they have folded; 0 = none
}

// verdict is what became of a reading of the clock.
type verdict uint8

const (
	fits     verdict = iota // the clock shows what was expected, or less
	jumped                  // it is ahead, and believed at once
	doubted                 // it is too far ahead to be: from now on it is in doubt
	doubting                // it still is
	believed                // it has said so for long enough
)

// doubt is a clock that is too far ahead to be believed at once.
type doubt struct {
	wall, due fact.UnixMilli // what it showed when that began, and what was expected; 0 = it is not in doubt
	began     time.Duration  // by the monotonic clock
}

// next returns the time that may be claimed now, and the one that was expected, to which the monotonic clock leads. The claim
// is what the clock shows, or, while that is in doubt, what was expected. Behind a correction it begins anew, with the time that an operator has set: else it would claim the wrong
// one again a minute later.
func (c *claims) next(r reading) (claim, due fact.UnixMilli, v verdict) {
	begins := !c.begun
	if begins || r.corrected != c.corrected {
		*c = claims{base: r.folds, at: r.mono, corrected: r.corrected, begun: true}
	}
	if r.wall < c.last {
		c.last = 0 // the clock was set back to what is right
	}
	passed := r.mono - c.at
	due = max(c.base.Add(passed), r.folds)
	switch {
	case r.wall <= due.Add(passed/clockDrift+clockSteps):
	case r.wall <= due.Add(maxJump):
		if !begins { // nobody knows for how long it was stopped
			v = jumped
		}
	case !c.doubt.goesOn(r):
		c.doubt = doubt{wall: r.wall, due: due, began: r.mono}
		return due, due, doubted
	case r.mono-c.doubt.began < doubtFor:
		return due, due, doubting
	default:
		v = believed
	}
	c.base, c.at, c.doubt = r.wall, r.mono, doubt{}
	return r.wall, due, v
}

// goesOn reports whether the clock has run on since the doubt began, and still says the same.
func (d doubt) goesOn(r reading) bool {
	passed := r.mono - d.began
	off := time.Duration(r.wall-d.wall.Add(passed)) * time.Millisecond
	return d.wall != 0 && off.Abs() <= passed/clockDrift+clockSteps
}
