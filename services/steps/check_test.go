package steps

import (
	"slices"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestCheck damages a good view in every way that Check looks for.
func TestCheck(t *testing.T) {
	const day = somewhen/96 + 1
	anna := dayKey(wearerOf("anna"), day)
	tests := []struct {
		name   string
		damage func(tx kv.Tx)
		want   string
	}{
		{"LayoutOfRules", func(tx kv.Tx) { tx.Put(rulings, now, []byte("short")) }, "bucket rules"},
		{"RulesWithoutZone", func(tx kv.Tx) { tx.Put(rulings, now, tx.Get(rulings, now)[:rulingHead]) }, "bucket rules"},
		{"RulesWithAByteBehind", func(tx kv.Tx) { tx.Put(rulings, now, append(slices.Clone(tx.Get(rulings, now)), 0)) }, "bucket rules"},
		{"KeyOfRulesAlone", func(tx kv.Tx) {
			tx.Put(rulings, []byte("then"), tx.Get(rulings, now))
		}, `key "then"`},
		{"ZoneBehindTheWorld", func(tx kv.Tx) { flip(tx, rulings, now, rulingHead+4, 0xeb) }, "zone[0]: -49 quarter hours"},
		{"KeyOfRules", func(tx kv.Tx) { tx.Put(rulings, []byte("then"), inForce(tx).zone) }, `key "then"`},
		{"LayoutOfTotals", func(tx kv.Tx) { tx.Put(totals, all, []byte("short")) }, "bucket total"},
		{"NoGoal", func(tx kv.Tx) { flip(tx, rulings, now, 3, 20) }, "rules: a goal of 0"},
		{"ZoneOffTheWorld", func(tx kv.Tx) { flip(tx, rulings, now, rulingHead+4, 0x40) }, "zone[0]: 100 quarter hours"},
		{"ZoneDescends", func(tx kv.Tx) {
			v := tx.Get(rulings, now)
			tx.Put(rulings, now, slices.Concat(v, v[rulingHead:]))
		}, "zone[1]: from slot 0, not after"},
		{"AnotherZone", func(tx kv.Tx) { flip(tx, rulings, now, rulingHead+4, 36^23) }, "is not of that day"},
		{"NoRules", func(tx kv.Tx) { tx.Delete(rulings, now) }, "counted without rules"},
		{"KeyOfDay", func(tx kv.Tx) { tx.Put(days, anna[:19], tx.Get(days, anna)) }, "bucket day, key"},
		{"DayTooShort", func(tx kv.Tx) { tx.Put(days, anna, []byte("12345")) }, ": 5 bytes"},
		{"DayTooLong", func(tx kv.Tx) { tx.Put(days, anna, make([]byte, recordHead+slotSize*(placesPerDay+1))) }, ": 408 bytes"},
		{"DayTooLate", func(tx kv.Tx) { flip(tx, days, anna, 5, 0xf0) }, "bucket day, key"},
		{"DayOfNothing", func(tx kv.Tx) { tx.Put(days, anna, make([]byte, recordHead+slotSize)) }, "without steps"},
		{"DayWithRoom", func(tx kv.Tx) { tx.Put(days, anna, slices.Concat(tx.Get(days, anna), []byte{0, 0})) }, "one form"},
		{"DayOddlyReached", func(tx kv.Tx) { flip(tx, days, anna, 4, 2) }, "one form"},
		{"DaysSteps", func(tx kv.Tx) { flip(tx, days, anna, 3, 1) }, "its slots add up to"},
		{"SlotsSteps", func(tx kv.Tx) { flip(tx, days, anna, recordHead+1, 1) }, "its slots add up to"},
		{"DayMoved", func(tx kv.Tx) {
			tx.Put(days, dayKey(wearerOf("anna"), day+1), tx.Get(days, anna))
			tx.Delete(days, anna)
		}, "is not there with a score of 21"},
		{"DayLost", func(tx kv.Tx) { tx.Delete(days, anna) }, "totals: 3 days, the records are 2"},
		{"DayOfNobody", func(tx kv.Tx) { tx.Put(days, dayKey(wearerOf("eve"), day), tx.Get(days, anna)) }, "rank "},
		{"PlaceLost", func(tx kv.Tx) { boardOf(day).Move(tx, wearerOf("anna"), 21, 0) }, "is not there with a score of 21"},
		{"PlaceOfNobody", func(tx kv.Tx) { boardOf(day).Move(tx, wearerOf("eve"), 0, 21) }, "rank: holds 4 places, want 3"},
		{"PlaceOfAnotherDay", func(tx kv.Tx) { boardOf(day+1).Move(tx, wearerOf("eve"), 0, 21) }, "count: holds"},
		{"Outcomes", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Reports++ }) }, "4 reports have 3 outcomes"},
		{"Counted", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Counted, t.NoRules = 0, t.Counted }) }, "no report counted"},
		{"Days", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Days++ }) }, "4 days, the records are 3"},
		{"Goals", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Goals-- }) }, "0 goals, the records have 1"},
		{"Reached", func(tx kv.Tx) { flip(tx, days, anna, 4, 1) }, "1 goals, the records have 0"},
		{"Steps", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Steps++ }) }, "41 steps, the records add up to 40"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.fold(begin()...) // with a goal of 20
			w.fold(reported("anna", day*96-36, 20, 0, 1), reported("ben", day*96, 12))
			w.fold(reported("anna", (day-1)*96, 7))
			w.check()
			w.update(tt.damage)
			w.view(func(r view.Reader) {
				if err := Check(r); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got the findings\n%v\nwant one with %q", err, tt.want)
				}
			})
		})
	}
}

// TestCheckFindingsAreBounded damages more than anybody wants to read.
func TestCheckFindingsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.fold(begin()...)
	w.update(func(tx kv.Tx) {
		for day := range fact.Day(3 * maxFindings) {
			tx.Put(days, dayKey(wearerOf("anna"), day), make([]byte, recordHead))
		}
	})
	w.view(func(r view.Reader) {
		if got := strings.Count(Check(r).Error(), "\n") + 1; got != maxFindings {
			t.Errorf("got %d findings, want %d", got, maxFindings)
		}
	})
}

// flip changes bits of one byte of a value.
func flip(tx kv.Tx, bucket string, key []byte, at int, bits byte) {
	v := slices.Clone(tx.Get(bucket, key))
	v[at] ^= bits
	tx.Put(bucket, key, v)
}

func changeTally(tx kv.Tx, change func(*Tally)) {
	t := Totals(tx)
	change(&t)
	keepTotals(tx, t)
}
