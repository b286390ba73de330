package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// admissionOrder is the order of docs/design.md section 7, in which admission checks.
var admissionOrder = []string{
	"UPLOAD_TOO_LARGE", "UNKNOWN_MAGIC", "MALFORMED", "RESERVED_NOT_ZERO", "SELF_TAP", "UNKNOWN_PIN", "RETIRED_PIN",
	"UNPAIRED_PIN", "CLOSED", "BAD_SIGNATURE", "UNKNOWN_PEER", "FROM_FUTURE", "IMPLAUSIBLE_STEPS", "RATE_LIMITED", "LOG_UNAVAILABLE",
	"LOG_FULL",
}

// otherCalls are the reasons that calls beside Deliver have too.
var otherCalls = []string{
	"KEY_MISMATCH", "SEQ_NOT_REACHED", "NOT_UNLOCKED", "NOT_FRIENDS", "PAIRED_ELSEWHERE", "CHALLENGE_EXPIRED",
	"STALE", "CLOCK_WRONG",
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
	"CLOSED":            gateway.Closed,
	"BAD_SIGNATURE":     gateway.BadSignature,
	"UNKNOWN_PEER":      gateway.UnknownPeer,
	"FROM_FUTURE":       gateway.FromFuture,
	"IMPLAUSIBLE_STEPS": gateway.ImplausibleSteps,
	"RATE_LIMITED":      gateway.RateLimited,
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

// TestReasonOrder compares the order of the API's file, which is what its readers go by, with that in which admission
// checks.
func TestReasonOrder(t *testing.T) {
	values := gatewayv1.Reason(0).Descriptor().Values()
	var got []string
	for i := 1; i < values.Len(); i++ {
		got = append(got, strings.TrimPrefix(string(values.Get(i).Name()), "REASON_"))
	}
	if !slices.Equal(got[:len(admissionOrder)], admissionOrder) {
		t.Errorf("got the order %v, want %v", got[:len(admissionOrder)], admissionOrder)
	}
	for _, name := range otherCalls {
		if !slices.Contains(got[len(admissionOrder):], name) {
			t.Errorf("%s: not among those behind admission's, %v", name, got[len(admissionOrder):])
		}
	}
}

// TestReasonNumbers: a number that was given stays what it is.
func TestReasonNumbers(t *testing.T) {
	for name, want := range map[string]int32{
		"UPLOAD_TOO_LARGE": 1, "UNKNOWN_MAGIC": 2, "UNPAIRED_PIN": 8, "BAD_SIGNATURE": 9, "LOG_FULL": 15, "CLOSED": 16,
		"KEY_MISMATCH": 20, "NOT_AWARDED": 27, "STALE": 28, "CLOCK_WRONG": 29, "AUDIT_PAUSED": 30,
	} {
		if got := gatewayv1.Reason_value["REASON_"+name]; got != want {
			t.Errorf("%s: number %d, want %d", name, got, want)
		}
	}
}

// TestRetryFor says which refusals the passing of a day can cure. Of a closed log before its opening and of what is from the
// future, it is another time: see TestAdmitClosed and TestAdmitTime.
func TestRetryFor(t *testing.T) {
	stores := newStores(t)
	const day = 24 * time.Hour
	want := map[flaw]time.Duration{
		"UNKNOWN_PIN": day, "UNPAIRED_PIN": day, "UNKNOWN_PEER": day,
		"CLOSED": time.Millisecond, "FROM_FUTURE": tolerance + 2*fact.SlotLength,
	}
	for name, kind := range kinds {
		for _, f := range kind.flaws {
			raw, sig := kind.make([]flaw{f})
			if got := refusalOf(t, admit(t, stores.of([]flaw{f}), raw, sig)).RetryFor; got != want[f] {
				t.Errorf("%s, %s: retry for %v, want %v", name, f, got, want[f])
			}
		}
	}
}
