package server

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// answers is a log whose Append answers as it is told, after so long.
type answers struct {
	eventlog.Log
	last  fact.Seq
	err   error
	after time.Duration
}

func (a *answers) Append(ctx context.Context, _ eventlog.Batch) (fact.Seq, error) {
	select {
	case <-time.After(a.after):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if a.err != nil {
		return 0, a.err
	}
	a.last++
	return a.last, nil
}

// TestWrites: writes have stopped where one waits for longer than 5 s to be stored, or to come by.
func TestWrites(t *testing.T) {
	const second = time.Second
	type step struct {
		after  time.Duration // pause before it
		err    error         // of the write
		takes  time.Duration
		unread bool // what is stored does not come by
		facts  int  // 0 = one
	}
	for name, tt := range map[string]struct {
		steps []step
		after time.Duration // when it is looked at, after the last step began
		want  time.Duration
	}{
		"nothing is written":                {},
		"all is well":                       {[]step{{}, {after: second}, {after: time.Hour}}, 10 * second, 0},
		"slow":                              {[]step{{takes: 4 * second}}, 3 * second, 0},
		"no answer for 5 s":                 {[]step{{takes: time.Hour}}, 5 * second, 0},
		"no answer for longer":              {[]step{{takes: time.Hour}}, 6 * second, 6 * second},
		"an answer after all":               {[]step{{takes: 8 * second}}, 9 * second, 0},
		"stored, and does not come by":      {[]step{{unread: true}}, 6 * second, 6 * second},
		"and another":                       {[]step{{unread: true}, {after: 4 * second, unread: true}}, 3 * second, 7 * second},
		"came by":                           {[]step{{unread: true}, {after: 7 * second}}, 2 * second, 0},
		"fails":                             {[]step{{err: eventlog.ErrUnanswered}}, 6 * second, 6 * second},
		"fails again and again":             {[]step{{err: eventlog.ErrNotStored}, {after: 3 * second, err: eventlog.ErrUnanswered}, {after: 3 * second, err: eventlog.ErrNotStored}}, second, 7 * second},
		"fails and works":                   {[]step{{err: eventlog.ErrUnanswered}, {after: 7 * second}}, 0, 0},
		"works, and fails since":            {[]step{{}, {after: 20 * second, err: eventlog.ErrUnanswered}}, 7 * second, 7 * second},
		"fails, and nobody tries again":     {[]step{{err: eventlog.ErrUnanswered}}, 61 * second, 0},
		"fails for an hour":                 {[]step{{err: eventlog.ErrUnreachable}, {after: 59 * second, err: eventlog.ErrUnreachable}, {after: 59 * second, err: eventlog.ErrUnreachable}}, 2 * second, 120 * second},
		"full":                              {[]step{{err: eventlog.ErrFull}}, 6 * second, 6 * second},
		"its time-out":                      {[]step{{err: context.DeadlineExceeded}}, 6 * second, 6 * second},
		"another was first":                 {[]step{{err: eventlog.ErrConflict}}, 6 * second, 0},
		"its writer has gone":               {[]step{{err: context.Canceled}}, 6 * second, 0},
		"no batch at all":                   {[]step{{err: errors.New("too large")}}, 6 * second, 0},
		"one that is refused for good":      {[]step{{err: eventlog.ErrRefused}}, 6 * second, 6 * second},
		"and another that is not":           {[]step{{err: eventlog.ErrRefused}, {after: second}}, 6 * second, 0},
		"a batch that is too large":         {[]step{{err: eventlog.ErrRefused, facts: 2}}, 6 * second, 0},
		"one came by that began too early":  {[]step{{takes: 3 * second}, {after: second, err: eventlog.ErrNotStored}}, 7 * second, 7 * second},
		"one that came by began afterwards": {[]step{{err: eventlog.ErrNotStored}, {after: second, takes: 3 * second}}, 9 * second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, read := &answers{}, atomic.Uint64{}
				w := newWrites(log, func() fact.Seq { return fact.Seq(read.Load()) })
				for _, s := range tt.steps {
					pass(s.after)
					log.err, log.after = s.err, s.takes
					go w.Append(t.Context(), eventlog.Batch{Records: make([]fact.Record, max(s.facts, 1))}) //nolint:errcheck // what became of it is known
					synctest.Wait()
					if !s.unread {
						read.Store(100)
					}
				}
				pass(tt.after)
				got, _ := w.stopped()
				if got != tt.want {
					t.Errorf("writes have stopped for %v, want %v", got, tt.want)
				}
				if reasons := w.reasons(); (tt.want > 0) != (len(reasons) == 1 && strings.HasPrefix(reasons[0], "writes stopped "+tt.want.String()+" ago")) {
					t.Errorf("got the reasons %q, writes have stopped for %v", reasons, tt.want)
				}
			})
		})
	}
}
