package server

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/roster"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// These tests run in bubbles, in which minutes go by at once.

// keep lets a gateway keep the time until the test ends.
func keep(t *testing.T, a *api) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.keepTime(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("keeping the time ended: %v", err)
		}
	})
}

// off is a clock that differs from the log's.
func off(by time.Duration) func(*Config) {
	return func(c *Config) { c.Now = func() fact.UnixMilli { return machineClock().Add(by) } }
}

// pass lets time go by, until everything that it set off is done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// foldTime returns what time it is for the folds.
func foldTime(t testing.TB, runner *fold.Runner) (now fact.UnixMilli) {
	t.Helper()
	if err := runner.Query(func(_ fact.Seq, r view.Reader) error { now = roster.Now(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return now
}

// times returns the facts that time has passed, without the one that the log began with.
func times(t testing.TB, log eventlog.Log) (claimed, stored []fact.UnixMilli) {
	t.Helper()
	for _, e := range entries(t, log)[2:] {
		f, ok := e.Fact.(fact.TimePassed)
		if !ok {
			t.Fatalf("sequence %d holds %+v, want that time has passed", e.Seq, e.Fact)
		}
		claimed, stored = append(claimed, f.Time), append(stored, e.Stored)
	}
	return claimed, stored
}

// TestKeepTime: about once a minute, however many gateways there are.
func TestKeepTime(t *testing.T) {
	for name, offsets := range map[string][]time.Duration{
		"one gateway":                   {0},
		"two gateways":                  {0, 0},
		"five gateways":                 {0, 0, 0, 0, 0},
		"two that differ by a second":   {0, -time.Second},
		"two that differ by 20 seconds": {-20 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{})
				var a *api
				for _, by := range offsets {
					a = startGateway(t, log, off(by))
					keep(t, a)
				}
				pass(0)
				if claimed, _ := times(t, log); len(claimed) > 0 {
					t.Errorf("the log has just begun, and holds that %v has passed", claimed)
				}
				const minutes = 60
				last := foldTime(t, a.runner)
				for range 4 * minutes {
					pass(TimeInterval / 4)
					now := foldTime(t, a.runner)
					if late := time.Duration(machineClock()-now) * time.Millisecond; late < 0 || late > TimeInterval+TimeInterval/4 {
						t.Fatalf("the folds are %v late", late)
					}
					if now < last {
						t.Fatalf("the folds went from %v back to %v", last, now)
					}
					last = now
				}
				if claimed, _ := times(t, log); len(claimed) < minutes*4/5 || len(claimed) > minutes {
					t.Errorf("got %d facts in %d minutes, want about one a minute", len(claimed), minutes)
				}
			})
		})
	}
}

// TestKeepTimeExactly: not before a minute has passed since what the folds know, then at once.
func TestKeepTimeExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := begun(t, eventlog.Faults{})
		keep(t, startGateway(t, log))
		pass(TimeInterval - 1)
		if claimed, _ := times(t, log); len(claimed) != 0 {
			t.Errorf("got %v within the first minute, want nothing", claimed)
		}
		pass(1)
		if claimed, stored := times(t, log); len(claimed) != 1 || claimed[0] != machineClock() || stored[0] != machineClock() {
			t.Errorf("got %v, stored at %v, after a minute, want one, now: %v", claimed, stored, machineClock())
		}
	})
}

// TestKeepTimeAtOnce: a gateway that starts after a pause does not wait for its first tick.
func TestKeepTimeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := begun(t, eventlog.Faults{})
		pass(time.Hour)
		a := startGateway(t, log)
		keep(t, a)
		pass(retryPause) // its first write may come before it has folded what is there, and is refused then
		if late := machineClock() - foldTime(t, a.runner); late > fact.UnixMilli(retryPause.Milliseconds()) {
			t.Errorf("the folds are %d ms late", late)
		}
	})
}

// TestKeepTimeWrongClock: no single wrong clock runs the folds ahead or back, keeps them from going on beside a right
// one, or fills the log.
func TestKeepTimeWrongClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, wrong := range map[string]time.Duration{
		"a year ahead": year, "an hour ahead": time.Hour, "a minute ahead": time.Minute,
		"a minute behind": -time.Minute, "a year behind": -year, "before the epoch": -100 * year,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{})
				right, other := startGateway(t, log), startGateway(t, log, off(wrong))
				keep(t, other)
				keep(t, right)
				const minutes = 60
				for range minutes {
					pass(TimeInterval)
					for _, a := range []*api{right, other} {
						late := time.Duration(machineClock()-foldTime(t, a.runner)) * time.Millisecond
						if late < 0 || late > TimeInterval+TimeInterval/4 {
							t.Fatalf("the folds are %v late", late)
						}
					}
				}
				claimed, _ := times(t, log)
				if len(claimed) > 2*minutes+2 {
					t.Errorf("got %d facts in %d minutes, want at most one a minute of each gateway", len(claimed), minutes)
				}
			})
		})
	}
}

// TestKeepTimeSetBack: a clock that was ahead is set right, and the time goes on at once.
func TestKeepTimeSetBack(t *testing.T) {
	for name, by := range map[string]time.Duration{"a year": 365 * day, "an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{})
				clock := &wrongFor{}
				clock.set(by)
				a := startGateway(t, log, func(c *Config) { c.Now = clock.now })
				keep(t, a)
				pass(3 * TimeInterval)
				clock.set(0)
				for range 3 {
					pass(TimeInterval + TimeInterval/4)
					if late := late(t, a); late > TimeInterval+TimeInterval/4 {
						t.Errorf("the folds are %v late", late)
					}
				}
			})
		})
	}
}

// TestKeepTimeAloneBehind: a gateway that is alone with a clock that is behind says nothing until it has caught up with
// what the folds know: they wait, and do not go back.
func TestKeepTimeAloneBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := begun(t, eventlog.Faults{})
		start := machineClock()
		a := startGateway(t, log, off(-time.Hour))
		keep(t, a)
		pass(time.Hour + TimeInterval - 1)
		if claimed, _ := times(t, log); len(claimed) > 0 || foldTime(t, a.runner) != start {
			t.Errorf("got %v, and the folds at %v, want nothing yet", claimed, foldTime(t, a.runner))
		}
		pass(1)
		if claimed, _ := times(t, log); len(claimed) != 1 || foldTime(t, a.runner) != start.Add(TimeInterval) {
			t.Errorf("got %v, and the folds at %v, want one, and them a minute on", claimed, foldTime(t, a.runner))
		}
	})
}

// wrongFor is a clock that the log shares, and that is ahead for a while.
type wrongFor struct{ ahead atomic.Int64 } // milliseconds

func (w *wrongFor) now() fact.UnixMilli { return machineClock() + fact.UnixMilli(w.ahead.Load()) }

func (w *wrongFor) set(ahead time.Duration) { w.ahead.Store(ahead.Milliseconds()) }

// sharedClock runs a gateway on a log that stores at the times of the gateway's own clock, as on one machine.
func sharedClock(t *testing.T) (*wrongFor, *eventlog.Memory, *api) {
	t.Helper()
	clock := &wrongFor{}
	log := eventlog.NewMemory(clock.now, eventlog.Faults{})
	if err := genesis(t.Context(), Config{Config: serve.Config{Logger: quiet}, Now: clock.now}, log); err != nil {
		t.Fatal(err)
	}
	a := startGateway(t, log, func(c *Config) { c.Now = clock.now })
	keep(t, a)
	return clock, log, a
}

func late(t testing.TB, a *api) time.Duration {
	t.Helper()
	return time.Duration(machineClock()-foldTime(t, a.runner)) * time.Millisecond
}

// TestKeepTimeGlitch: twenty seconds of a clock in 2036, the log's own with it, are not the end of the Games.
func TestKeepTimeGlitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, _, a := sharedClock(t)
		pass(10*time.Minute + time.Second)
		clock.set(15 * 365 * day)
		pass(20 * time.Second)
		want := []string{"the clock showed "}
		if got := a.reasons(); len(got) != 1 || !strings.HasPrefix(got[0], want[0]) || !strings.Contains(got[0], "correct-time") ||
			!strings.Contains(got[0], machineClock().String()[:10]) || !strings.Contains(got[0], clock.now().String()[:10]) {
			t.Errorf("/readyz says %q, want both times and what helps", got)
		}
		clock.set(0)
		for range 60 {
			pass(TimeInterval)
			if late := late(t, a); late < 0 || late > TimeInterval+TimeInterval/4 {
				t.Fatalf("the folds are %v late", late)
			}
		}
		if got := a.reasons(); len(got) > 0 {
			t.Errorf("/readyz says %q, want nothing any more", got)
		}
		counted := prometheus.NewRegistry()
		counted.MustRegister(a.time.jumps)
		families, err := counted.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("got %v, %v, want one jump counted", families, err)
		}
	})
}

// TestKeepTimeBelieved: a clock that says so for an hour is believed, and meanwhile the time goes on.
func TestKeepTimeBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, _, a := sharedClock(t)
		pass(10 * time.Minute)
		clock.set(3 * day)
		for range 4 * 59 {
			pass(TimeInterval / 4)
			if late := late(t, a); late < 0 || late > TimeInterval+TimeInterval/4 {
				t.Fatalf("the folds are %v late", late)
			}
		}
		pass(2 * TimeInterval)
		if late := late(t, a) + 3*day; late < 0 || late > TimeInterval+TimeInterval/4 {
			t.Errorf("after an hour the folds are %v late by the clock that has moved", late)
		}
		if got := a.reasons(); len(got) > 0 {
			t.Errorf("/readyz says %q, want nothing any more", got)
		}
	})
}

// TestKeepTimeStart: a gateway that starts after a long pause believes its clock after an hour only.
func TestKeepTimeStart(t *testing.T) {
	for name, tt := range map[string]struct {
		stopped time.Duration
		doubts  bool
	}{"a day less the time of a try": {day - time.Minute, false}, "three days": {3 * day, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{})
				pass(tt.stopped)
				a := startGateway(t, log)
				keep(t, a)
				pass(TimeInterval)
				if late := late(t, a); (late > time.Hour) != tt.doubts || (len(a.reasons()) > 0) != tt.doubts {
					t.Errorf("a minute later the folds are %v late, and /readyz says %q; in doubt: %t", late, a.reasons(), tt.doubts)
				}
				pass(time.Hour + TimeInterval)
				if late := late(t, a); late > TimeInterval+TimeInterval/4 || len(a.reasons()) > 0 {
					t.Errorf("an hour later the folds are %v late, and /readyz says %q", late, a.reasons())
				}
			})
		})
	}
}

// TestKeepTimeCorrected: behind a correction the gateway goes on from the time that was set, though its clock is wrong still.
func TestKeepTimeCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, log, a := sharedClock(t)
		clock.set(15 * 365 * day)
		pass(2 * time.Hour)
		if late := late(t, a); late > -365*day {
			t.Fatalf("the folds are %v late, want them to have followed the wrong clock", late)
		}
		if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimeCorrected{Time: machineClock()}}}}); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			pass(TimeInterval)
			if late := late(t, a); late < 0 || late > TimeInterval+TimeInterval/4 {
				t.Fatalf("the folds are %v late", late)
			}
		}
		clock.set(0)
		pass(2 * TimeInterval)
		if late := late(t, a); late < 0 || late > TimeInterval+TimeInterval/4 || len(a.reasons()) > 0 {
			t.Errorf("with the clock set right the folds are %v late, and /readyz says %q", late, a.reasons())
		}
	})
}

// TestKeepTimeFaults: the log fails, in every way, and the time goes on when it is back.
func TestKeepTimeFaults(t *testing.T) {
	for name, faults := range map[string]eventlog.Faults{
		"lost":       {Append: sequence(eventlog.Lost, eventlog.Lost)},
		"unanswered": {Append: sequence(eventlog.Unanswered)},
		"late":       {Append: sequence(eventlog.Late)},
		"refused":    {Append: sequence(eventlog.NotStored)},
		"full":       {Enter: failFirst("Append", eventlog.ErrFull)},
		"stale":      {Stale: func(fact.Family) int { return 1 }, Append: sequence(eventlog.Unanswered)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, faults)
				a := startGateway(t, log)
				keep(t, a)
				pass(2*TimeInterval - 1)
				storeLate(log)
				synctest.Wait()
				if claimed, _ := times(t, log); len(claimed) != 1 {
					t.Errorf("got %v, want one", claimed)
				}
				if late := time.Duration(machineClock()-foldTime(t, a.runner)) * time.Millisecond; late > TimeInterval+TimeInterval/4 {
					t.Errorf("the folds are %v late", late)
				}
			})
		})
	}
}

// failFirst makes the first such call to a log fail.
func failFirst(which string, err error) func(string) error {
	return func(call string) error {
		if call != which {
			return nil
		}
		failed := err
		err = nil
		return failed
	}
}
