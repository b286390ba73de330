package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// The golden logs: archives of every kind of fact that there was, and the report of each. None is ever made again: what a
// log of that day proved, it proves for ever. A new kind of fact or a new fold means a new golden log beside them: it is what
// makeGoldenLog makes.
var goldenLogs = []struct {
	name     string
	kinds    int // of everyFact
	refusals []fact.Refusal
}{
	{"testdata/golden-log-1", 20, nil},
	{"testdata/golden-log-2", 22, nil},             // times that are corrected, marks of all pins, a restore
	{"testdata/golden-log-3", 22, fact.Refusals()}, // also an opening and a closing, eras, what comes again after an ending
}

var makeLog = flag.Bool("make-golden-log", false, "make the last golden log, if it is not there")

// TestGoldenLog verifies the golden logs.
func TestGoldenLog(t *testing.T) {
	if *makeLog {
		makeGoldenLog(t, goldenLogs[len(goldenLogs)-1].name)
	}
	for _, g := range goldenLogs {
		t.Run(filepath.Base(g.name), func(t *testing.T) { testGoldenLog(t, g.name, everyFact[:g.kinds], g.refusals) })
	}
	if last := goldenLogs[len(goldenLogs)-1]; last.kinds != len(everyFact) {
		t.Errorf("the last golden log has %d kinds of facts of %d", last.kinds, len(everyFact))
	}
}

func testGoldenLog(t *testing.T, name string, want []fact.Fact, refusals []fact.Refusal) {
	archive, err := os.ReadFile(name + ".pinfold")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := audit.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var messages []eventlog.Message
	kinds, refused := map[string]bool{}, map[fact.Refusal]bool{}
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
		if f, ok := e.Fact.(fact.HalfRefused); ok {
			refused[f.Refusal] = true
		}
	}
	for _, r := range refusals {
		if !refused[r] {
			t.Errorf("the golden log has no half that was refused as %v", r)
		}
	}
	for _, f := range want {
		if !kinds[reflect.TypeOf(f).Name()] {
			t.Errorf("the golden log has no %T", f)
		}
	}
	var report audit.Report
	text, err := os.ReadFile(name + ".json")
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := reader.Header()
	got, err := audit.Verify(t.Context(), h.Games, each(messages, nil), audit.Options{Epoch: h.Epoch, Kept: h.Kept})
	if err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(report)
	if !bytes.Equal(gotText, wantText) || got.Verdict != audit.Clean {
		t.Errorf("got %s, want %s", gotText, wantText)
	}
}

// everyFact has one fact of each kind, in the order in which they came to be.
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
	fact.TimeCorrected{},
	fact.Restored{},
}

// makeGoldenLog makes the golden log where there is none.
func makeGoldenLog(t *testing.T, name string) {
	if _, err := os.Stat(name + ".pinfold"); !errors.Is(err, os.ErrNotExist) {
		return
	}
	w, all := cleanWorld(t)
	blocked, _ := find[fact.Blocked](t, w.messages(), 0)
	formed := w.derived(fact.Friendship, func(e fact.Entry) bool { _, ok := e.Fact.(fact.FriendshipFormed); return ok })
	medals := w.derived(fact.Award, func(e fact.Entry) bool { _, ok := e.Fact.(fact.MedalAwarded); return ok })
	unlocked := w.derived(fact.Award, func(e fact.Entry) bool { _, ok := e.Fact.(fact.BackgroundUnlocked); return ok })
	last := formed[len(formed)-1]
	medal, background := medals[0], unlocked[0].Fact.(fact.BackgroundUnlocked)
	changed := verifyRules()
	changed.Medals.Gold = 5
	by := fact.Order{Session: fact.SessionID{7}, Operator: "desk-3"}
	unblocked := w.add(fact.Unblocked{Wearer: wearerOf(all[5]), Other: wearerOf(all[4]), After: fact.Seq(blocked + 1), Order: by})
	w.add(fact.Blocked{Wearer: wearerOf(all[5]), Pin: all[5].ID(), Other: wearerOf(all[4]), After: unblocked})
	w.wrongClock(all[0], all[1])
	w.add(fact.FriendshipRevoked{Friendship: last.Derivation.Cause, Reason: fact.RevokedError, Order: by})
	w.add(fact.AwardRevoked{Cause: medal.Derivation.Cause, Index: medal.Derivation.Index, Reason: fact.RevokedError})
	w.add(fact.BackgroundChosen{Wearer: background.Wearer, Background: background.Background})
	w.add(fact.RulesAdopted{Rules: changed})
	w.add(fact.PinRetired{Pin: all[1].ID(), Reason: fact.RetiredLost})
	first, second := w.halves(all[1], all[2])
	w.add(first, second)
	w.add(fact.WearerErased{Wearer: wearerOf(all[3])})
	w.now += 15 * 24 * 60 * 60 * 1000
	w.add(fact.TimePassed{Time: w.now})
	w.doors(changed)

	kept := w.messages()
	w.add(fact.Restored{Epoch: 2, Kept: fact.Seq(len(kept)), Root: rootOf(t, kept), Operator: by.Operator})
	w.add(fact.TimePassed{Time: w.now})

	h := audit.Header{Games: verifyGames, Epoch: 2, First: 1, Kept: fact.Seq(len(kept)), CreatedBy: "pinfold, a golden log"}
	archive := archiveOf(t, h, w.messages())
	report, err := audit.Verify(t.Context(), verifyGames, each(w.messages(), nil), audit.Options{Epoch: h.Epoch, Kept: h.Kept})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{name + ".pinfold": archive, name + ".json": append(text, '\n')} {
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
