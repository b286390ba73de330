package fact

import "fmt"

// Medal is an award for a number of friends.
type Medal uint8

// The medals in ascending order.
const (
	Bronze Medal = iota + 1
	Silver
	Gold
)

// Medals lists the medals in ascending order.
func Medals() []Medal { return []Medal{Bronze, Silver, Gold} }

func (m Medal) String() string {
	return name(uint8(m), "Medal", "bronze", "silver", "gold")
}

// Refusal says why a reported half became no part of a friendship.
type Refusal uint8

// The refusals of the tap fold, docs/design.md section 7.
const (
	RefusedUnpairedPin Refusal = iota + 1 // its author was not registered, or paired with nobody
	RefusedRetiredPin                     // its author was retired, or a wearer of the two erased
	RefusedClosed                         // before the opening, or past the closing and its grace
	RefusedSameWearer                     // both pins are one wearer's
	RefusedBlocked                        // one of the two has blocked the other
	RefusedRevoked                        // an operator revoked the pair's friendship
	RefusedUnfriended                     // tapped before the friendship was ended
	RefusedExpired                        // its mate did not come in time
)

// Refusals lists every refusal.
func Refusals() []Refusal {
	return []Refusal{
		RefusedUnpairedPin, RefusedRetiredPin, RefusedClosed, RefusedSameWearer,
		RefusedBlocked, RefusedRevoked, RefusedUnfriended, RefusedExpired,
	}
}

func (r Refusal) String() string {
	return name(uint8(r), "Refusal", "UNPAIRED_PIN", "RETIRED_PIN", "CLOSED", "SAME_WEARER",
		"BLOCKED", "REVOKED", "UNFRIENDED", "EXPIRED")
}

// Ending says how a friendship ended.
type Ending uint8

// The endings, one for each command that ends a friendship.
const (
	EndedUnfriended Ending = iota + 1
	EndedBlocked
	EndedRevoked
)

func (e Ending) String() string {
	return name(uint8(e), "Ending", "UNFRIENDED", "BLOCKED", "REVOKED")
}

// PinKind says what a pin is. Zero is not said: a device, as all were before there were others.
type PinKind uint8

// The kinds of pins.
const (
	HardwarePin PinKind = iota + 1 // a device
	SoftwarePin                    // a page or a phone that holds the key itself
)

func (k PinKind) String() string {
	return name(uint8(k), "PinKind", "HARDWARE", "SOFTWARE")
}

// Retirement says why a pin was retired.
type Retirement uint8

// The reasons for which an operator retires a pin.
const (
	RetiredLost        Retirement = iota + 1
	RetiredReturned               // given back by its wearer
	RetiredFaulty                 // broken, or its counter lost
	RetiredCompromised            // its key is in other hands
)

func (r Retirement) String() string {
	return name(uint8(r), "Retirement", "LOST", "RETURNED", "FAULTY", "COMPROMISED")
}

// Revocation says why an operator revoked a friendship or an award.
type Revocation uint8

// The reasons for which an operator revokes.
const (
	RevokedFraud Revocation = iota + 1 // not earned by meeting people
	RevokedError                       // given by a mistake of the operators
)

func (r Revocation) String() string {
	return name(uint8(r), "Revocation", "FRAUD", "ERROR")
}

// name returns the i-th of the names, counted from 1.
func name(i uint8, kind string, names ...string) string {
	if i == 0 || int(i) > len(names) {
		return fmt.Sprintf("%s(%d)", kind, i)
	}
	return names[i-1]
}
