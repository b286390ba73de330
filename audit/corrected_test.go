package audit_test

import (
	"context"
	"slices"
	"testing"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/view"
	"pinfold/services/tap"
)

// TestCorrectedTime gives all that reads a log one whose stored times, and whose folds' times, go back.
func TestCorrectedTime(t *testing.T) {
	w, all := cleanWorld(t)
	w.wrongClock(all[0], all[5])
	messages := w.messages()
	if !goesBack(messages) {
		t.Fatal("the stored times do not go back")
	}
	t.Run("Verify", func(t *testing.T) {
		if r := verify(t, messages, audit.Options{}); r.Verdict != audit.Clean {
			t.Errorf("got %v", r.Findings)
		}
		// With a TimePassed in the place of the correction the time would stay ahead, and other halves expire.
		at, f := find[fact.TimeCorrected](t, messages, 0)
		other := slices.Clone(messages)
		payload, err := eventlog.Encode(fact.Record{Fact: fact.TimePassed{Time: f.Time}})
		if err != nil {
			t.Fatal(err)
		}
		other[at].Payload = payload
		if r := verify(t, other, audit.Options{}); r.Verdict != audit.Broken {
			t.Error("without the correction: got a clean log")
		}
	})
	t.Run("WhatIf", func(t *testing.T) {
		r := whatIf(t, messages, func(f fact.Rules) (fact.Rules, error) { return f, nil })
		if r.Before != r.After || r.Before.Friendships == 0 {
			t.Errorf("under the same rules: got %+v, want %+v", r.After, r.Before)
		}
		// Halves that were kept for longer would have met no more: they expired by the jump in any case.
		r = whatIf(t, messages, func(f fact.Rules) (fact.Rules, error) {
			f.PendingFor *= 2
			return f, nil
		})
		if r.Before != r.After {
			t.Errorf("with twice the pending time: got %+v, want %+v", r.After, r.Before)
		}
	})
	t.Run("At", func(t *testing.T) {
		for i := 0; i < len(messages); i += 97 {
			instant, want := messages[i].Stored, fact.Seq(0)
			for _, m := range messages {
				if m.Stored <= instant {
					want = m.Seq
				}
			}
			got, err := audit.LeaderboardAt(context.Background(), each(messages, nil), moment(t, instant.String()), 1)
			if err != nil || got.At.Seq != want {
				t.Errorf("at %v: error %v, sequence %d, want %d", instant, err, got.At.Seq, want)
			}
		}
	})
	t.Run("Compare", func(t *testing.T) {
		if got := compareLogs(t, messages, messages); got.Difference != nil {
			t.Errorf("with itself: got %+v", got.Difference)
		}
	})
	t.Run("Outcomes", func(t *testing.T) {
		var tally tap.Tally
		_ = w.views[0].View(func(r view.Reader) error { tally = tap.Totals(r); return nil })
		if tally.Expired < 490 || tally.AlreadyFriends == 0 {
			t.Errorf("got %+v: does the world still have what this test is about?", tally)
		}
	})
}

func goesBack(messages []eventlog.Message) bool {
	for i := range messages[1:] {
		if messages[i+1].Stored < messages[i].Stored {
			return true
		}
	}
	return false
}
