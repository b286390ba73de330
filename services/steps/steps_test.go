package steps

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
)

func TestIdentity(t *testing.T) {
	if got, want := (Core{}).Name(), "steps"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	if got, want := (Core{}).ActsOn(), []fact.Family{fact.Step, fact.Roster, fact.Clock}; !slices.Equal(got, want) {
		t.Errorf("acts on %v, want %v", got, want)
	}
	if got, want := (Core{}).Derives(), fact.Goal; got != want {
		t.Errorf("derives %v, want %v", got, want)
	}
}

// A step takes whatever comes, also what no codec lets in.
func TestStepIsTotal(t *testing.T) {
	w := newWorld(t)
	refused := adopted(0, zones[0])
	for _, f := range []fact.Fact{
		nil,
		fact.RulesAdopted{},
		refused,
		fact.StepsReported{},
		fact.TimePassed{Time: math.MinInt64},
		fact.TimePassed{Time: math.MaxInt64},
		fact.StepGoalReached{},
		fact.FriendshipFormed{},
		fact.PinPaired{},
		fact.WearerErased{},
	} {
		if derived := w.fold(f); len(derived) != 0 {
			t.Errorf("%+v: derives %+v, want nothing", f, derived)
		}
		w.check()
	}
	w.view(func(r view.Reader) {
		if day, known := Today(r); known {
			t.Errorf("without rules, today is %v", day)
		}
	})
	// By then, the largest slot there is.
	w.fold(adopted(1, zones[0]))
	w.view(func(r view.Reader) {
		if day, known := Today(r); !known || day != (math.MaxUint32+36)/96 {
			t.Errorf("today is %d, %v", day, known)
		}
	})
	w.fold(refused)
	w.view(func(r view.Reader) {
		if got := Goal(r); got != 1 {
			t.Errorf("the goal is %d, after rules that are refused", got)
		}
	})
}

// The 33rd value of a report would let a step touch more days than it may.
func TestLongReport(t *testing.T) {
	if maxSlots != statement.MaxSlots {
		t.Errorf("%d slots in a report, by its layout %d", maxSlots, statement.MaxSlots)
	}
	w := newWorld(t)
	w.fold(begin()...)
	w.fold(reported("anna", somewhen, slices.Repeat([]uint16{1}, 1000)...))
	w.check()
	if got, want := w.totals().Steps, uint64(maxSlots); got != want {
		t.Errorf("got %d steps, want %d", got, want)
	}
}

// The places of a day rest on the bounds of package rules.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		quarters int8
		want     bool
	}{
		{-mostBehind, true},
		{mostAhead, true},
		{-mostBehind - 1, false},
		{mostAhead + 1, false},
	} {
		r := adopted(1, []fact.ZoneOffset{{Quarters: tt.quarters}}).Rules
		if got := rules.Check(r) == nil; got != tt.want {
			t.Errorf("package rules passes %d quarter hours: %t, want %t", tt.quarters, got, tt.want)
		}
		if !tt.want {
			continue
		}
		for slot := fact.Slot(1000); slot < 1200; slot++ {
			if place := placeOf(rules.LocalDay(r.Zone, slot), slot); place < 0 || place >= placesPerDay {
				t.Errorf("%d quarter hours: slot %d has place %d", tt.quarters, slot, place)
			}
		}
	}
}

// The layout of a record and its key, as they stand in views on disk.
func TestLayout(t *testing.T) {
	w := newWorld(t)
	w.fold(begin()...)
	// In Tokyo, slot 36 * 96 - 36 begins day 36.
	w.fold(reported("anna", 36*96-36, 0, 7, 0, 0x1234))
	w.view(func(r view.Reader) {
		for k, v := range r.Scan(days, nil, nil) {
			wantKey := append([]byte("anna\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0x7f, 0xff, 0xff, 0xff-36)
			if !bytes.Equal(k, wantKey) {
				t.Errorf("key\n%x, want\n%x", k, wantKey)
			}
			if got, want := hex.EncodeToString(v), "0000123b"+"01"+"15"+"0007"+"0000"+"1234"; got != want {
				t.Errorf("value %s, want %s", got, want)
			}
		}
	})
}

// dayOf against package rules, with the longest tables that there are.
func TestDayOf(t *testing.T) {
	zone := zoneNamed(t, "Europe/Paris")
	w := newWorld(t)
	w.fold(adopted(1, zone))
	w.view(func(r view.Reader) {
		in := inForce(r)
		for i, z := range zone {
			for slot := max(z.From, 200) - 200; slot < z.From+200; slot++ {
				if got, want := in.dayOf(slot), rules.LocalDay(zone, slot); got != want {
					t.Fatalf("entry %d: slot %d is of %v, want %v", i, slot, got, want)
				}
			}
		}
	})
}
