package server

import (
	"time"

	"golang.org/x/time/rate"

	"pinfold/internal/fact"
)

// maxLimited bounds the number of pins whose rate is remembered. A forgotten pin has its whole burst again.
const maxLimited = 100_000

// limiter bounds the statements of each pin.
type limiter struct {
	limits Limits
	pins   *recent[fact.PinID, *rate.Limiter]
}

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l, pins: newRecent[fact.PinID, *rate.Limiter](maxLimited)}
}

// giveBack takes back that a statement of the pin was allowed (docs/design.md section 7, Admission): the log did not take it.
func (l *limiter) giveBack(pin fact.PinID) {
	if one, ok := l.pins.get(pin); ok {
		one.AllowN(time.Now(), -1) // never above its burst: time adds no more than up to that
	}
}

func (l *limiter) allow(pin fact.PinID) bool {
	return l.pins.getOrPut(pin, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(l.limits.Rate), l.limits.Burst)
	}).Allow()
}
