package tap

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/view"
)

// TestEraCorrect: what was overdue before a correction is so for good, and of the rest no deadline counts as later than the
// new limit.
func TestEraCorrect(t *testing.T) {
	moment := rapid.Map(rapid.Int64Range(0, 5), func(n int64) fact.UnixMilli { return fact.UnixMilli(n) })
	rapid.Check(t, func(t *rapid.T) {
		e := era{limit: rapid.OneOf(moment, rapid.Just(noLimit)).Draw(t, "limit"), dead: moment.Draw(t, "dead")}
		was, limit := moment.Draw(t, "was"), moment.Draw(t, "new limit")
		deadline, now := moment.Draw(t, "deadline"), moment.Draw(t, "now")
		want := e.overdue(deadline, was) || min(deadline, e.limit, limit) <= now
		if got := e.correct(was, limit).overdue(deadline, now); got != want {
			t.Errorf("%+v corrected from %d with the limit %d: a deadline of %d is overdue at %d: %t, want %t", e, was, limit, deadline, now, got, want)
		}
	})
}

// TestEraDropped: an era goes with its last record, and not before.
func TestEraDropped(t *testing.T) {
	w := newWorld(t)
	w.people("anna", "ben", "chloe")
	w.fold(adopted(time.Hour), fact.TimePassed{Time: 10_000})
	w.fold(reported("anna", "ben", "t1", 1), fact.TimeCorrected{Time: 5_000}, reported("chloe", "ben", "t2", 1))
	begun := w.seq
	wantEras := func(want ...fact.Seq) {
		t.Helper()
		w.check()
		w.view(func(r view.Reader) {
			var got []fact.Seq
			for _, e := range getEras(r) {
				got = append(got, e.seq)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got the eras %v, want %v", got, want)
			}
		})
	}
	hour := fact.UnixMilli(time.Hour.Milliseconds())
	wantEras(0, begun-1)
	w.fold(fact.TimePassed{Time: hour})
	wantEras(0, begun-1)
	w.fold(fact.TimePassed{Time: 2 * hour})
	wantEras(begun - 1)
}
