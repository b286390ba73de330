package gateway

import "fmt"

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
	BadSignature     Reason = 9
	UnknownPeer      Reason = 10
	FromFuture       Reason = 11
	ImplausibleSteps Reason = 12
	KeyMismatch      Reason = 20
	PairedElsewhere  Reason = 24
	ChallengeExpired Reason = 25
)

// Refusal is an error that tells what was refused, and why.
type Refusal struct {
	Reason Reason
	Detail string // the field, the value and the rule
}

func (r *Refusal) Error() string { return r.Detail }

// Retry reports whether the same thing may be taken later: what the log knows and what time it is do change.
func (r *Refusal) Retry() bool {
	switch r.Reason {
	case UnknownPin, UnpairedPin, UnknownPeer, FromFuture:
		return true
	}
	return false
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
