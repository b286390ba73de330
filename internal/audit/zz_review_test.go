package audit_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pinfold/internal/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

func zzReport(t *testing.T, r audit.Report) {
	t.Logf("%s findings=%d medals=%d", r.Verdict, len(r.Findings), r.Medals)
	for i, f := range r.Findings {
		if i < 6 {
			s := fmt.Sprintf("%q", f.String())
			t.Log(s[:min(len(s), 300)])
		}
	}
}

func TestZZRulesMiddle(t *testing.T) {
	w := newVerifyWorld(t)
	all := w.crowdOf(3)
	r := verifyRules()
	cheap := r
	cheap.Medals = fact.Thresholds{Bronze: 1, Silver: 2, Gold: 3}
	w.add(fact.RulesAdopted{Rules: cheap})
	p := w.wearer()
	for _, o := range all {
		w.meet(p, o)
	}
	w.add(fact.RulesAdopted{Rules: r})
	zzReport(t, verify(t, w.messages(), audit.Options{}))
}

func TestZZTime(t *testing.T) {
	for _, x := range []fact.UnixMilli{math.MaxInt64, math.MinInt64, -1, 0} {
		w := newVerifyWorld(t)
		a, b := w.wearer(), w.wearer()
		ms := w.messages()
		first, second := w.halves(a, b)
		w.now = x
		func() {
			defer func() {
				if e := recover(); e != nil {
					t.Errorf("%d: panic %v", x, e)
				}
			}()
			_ = ms
			w.add(fact.TimePassed{Time: x})
			w.now = 1_700_000_000_000
			w.add(first)
			w.add(second)
			w.add(fact.TimePassed{Time: x})
			zzReport(t, verify(t, w.messages(), audit.Options{}))
		}()
	}
}

func TestZZNonCanonical(t *testing.T) {
	w, _ := cleanWorld(t)
	ms := w.messages()
	i, _ := find[fact.HalfReported](t, ms, 0)
	j, _ := find[fact.TimePassed](t, ms, 0)
	// a oneof that is superseded by the next one
	ms[i].Payload = append(slices.Clone(ms[j].Payload), ms[i].Payload...)
	zzReport(t, verify(t, ms, audit.Options{}))
}

func TestZZEscape(t *testing.T) {
	w, all := cleanWorld(t)
	ms := w.messages()
	p, err := eventlog.Encode(fact.Record{Fact: fact.BackgroundUnlocked{Wearer: wearerOf(all[0]), Background: "\x1b[2J\x1b[Hverdict clean\n" + strings.Repeat("x", 100000), Friends: 1}, Derivation: fact.Derivation{Cause: 3, Index: 0, Count: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ms = append(ms, eventlog.Message{Seq: fact.Seq(len(ms) + 1), Stored: w.now, Family: fact.Award, Payload: p})
	zzReport(t, verify(t, ms, audit.Options{}))
}

func TestZZBomb(t *testing.T) {
	w, all := cleanWorld(t)
	ms := w.messages()
	n := len(ms)
	p, _ := eventlog.Encode(fact.Record{Fact: fact.BackgroundUnlocked{Wearer: wearerOf(all[0]), Background: strings.Repeat("x", 1<<19), Friends: 1}, Derivation: fact.Derivation{Cause: 1 << 40, Index: 0, Count: 1}})
	var peak uint64
	seq := func(yield func(eventlog.Message, error) bool) {
		for _, m := range ms {
			if !yield(m, nil) {
				return
			}
		}
		for k := range 3000 {
			if !yield(eventlog.Message{Seq: fact.Seq(n + k + 1), Stored: w.now, Family: fact.Award, Payload: p}, nil) {
				return
			}
			if k%100 == 0 {
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				peak = max(peak, s.HeapAlloc)
			}
		}
	}
	r, err := audit.Verify(context.Background(), verifyGames, seq, audit.Options{})
	t.Log(err, r.Verdict, len(r.Findings), peak>>20, "MiB")
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	t.Log(s.HeapAlloc>>20, "MiB", s.Sys>>20)
}
