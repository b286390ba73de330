package gateway

import (
	"fmt"
	"math"
	"time"

	"pinfold/internal/fact"
)

// Reason says why admission refused something. The numbers are those of pinfold.gateway.v1.Reason.
type Reason uint8

// The reasons that a core can give, in the order in which admission checks.
const (
	UnknownMagic     Reason = 2
	Malformed        Reason = 3
	ReservedNotZero  Reason = 4
	SelfTap          Reason = 5
	UnknownPin       Reason = 6
	RetiredPin       Reason = 7
	UnpairedPin      Reason = 8
	Closed           Reason = 16
	BadSignature     Reason = 9
	UnknownPeer      Reason = 10
	FromFuture       Reason = 11
	ImplausibleSteps Reason = 12
	RateLimited      Reason = 13
	KeyMismatch      Reason = 20
	PairedElsewhere  Reason = 24
	ChallengeExpired Reason = 25
)

// Refusal is an error that tells what was refused, and why.
type Refusal struct {
	Reason   Reason
	Detail   string        // the field, the value and the rule
	RetryFor time.Duration // for how long the same thing may yet be taken: what the log knows and what time it is do change; 0 = no end is known, see Retry
}

func (r *Refusal) Error() string { return r.Detail }

// Retry reports whether the same thing may yet be taken: within RetryFor, or at no known time.
func (r *Refusal) Retry() bool { return r.RetryFor > 0 || r.Reason == RateLimited }

// retryDay is how long it can take until an operator has registered a pin, a wearer has paired it, or the log's time was
// corrected (docs/design.md section 7).
const retryDay = 24 * time.Hour

func refuse(reason Reason, format string, args ...any) *Refusal {
	r := &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	switch reason {
	case UnknownPin, UnpairedPin, UnknownPeer, Closed:
		r.RetryFor = retryDay
	}
	return r
}

// until says that the same thing may be taken up to an instant.
func (r *Refusal) until(now, end fact.UnixMilli) *Refusal {
	r.RetryFor = between(now, end)
	return r
}

// between returns the time from one instant to a later one, at most the 292 years that a duration can be.
func between(from, to fact.UnixMilli) time.Duration {
	const most = fact.UnixMilli(math.MaxInt64 / time.Millisecond)
	return time.Duration(min(to-max(from, 0), most)) * time.Millisecond
}
