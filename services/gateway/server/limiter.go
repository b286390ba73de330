package server

import (
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

func (l *limiter) allow(pin fact.PinID) bool {
	return l.pins.getOrPut(pin, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(l.limits.Rate), l.limits.Burst)
	}).Allow()
}
