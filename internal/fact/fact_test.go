package fact_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pinfold/internal/fact"
)

func TestAfter(t *testing.T) {
	// In the order in which they stand in a family.
	ordered := []fact.Derivation{{0, 0, 0}, {1, 0, 1}, {2, 0, 3}, {2, 1, 3}, {2, 2, 3}, {7, 0, 256}, {7, 255, 256}, {math.MaxUint64, 0, 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.After(b), i > j; got != want {
				t.Errorf("%+v after %+v: got %v, want %v", a, b, got, want)
			}
		}
	}
	// The number of facts has no part in it.
	if a, b := (fact.Derivation{Cause: 2, Index: 1, Count: 9}), (fact.Derivation{Cause: 2, Index: 1, Count: 3}); a.After(b) || b.After(a) {
		t.Errorf("%+v and %+v: got one after the other", a, b)
	}
}

func TestFamilies(t *testing.T) {
	derived := map[fact.Family]bool{fact.Friendship: true, fact.Award: true, fact.Goal: true}
	seen := map[fact.Family]bool{}
	for _, f := range fact.Families() {
		if seen[f] {
			t.Errorf("%s: stands there twice", f)
		}
		seen[f] = true
		if got, want := f.Derived(), derived[f]; got != want {
			t.Errorf("%s: got derived %v, want %v", f, got, want)
		}
	}
	if len(seen) != 8 {
		t.Errorf("got %d families, want the 8 of docs/design.md section 6", len(seen))
	}
}

// TestFamily is the table of docs/design.md section 6.
func TestFamily(t *testing.T) {
	for family, facts := range map[fact.Family][]fact.Fact{
		"roster":     {fact.PinRegistered{}, fact.PinPaired{}, fact.PinRetired{}, fact.WearerErased{}, fact.RulesAdopted{}},
		"time":       {fact.TimePassed{}, fact.TimeCorrected{}, fact.Restored{}},
		"tap":        {fact.HalfReported{}, fact.Unfriended{}, fact.Blocked{}, fact.Unblocked{}, fact.FriendshipRevoked{}},
		"step":       {fact.StepsReported{}},
		"wearer":     {fact.BackgroundChosen{}, fact.AwardRevoked{}},
		"friendship": {fact.FriendshipFormed{}, fact.FriendshipEnded{}, fact.HalfRefused{}},
		"award":      {fact.BackgroundUnlocked{}, fact.MedalAwarded{}},
		"goal":       {fact.StepGoalReached{}},
	} {
		for _, f := range facts {
			if got := f.Family(); got != family {
				t.Errorf("%T: got %s, want %s", f, got, family)
			}
		}
	}
}

// TestStrings has every name that is printed, and what is printed where there is none.
func TestStrings(t *testing.T) {
	for _, tt := range []struct {
		value fmt.Stringer
		want  string
	}{
		{fact.Bronze, "bronze"},
		{fact.Silver, "silver"},
		{fact.Gold, "gold"},
		{fact.Medal(0), "Medal(0)"},
		{fact.Medal(4), "Medal(4)"},

		{fact.RefusedUnpairedPin, "UNPAIRED_PIN"},
		{fact.RefusedRetiredPin, "RETIRED_PIN"},
		{fact.RefusedClosed, "CLOSED"},
		{fact.RefusedSameWearer, "SAME_WEARER"},
		{fact.RefusedBlocked, "BLOCKED"},
		{fact.RefusedRevoked, "REVOKED"},
		{fact.RefusedUnfriended, "UNFRIENDED"},
		{fact.RefusedExpired, "EXPIRED"},
		{fact.Refusal(0), "Refusal(0)"},
		{fact.Refusal(9), "Refusal(9)"},

		{fact.EndedUnfriended, "UNFRIENDED"},
		{fact.EndedBlocked, "BLOCKED"},
		{fact.EndedRevoked, "REVOKED"},
		{fact.Ending(0), "Ending(0)"},
		{fact.Ending(4), "Ending(4)"},

		{fact.HardwarePin, "HARDWARE"},
		{fact.SoftwarePin, "SOFTWARE"},
		{fact.PinKind(0), "PinKind(0)"},
		{fact.PinKind(3), "PinKind(3)"},

		{fact.RetiredLost, "LOST"},
		{fact.RetiredReturned, "RETURNED"},
		{fact.RetiredFaulty, "FAULTY"},
		{fact.RetiredCompromised, "COMPROMISED"},
		{fact.Retirement(0), "Retirement(0)"},
		{fact.Retirement(255), "Retirement(255)"},

		{fact.RevokedFraud, "FRAUD"},
		{fact.RevokedError, "ERROR"},
		{fact.Revocation(0), "Revocation(0)"},
		{fact.Revocation(3), "Revocation(3)"},

		{fact.LinkNFC, "NFC"},
		{fact.LinkBluetoothLE, "Bluetooth LE"},
		{fact.LinkWire, "wire"},
		{fact.Link(0), "Link(0)"},
		{fact.Link(4), "Link(4)"},

		{fact.Seq(0), "0"},
		{fact.Seq(math.MaxUint64), "18446744073709551615"},
		{fact.UnixMilli(0), "1970-01-01T00:00:00.000Z"},
		{fact.UnixMilli(-1), "1969-12-31T23:59:59.999Z"},
		{fact.UnixMilli(1_626_998_400_123), "2021-07-23T00:00:00.123Z"},
		{fact.Day(0), "1970-01-01"},
		{fact.Day(-1), "1969-12-31"},
		{fact.Day(18831), "2021-07-23"},
	} {
		if got := tt.value.String(); got != tt.want {
			t.Errorf("%T: got %q, want %q", tt.value, got, tt.want)
		}
	}
}

// TestLists checks that the lists hold each value once, in ascending order, and leave none out.
func TestLists(t *testing.T) {
	for i, m := range fact.Medals() {
		if m != fact.Medal(i+1) {
			t.Errorf("medals: got %v at %d", m, i)
		}
	}
	for i, r := range fact.Refusals() {
		if r != fact.Refusal(i+1) {
			t.Errorf("refusals: got %v at %d", r, i)
		}
	}
	// Only what has no name is printed as a number.
	medal, refusal := len(fact.Medals())+1, len(fact.Refusals())+1
	if got, want := fact.Medal(medal).String(), fmt.Sprintf("Medal(%d)", medal); got != want {
		t.Errorf("behind the last medal: got %q, want %q", got, want)
	}
	if got, want := fact.Refusal(refusal).String(), fmt.Sprintf("Refusal(%d)", refusal); got != want {
		t.Errorf("behind the last refusal: got %q, want %q", got, want)
	}
}

func TestQuantities(t *testing.T) {
	if got, want := fact.UnixMilli(1000).Add(1500*time.Microsecond), fact.UnixMilli(1001); got != want {
		t.Errorf("got %d, want %d: whole milliseconds", got, want)
	}
	if got, want := fact.UnixMilli(1000).Add(-time.Second), fact.UnixMilli(0); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	for slot, want := range map[fact.Slot]fact.UnixMilli{
		0: 0, 1: 900_000, 1_807_776: 1_626_998_400_000,
		math.MaxUint32: 3_865_470_565_500_000,
	} {
		if got := slot.Start(); got != want {
			t.Errorf("slot %d: got %d, want %d", slot, got, want)
		}
	}
}
