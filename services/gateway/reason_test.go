package gateway_test

import (
	"slices"
	"strings"
	"testing"

	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// admissionOrder is the order of design section 7, in which admission checks.
var admissionOrder = []string{
	"UPLOAD_TOO_LARGE", "UNKNOWN_MAGIC", "MALFORMED", "RESERVED_NOT_ZERO", "SELF_TAP", "UNKNOWN_PIN", "RETIRED_PIN",
	"UNPAIRED_PIN", "BAD_SIGNATURE", "UNKNOWN_PEER", "FROM_FUTURE", "IMPLAUSIBLE_STEPS", "RATE_LIMITED", "LOG_UNAVAILABLE",
	"LOG_FULL",
}

// otherCalls are the reasons that calls beside Deliver have too.
var otherCalls = []string{
	"KEY_MISMATCH", "SEQ_NOT_REACHED", "NOT_UNLOCKED", "NOT_FRIENDS", "PAIRED_ELSEWHERE", "CHALLENGE_EXPIRED",
}

// reasons are those of the core by their names in the API.
var reasons = map[string]gateway.Reason{
	"UNKNOWN_MAGIC":     gateway.UnknownMagic,
	"MALFORMED":         gateway.Malformed,
	"RESERVED_NOT_ZERO": gateway.ReservedNotZero,
	"SELF_TAP":          gateway.SelfTap,
	"UNKNOWN_PIN":       gateway.UnknownPin,
	"RETIRED_PIN":       gateway.RetiredPin,
	"UNPAIRED_PIN":      gateway.UnpairedPin,
	"BAD_SIGNATURE":     gateway.BadSignature,
	"UNKNOWN_PEER":      gateway.UnknownPeer,
	"FROM_FUTURE":       gateway.FromFuture,
	"IMPLAUSIBLE_STEPS": gateway.ImplausibleSteps,
	"KEY_MISMATCH":      gateway.KeyMismatch,
	"PAIRED_ELSEWHERE":  gateway.PairedElsewhere,
	"CHALLENGE_EXPIRED": gateway.ChallengeExpired,
}

// nameOf returns the name of a reason of the core in the API.
func nameOf(r gateway.Reason) string {
	return strings.TrimPrefix(gatewayv1.Reason(r).String(), "REASON_")
}

// TestReasons compares the core's reasons with those of the API, by number and by name: the shell carries one over as
// the other by its number.
func TestReasons(t *testing.T) {
	for name, r := range reasons {
		if got := nameOf(r); got != name {
			t.Errorf("reason %d: the API calls it %s, want %s", r, got, name)
		}
	}
}

// TestReasonOrder compares the numbers of the API with the order in which admission checks.
func TestReasonOrder(t *testing.T) {
	var got []string
	for number := range int32(len(admissionOrder)) {
		got = append(got, nameOf(gateway.Reason(number+1)))
	}
	if !slices.Equal(got, admissionOrder) {
		t.Errorf("got the order %v, want %v", got, admissionOrder)
	}
	for _, name := range otherCalls {
		if n := gatewayv1.Reason_value["REASON_"+name]; n <= int32(len(admissionOrder)) {
			t.Errorf("%s: number %d, want one behind those of admission", name, n)
		}
	}
}

// TestRetry says which refusals can be cured by waiting.
func TestRetry(t *testing.T) {
	can := []gateway.Reason{gateway.UnknownPin, gateway.UnpairedPin, gateway.UnknownPeer, gateway.FromFuture}
	for name, r := range reasons {
		if got, want := (&gateway.Refusal{Reason: r}).Retry(), slices.Contains(can, r); got != want {
			t.Errorf("%s: got retry %t, want %t", name, got, want)
		}
	}
}
