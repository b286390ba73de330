package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	"pinfold/services/gateway"
	"pinfold/services/steps"
)

// watched is a hub over a log in memory whose clock the test sets, with one watcher. It lives in a bubble.
type watched struct {
	log     *eventlog.Memory
	clock   fact.UnixMilli
	hub     *hub
	watcher *watcher
}

// startFold runs a core over the log.
func startFold(t *testing.T, log eventlog.Log, core fold.Core) *fold.Runner {
	t.Helper()
	runner, err := fold.Open(t.Context(), fold.Config{Core: core, Log: log, View: view.NewMemory(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	goUntilEnd(t, runner.Run)
	return runner
}

// goUntilEnd runs something until the test ends.
func goUntilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// startHub starts a hub behind the facts, for which it is the day that today says. Its watcher watches the first wearer.
func startHub(t *testing.T, clock fact.UnixMilli, today func(eventlog.Log) func(context.Context, fact.Seq) (string, error), facts ...fact.Fact) *watched {
	t.Helper()
	w := &watched{clock: clock}
	w.log = eventlog.NewMemory(func() fact.UnixMilli { return w.clock }, eventlog.Faults{})
	head := w.write(t, facts...)
	end, err := eventlog.End(t.Context(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	w.hub = newHub(w.log, end, startFold(t, w.log, gateway.Core{}), today(w.log), quiet)
	goUntilEnd(t, w.hub.run)
	goUntilEnd(t, w.hub.keepDay)
	var at fact.Seq
	if w.watcher, at = w.hub.watch(fact.WearerID{1}); at != head {
		t.Errorf("watching from %d, want %d", at, head)
	}
	return w
}

func (w *watched) write(t *testing.T, facts ...fact.Fact) fact.Seq {
	t.Helper()
	seq, err := w.log.Append(t.Context(), batch(facts, nil))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// passed lets it be a time, and writes that.
func (w *watched) passed(t *testing.T, at fact.UnixMilli) fact.Seq {
	t.Helper()
	w.clock = at
	return w.write(t, fact.TimePassed{Time: at})
}

// wantWake checks that the watcher was woken, with the sequence, or where that is 0 that it was not.
func (w *watched) wantWake(t *testing.T, want fact.Seq, what string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-w.watcher.wake:
		if got := w.hub.changed(w.watcher); got != want {
			t.Errorf("%s: woken by %d, want %d", what, got, want)
		}
	default:
		if want > 0 {
			t.Errorf("%s: not woken, want to be by %d", what, want)
		}
	}
}

// stepsToday is the day that it is for a steps service over the log.
func stepsToday(t *testing.T) func(eventlog.Log) func(context.Context, fact.Seq) (string, error) {
	return func(log eventlog.Log) func(context.Context, fact.Seq) (string, error) {
		runner := startFold(t, log, steps.Core{})
		return func(ctx context.Context, minSeq fact.Seq) (day string, err error) {
			if err := runner.Wait(ctx, minSeq); err != nil {
				return "", err
			}
			err = runner.Query(func(_ fact.Seq, r view.Reader) error {
				today, _ := steps.Today(r)
				day = today.String()
				return nil
			})
			return day, err
		}
	}
}

// evening is two minutes before midnight in Tokyo.
var evening = fact.UnixMilli(time.Date(2021, 7, 23, 23, 58, 0, 0, time.FixedZone("JST", 9*3600)).UnixMilli())

// TestHubNewDay begins a hub late in the evening in Tokyo: the first TimePassed of all and the first behind midnight wake
// every watcher, with their own sequences.
func TestHubNewDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startHub(t, evening, stepsToday(t), fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: evening})
		w.wantWake(t, w.passed(t, evening.Add(time.Minute)), "the first time that came by")
		w.clock = evening.Add(time.Minute + 30*time.Second)
		w.write(t, fact.TimePassed{Time: w.clock.Add(time.Hour)})
		w.wantWake(t, 0, "a clock that is ahead")
		w.clock = evening.Add(2*time.Minute + 30*time.Second)
		w.wantWake(t, w.write(t, fact.TimePassed{Time: w.clock.Add(time.Hour)}), "the first time behind midnight")
		w.wantWake(t, 0, "and once only")
	})
}

// TestHubMidnightIsThatOfSteps adopts rules with another zone after steps have counted: midnight stays where it was for
// the steps, and nobody is woken at the new one.
func TestHubMidnightIsThatOfSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		utc := rules.Tokyo2020()
		utc.Zone = []fact.ZoneOffset{{}}
		key := fact.PublicKey{1}
		w := startHub(t, evening, stepsToday(t),
			fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: evening},
			fact.PinRegistered{Key: key}, fact.PinPaired{Wearer: fact.WearerID{1}, Proof: fact.Proof{Pin: key.PinID()}},
			fact.StepsReported{Report: fact.StepReport{Pin: key.PinID(), FirstSlot: 1_807_000, Steps: []uint16{100}}})
		w.wantWake(t, w.write(t, fact.RulesAdopted{Rules: utc}), "other rules")
		w.wantWake(t, w.passed(t, evening.Add(time.Minute)), "the first time that came by")
		w.wantWake(t, w.passed(t, evening.Add(2*time.Minute)), "midnight in Tokyo")
		w.passed(t, evening.Add(9*time.Hour+time.Minute))
		w.wantWake(t, 0, "one minute before midnight UTC")
		w.passed(t, evening.Add(9*time.Hour+3*time.Minute))
		w.wantWake(t, 0, "midnight UTC")
		w.wantWake(t, w.passed(t, evening.Add(24*time.Hour+2*time.Minute)), "the next midnight in Tokyo")
	})
}

// TestHubTimeCorrected: the time is set back over midnight, and forward again: the day changes both ways, and everybody is
// woken by the correction itself.
func TestHubTimeCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startHub(t, evening, stepsToday(t), fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: evening})
		w.wantWake(t, w.passed(t, evening), "the first time that came by")
		w.wantWake(t, w.passed(t, evening.Add(15*365*24*time.Hour)), "a clock in 2036, of gateway and log")
		w.clock = evening.Add(time.Minute)
		w.wantWake(t, w.write(t, fact.TimeCorrected{Time: w.clock}), "set right")
		w.passed(t, evening.Add(2*time.Minute-1))
		w.wantWake(t, 0, "just before midnight")
		w.wantWake(t, w.passed(t, evening.Add(2*time.Minute)), "midnight")
		w.wantWake(t, w.write(t, fact.TimeCorrected{Time: evening}), "set back over midnight")
		w.wantWake(t, w.write(t, fact.TimeCorrected{Time: w.clock}), "and forward")
	})
}

// TestHubDays: whatever day it was, another one wakes everybody, an earlier one too. While the steps service is away the
// other wakes go on, and the day is asked for until it says it. Without a watcher nobody is asked.
func TestHubDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		day, asked := "2021-07-24", 0
		say := func(d string) { mu.Lock(); defer mu.Unlock(); day = d }
		today := func(eventlog.Log) func(context.Context, fact.Seq) (string, error) {
			return func(context.Context, fact.Seq) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				if asked++; day == "" {
					return "", errors.New("away")
				}
				return day, nil
			}
		}
		w := startHub(t, evening, today, fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: evening})
		w.wantWake(t, w.passed(t, evening), "the first")
		say("2021-07-23")
		w.wantWake(t, w.passed(t, evening), "the day before")
		say("")
		tick := w.passed(t, evening)
		w.wantWake(t, 0, "nobody knows")
		w.wantWake(t, w.write(t, fact.BackgroundChosen{Wearer: fact.WearerID{1}, Background: "judo"}), "a choice meanwhile")
		say("2021-07-24")
		pass(maxPause)
		w.wantWake(t, w.hub.changed(w.watcher), "the day is known again")
		if got := w.hub.changed(w.watcher); got <= tick {
			t.Errorf("the last change is %d, want the choice behind %d: a change does not go back", got, tick)
		}
		w.hub.leave(w.watcher)
		before := asked
		w.passed(t, evening)
		synctest.Wait()
		if asked != before {
			t.Error("asked for the day though nobody watches")
		}
	})
}

// TestHubWakes: which fact wakes whom.
func TestHubWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ann, bob, eve := fact.WearerID{1}, fact.WearerID{2}, fact.WearerID{3}
		key := fact.PublicKey{1}
		day := func(eventlog.Log) func(context.Context, fact.Seq) (string, error) {
			return func(context.Context, fact.Seq) (string, error) { return "2021-07-23", nil }
		}
		w := startHub(t, evening, day, fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.PinRegistered{Key: key})
		watchers := map[string]*watcher{"ann": w.watcher}
		for name, wearer := range map[string]fact.WearerID{"bob": bob, "eve": eve} {
			watchers[name], _ = w.hub.watch(wearer)
		}
		w.passed(t, evening)
		synctest.Wait()
		for _, one := range watchers {
			<-one.wake // the first time
		}
		for _, tt := range []struct {
			fact fact.Fact
			want []string
		}{
			{fact.PinPaired{Wearer: ann, Proof: fact.Proof{Pin: key.PinID()}}, []string{"ann"}},
			{fact.FriendshipFormed{Lo: ann, Hi: bob}, []string{"ann", "bob"}},
			{fact.FriendshipEnded{Lo: ann, Hi: bob, Ending: fact.EndedUnfriended}, []string{"ann", "bob"}},
			{fact.FriendshipEnded{Lo: bob, Hi: eve, Ending: fact.EndedRevoked}, []string{"bob", "eve"}},
			{fact.BackgroundUnlocked{Wearer: bob, Background: "judo"}, []string{"bob"}},
			{fact.MedalAwarded{Wearer: eve, Medal: fact.Bronze}, []string{"eve"}},
			{fact.StepGoalReached{Wearer: ann}, []string{"ann"}},
			{fact.BackgroundChosen{Wearer: bob, Background: "judo"}, []string{"bob"}},
			{fact.WearerErased{Wearer: eve}, []string{"eve"}},
			{fact.StepsReported{Report: fact.StepReport{Pin: key.PinID(), FirstSlot: 1, Steps: []uint16{1}}}, []string{"ann"}},
			{fact.StepsReported{Report: fact.StepReport{Pin: fact.PinID{9}, FirstSlot: 1, Steps: []uint16{1}}}, nil},
			{fact.AwardRevoked{Reason: fact.RevokedFraud}, []string{"ann", "bob", "eve"}},
			{fact.RulesAdopted{Rules: rules.Tokyo2020()}, []string{"ann", "bob", "eve"}},
			{fact.TimePassed{Time: evening}, nil},
		} {
			seq, err := w.log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{derivedIfNeedBe(tt.fact)}})
			if err != nil {
				t.Fatalf("%T: %v", tt.fact, err)
			}
			synctest.Wait()
			for name, one := range watchers {
				woken := false
				select {
				case <-one.wake:
					woken = w.hub.changed(one) == seq
				default:
				}
				want := false
				for _, n := range tt.want {
					want = want || n == name
				}
				if woken != want {
					t.Errorf("%T: %s was woken: %t, want %t", tt.fact, name, woken, want)
				}
			}
		}
	})
}

// derivedIfNeedBe returns the record of a fact, with a derivation if it is a derived one.
func derivedIfNeedBe(f fact.Fact) fact.Record {
	r := fact.Record{Fact: f}
	switch f.Family() {
	case fact.Friendship, fact.Award, fact.Goal:
		r.Derivation = fact.Derivation{Cause: 1, Index: 0, Count: 1}
	}
	return r
}

// TestHubTailLost: a hub that runs ends with a RewrittenError when the log comes back from an older copy and others write.
func TestHubTailLost(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	err := logtest.LoseTail(t, func(log *eventlog.JetStream) logtest.Follower {
		runner, err := fold.Open(t.Context(), fold.Config{Core: gateway.Core{}, Log: log, View: view.NewMemory(), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		folded := make(chan struct{})
		go func() {
			defer close(folded)
			_ = runner.Run(ctx) // it finds out too
		}()
		t.Cleanup(func() { cancel(); <-folded })
		end, err := eventlog.End(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		return logtest.Follower{Run: newHub(log, end, runner, func(context.Context, fact.Seq) (string, error) { return "", nil }, quiet).run, Reached: runner.Wait}
	})
	if _, ok := errors.AsType[*eventlog.RewrittenError](err); !ok || !strings.Contains(err.Error(), "watchers") {
		t.Errorf("got %v, want a RewrittenError of the watchers", err)
	}
}

// TestStopWhileAsked ends the hub while it asks what day it is: that no answer came is nothing to warn of.
func TestStopWhileAsked(t *testing.T) {
	var logged bytes.Buffer // read after the hub has ended
	asked := make(chan struct{})
	h := newHub(nil, eventlog.Position{}, nil, func(ctx context.Context, _ fact.Seq) (string, error) {
		close(asked)
		<-ctx.Done()
		return "", ctx.Err()
	}, slog.New(slog.NewTextHandler(&logged, nil)))
	h.watch(fact.WearerID{1})
	h.tick()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.keepDay(ctx) }()
	<-asked
	cancel()
	if err := <-ended; err != nil || logged.Len() > 0 {
		t.Errorf("got %v and %q, want an end without a word", err, &logged)
	}
}
