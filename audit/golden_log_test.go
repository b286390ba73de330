package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"testing"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// The first golden log: an archive of every kind of fact, and the report of it. Neither is ever made again: what a log of
// that day proved, it proves for ever. A new kind of fact or a new fold means a new golden log beside it.
const (
	goldenLog    = "testdata/golden-log-1.pinfold"
	goldenReport = "testdata/golden-log-1.json"
)

var makeLog = flag.Bool("make-golden-log", false, "make the golden log, if it is not there")

// TestGoldenLog verifies the golden log.
func TestGoldenLog(t *testing.T) {
	if *makeLog {
		makeGoldenLog(t)
	}
	archive, err := os.ReadFile(goldenLog)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := audit.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var messages []eventlog.Message
	kinds := map[string]bool{}
	for m, err := range reader.Messages() {
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		m.Payload = bytes.Clone(m.Payload)
		messages = append(messages, m)
		kinds[reflect.TypeOf(e.Fact).Name()] = true
	}
	for _, f := range everyFact {
		if !kinds[reflect.TypeOf(f).Name()] {
			t.Errorf("the golden log has no %T", f)
		}
	}
	var want audit.Report
	text, err := os.ReadFile(goldenReport)
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.Verify(t.Context(), reader.Header().Games, each(messages, nil), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	if !bytes.Equal(gotText, wantText) || got.Verdict != audit.Clean {
		t.Errorf("got %s, want %s", gotText, wantText)
	}
}

// everyFact has one fact of each kind.
var everyFact = []fact.Fact{
	fact.PinRegistered{},
	fact.PinPaired{},
	fact.PinRetired{},
	fact.WearerErased{},
	fact.RulesAdopted{},
	fact.TimePassed{},
	fact.HalfReported{},
	fact.StepsReported{},
	fact.Unfriended{},
	fact.Blocked{},
	fact.Unblocked{},
	fact.FriendshipRevoked{},
	fact.BackgroundChosen{},
	fact.AwardRevoked{},
	fact.FriendshipFormed{},
	fact.FriendshipEnded{},
	fact.HalfRefused{},
	fact.BackgroundUnlocked{},
	fact.MedalAwarded{},
	fact.StepGoalReached{},
}

// makeGoldenLog makes the golden log where there is none.
func makeGoldenLog(t *testing.T) {
	if _, err := os.Stat(goldenLog); !errors.Is(err, os.ErrNotExist) {
		return
	}
	w, all := cleanWorld(t)
	formed := w.derived(fact.Friendship, func(e fact.Entry) bool { _, ok := e.Fact.(fact.FriendshipFormed); return ok })
	medals := w.derived(fact.Award, func(e fact.Entry) bool { _, ok := e.Fact.(fact.MedalAwarded); return ok })
	unlocked := w.derived(fact.Award, func(e fact.Entry) bool { _, ok := e.Fact.(fact.BackgroundUnlocked); return ok })
	last := formed[len(formed)-1]
	medal, background := medals[0], unlocked[0].Fact.(fact.BackgroundUnlocked)
	changed := verifyRules()
	changed.Medals.Gold = 5
	w.add(fact.Unblocked{Wearer: wearerOf(all[5]), Other: wearerOf(all[4])})
	w.add(fact.FriendshipRevoked{Friendship: last.Derivation.Cause, Reason: fact.RevokedError})
	w.add(fact.AwardRevoked{Cause: medal.Derivation.Cause, Index: medal.Derivation.Index, Reason: fact.RevokedError})
	w.add(fact.BackgroundChosen{Wearer: background.Wearer, Background: background.Background})
	w.add(fact.RulesAdopted{Rules: changed})
	w.add(fact.PinRetired{Pin: all[1].ID(), Reason: fact.RetiredLost})
	first, second := w.halves(all[1], all[2])
	w.add(first, second)
	w.add(fact.WearerErased{Wearer: wearerOf(all[3])})
	w.now += 15 * 24 * 60 * 60 * 1000
	w.add(fact.TimePassed{Time: w.now})

	archive := archiveOf(t, audit.Header{Games: verifyGames, Epoch: 1, First: 1, CreatedBy: "pinfold, a golden log"}, w.messages())
	report, err := audit.Verify(t.Context(), verifyGames, each(w.messages(), nil), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{goldenLog: archive, goldenReport: append(text, '\n')} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// derived returns the facts of the family that are so.
func (w *verifyWorld) derived(f fact.Family, so func(fact.Entry) bool) (list []fact.Entry) {
	for _, m := range w.messages() {
		e, err := m.Decode()
		if err != nil {
			w.t.Fatal(err)
		}
		if m.Family == f && so(e) {
			list = append(list, e)
		}
	}
	return list
}
