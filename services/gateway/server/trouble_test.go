package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// stubborn is a log that refuses for good what its rule is against, and keeps the sizes of what it was asked to store.
type stubborn struct {
	*eventlog.Memory
	against func(eventlog.Batch) bool

	mu    sync.Mutex
	sizes []int
}

func newStubborn(against func(eventlog.Batch) bool) *stubborn {
	return &stubborn{Memory: eventlog.NewMemory(machineClock, eventlog.Faults{}), against: against}
}

func largerThan(n int) func(eventlog.Batch) bool {
	return func(b eventlog.Batch) bool { return len(b.Records) > n }
}

func (s *stubborn) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	s.mu.Lock()
	s.sizes = append(s.sizes, len(b.Records))
	refuses := s.against(b)
	s.mu.Unlock()
	if refuses {
		return 0, fmt.Errorf("%w: atomic publish batch is too large", eventlog.ErrRefused)
	}
	return s.Memory.Append(ctx, b)
}

// TestCommitterTooLarge: a batch that is too large for the server goes in parts, and no further one is.
func TestCommitterTooLarge(t *testing.T) {
	log := newStubborn(largerThan(100))
	c := newCommitter(log, quiet)
	tickets := submit(c, 0, 999)
	run(t, c)
	wantAnswers(t, log, tickets, 0, accepted, noReason)
	tried := len(log.sizes)
	wantAnswers(t, log, submit(c, 1000, 3000), 1000, accepted, noReason)
	if n := slices.Max(log.sizes[tried:]); n > 100 {
		t.Errorf("a batch of %d was tried after the limit had been met, want no more than 100", n)
	}
	if n := slices.Max(log.sizes[tried:]); n < 50 {
		t.Errorf("the largest batch was of %d statements, want what the server takes, about", n)
	}
}

// TestCommitterPoison: one statement that the server never takes holds up no other, and makes no batch smaller.
func TestCommitterPoison(t *testing.T) {
	log := newStubborn(func(b eventlog.Batch) bool {
		return slices.ContainsFunc(b.Records, func(r fact.Record) bool {
			return r.Fact.(fact.HalfReported).Half.Counter == 421
		})
	})
	c := newCommitter(log, quiet)
	tickets := submit(c, 0, 1000)
	run(t, c)
	wantAnswers(t, log, tickets[421:422], 421, refusal, unavailably)
	wantAnswers(t, log, tickets[:421], 0, accepted, noReason)
	wantAnswers(t, log, tickets[422:], 422, accepted, noReason)
	if c.largest != eventlog.MaxBatch {
		t.Errorf("batches are of %d statements at most from now on, want %d", c.largest, eventlog.MaxBatch)
	}
}

// TestCommitterRefusedAll: where the server takes nothing, whatever its size, not each of 1,000 statements is tried.
func TestCommitterRefusedAll(t *testing.T) {
	log := newStubborn(func(eventlog.Batch) bool { return true })
	c := newCommitter(log, quiet)
	tickets := submit(c, 0, 1000)
	run(t, c)
	wantAnswers(t, log, tickets, 0, refusal, unavailably)
	if n := len(log.sizes); n > 40 {
		t.Errorf("the log was asked %d times: %v", n, log.sizes)
	}
	if c.largest != eventlog.MaxBatch {
		t.Errorf("batches are of %d statements at most from now on, want %d", c.largest, eventlog.MaxBatch)
	}
}

// TestClerkTooLarge: where the server takes no batch so large, the clerk writes in parts, and the caller learns nothing
// of it.
func TestClerkTooLarge(t *testing.T) {
	inner := begun(t, eventlog.Faults{})
	log := &stubborn{Memory: inner, against: largerThan(100)}
	a := startGateway(t, log)
	people := crowdOf(1000)
	r, err := register(t.Context(), a, people...)
	if err != nil || r.GetRegistered() != 1000 || r.GetSeq() != 1002 {
		t.Fatalf("got %v, %v, want 1000 pins registered, the last at sequence 1002", r, err)
	}
	if got := countOf[fact.PinRegistered](t, log); got != 1000 {
		t.Errorf("the log holds %d registrations, want 1000", got)
	}
	// Half of them are known to a second call: the others are written.
	r, err = register(t.Context(), a, append(people[500:], registerable(1000, 500)...)...)
	if err != nil || r.GetRegistered() != 500 || r.GetSeq() != 1502 {
		t.Errorf("got %v, %v, want 500 pins registered, the last at sequence 1502", r, err)
	}
}

func registerable(first, n int) (people []person) {
	for i := range n {
		people = append(people, newPerson(fmt.Sprint(first+i)))
	}
	return people
}

// TestClerkRefused: what the server takes in no size is told at once, and for good.
func TestClerkRefused(t *testing.T) {
	log := &stubborn{Memory: begun(t, eventlog.Faults{}), against: func(eventlog.Batch) bool { return true }}
	a := startGateway(t, log)
	for range 2 {
		_, err := register(t.Context(), a, crowdOf(100)...)
		wantError(t, err, codes.FailedPrecondition, unavailably)
	}
	if n := len(log.sizes); n > 20 {
		t.Errorf("the log was asked %d times: %v", n, log.sizes)
	}
}

// TestCommitterRests: phones that come again at once, to a log that takes nothing, are held up longer and longer, and the
// process's log says so now and then. When the log takes statements again they are stored within a second.
func TestCommitterRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		var broken atomic.Bool
		broken.Store(true)
		var appends atomic.Int32
		log := eventlog.NewMemory(machineClock, eventlog.Faults{Enter: func(call string) error {
			if call != "Append" {
				return nil
			}
			appends.Add(1)
			if broken.Load() {
				return fmt.Errorf("%w: no responders", eventlog.ErrNotStored)
			}
			return nil
		}})
		c := newCommitter(log, slog.New(slog.NewTextHandler(&lines, nil)))
		run(t, c)
		const outage = 33 * time.Second
		began := time.Now()
		for time.Since(began) < outage {
			wantAnswers(t, log, submit(c, 0, 1), 0, refusal, unavailably)
		}
		if n := appends.Load(); n < 30 || n > 50 {
			t.Errorf("the log was tried %d times in %v, want about once a second", n, outage)
		}
		broken.Store(false)
		back := time.Now()
		wantAnswers(t, log, submit(c, 0, 1), 0, accepted, noReason)
		if took := time.Since(back); took > maxPause {
			t.Errorf("the first statement took %v after the log was back, want %v at most", took, maxPause)
		}
		for range 5 { // and then there is no pause any more
			before := time.Now()
			wantAnswers(t, log, submit(c, 0, 1), 0, already, noReason)
			submit(c, uint32(appends.Load()), uint32(appends.Load())+1)
			if took := time.Since(before); took != 0 {
				t.Errorf("a statement took %v, want no pause", took)
			}
		}
		synctest.Wait() // for what was submitted last
		text := lines.String()
		if got := strings.Count(text, "level=WARN"); got != 4 { // at once, and every 10 s
			t.Errorf("got %d warnings in %v, want 4:\n%s", got, outage, text)
		}
		for _, want := range []string{"no responders", "statements are stored again", "failures="} {
			if !strings.Contains(text, want) {
				t.Errorf("got no %q in:\n%s", want, text)
			}
		}
	})
}

// TestCommitterFailsTogether: batches that were on their way at once and fail together count as one failure.
func TestCommitterFailsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &muted{Memory: eventlog.NewMemory(machineClock, eventlog.Faults{})}
		log.silent.Store(true)
		c := newCommitter(log, quiet)
		run(t, c)
		submit(c, 0, 8000)
		<-time.After(appendTimeout)
		synctest.Wait()
		if c.failures != 1 {
			t.Errorf("got %d failures of %d batches that were on their way at once, want 1", c.failures, maxOnWay)
		}
	})
}

// TestCommitterForgets: when the log came back without its end and grew anew, whoever repeats what was there is not told
// that it still is.
func TestCommitterForgets(t *testing.T) {
	for name, grow := range map[string]struct {
		by   int  // facts of another gateway
		read bool // the gateway's reading comes by them
		own  bool // a statement of this one
	}{
		"a statement stands lower than one before": {own: true},
		"another fact stands there":                {by: 100, read: true},
		"both":                                     {by: 10, read: true, own: true},
	} {
		t.Run(name, func(t *testing.T) {
			log := eventlog.NewMemory(machineClock, eventlog.Faults{})
			c := newCommitter(log, quiet)
			run(t, c)
			wantAnswers(t, log, submit(c, 0, 60), 0, accepted, noReason)
			passAll(t, log, c)
			wantAnswers(t, log, submit(c, 60, 90), 60, accepted, noReason)
			wantAnswers(t, log, submit(c, 90, 120), 90, accepted, noReason)
			wantAnswers(t, log, submit(c, 0, 120), 0, already, noReason)
			log.Truncate(60)
			if grow.by > 0 {
				other := newCommitter(log, quiet)
				run(t, other)
				wantAnswers(t, log, submit(other, 1000, 1000+uint32(grow.by)), 1000, accepted, noReason)
			}
			if grow.own {
				wantAnswers(t, log, submit(c, 500, 501), 500, accepted, noReason)
			}
			if grow.read {
				passAll(t, log, c)
			}
			wantAnswers(t, log, submit(c, 60, 120), 60, accepted, noReason)
			wantAnswers(t, log, submit(c, 60, 120), 60, already, noReason)
		})
	}
}

// passAll has the committer's gateway come by all that the log holds.
func passAll(t *testing.T, log eventlog.Log, c *committer) {
	t.Helper()
	var msgs []eventlog.Message
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := fact.Seq(1); seq <= head.Last; seq++ {
		m, ok, err := log.At(t.Context(), seq)
		if !ok || err != nil {
			t.Fatalf("sequence %d: %v, %v", seq, ok, err)
		}
		msgs = append(msgs, m)
	}
	c.pass(msgs)
}

// TestCommitterReplaced: what an epoch stored says nothing of the next one.
func TestCommitterReplaced(t *testing.T) {
	replaced := false
	log := eventlog.NewMemory(machineClock, eventlog.Faults{Enter: func(call string) error {
		if replaced && call == "Append" {
			return eventlog.ErrReplaced
		}
		return nil
	}})
	c := newCommitter(log, quiet)
	run(t, c)
	wantAnswers(t, log, submit(c, 0, 3), 0, accepted, noReason)
	replaced = true
	wantAnswers(t, log, submit(c, 3, 4), 3, refusal, unavailably)
	wantAnswers(t, log, submit(c, 0, 3), 0, refusal, unavailably)
}

// TestMemoryOutOfOrder: batches that were on their way at once may be answered in any order, and show nothing.
func TestMemoryOutOfOrder(t *testing.T) {
	m := newMemory()
	first, second, third := m.recollect(), m.recollect(), m.recollect()
	for i, tt := range []struct {
		knew recollection
		last fact.Seq
	}{{second, 4}, {first, 2}, {third, 6}} {
		if m.remember(tt.knew, statements(2*i, 2), tt.last) {
			t.Errorf("a batch up to %d: got that the log is another one", tt.last)
		}
	}
	if seq, ok := m.stored.get(statements(2, 1)[0].key); !ok || seq != 1 {
		t.Errorf("got %d, %v, want statement 2 at sequence 1", seq, ok)
	}
	before := m.recollect()
	if !m.remember(before, statements(10, 3), 7) { // 5 to 7, and 6 was known
		t.Error("a batch that stands where another one stood: got that the log is the same")
	}
	if m.remember(before, statements(20, 3), 100) {
		t.Error("a batch that was sent to the log as it was: got that this one is another")
	}
	for n, want := range map[int]bool{0: false, 2: false, 10: true, 20: false} {
		if _, got := m.stored.get(statements(n, 1)[0].key); got != want {
			t.Errorf("statement %d is known: %v, want %v", n, got, want)
		}
	}
}

func statements(first, n int) []*passage {
	var list []*passage
	for i := range n {
		key, f := stranger(uint32(first + i))
		list = append(list, &passage{key: key, fact: f})
	}
	return list
}

// TestMemoryBound: a gateway that writes and cannot read remembers so much and no more.
func TestMemoryBound(t *testing.T) {
	m := newMemory()
	for i := range 3 * maxUnread {
		if m.remember(m.recollect(), statements(i, 1), fact.Seq(i+1)) {
			t.Fatal("got that the log is another one")
		}
		if len(m.unread) > maxUnread {
			t.Fatalf("%d batches are remembered that were not read, want %d at most", len(m.unread), maxUnread)
		}
	}
}

// TestOutageWorksAlways: what works is not told of.
func TestOutageWorksAlways(t *testing.T) {
	var lines bytes.Buffer
	o := &outage{logger: slog.New(slog.NewTextHandler(&lines, nil)), what: "it fails", over: "it works"}
	o.works()
	o.works()
	if lines.Len() > 0 {
		t.Errorf("got %s", lines.String())
	}
	for range 1000 { // it works and fails by turns
		o.failed(errors.New("once"))
		o.works()
	}
	if got := strings.Count(lines.String(), "\n"); got != 2 {
		t.Errorf("got %d lines, want that it began and that it is over:\n%s", got, lines.String())
	}
	o.said = time.Now().Add(-sayAgain) // what was passed over is told in the next line
	o.works()
	if !strings.Contains(lines.String(), "failures=999 ") {
		t.Errorf("got %s, want 999 failures in the end", lines.String())
	}
}
