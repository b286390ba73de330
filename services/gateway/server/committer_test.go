package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// run runs a committer until the returned function is called, or the test ends.
func run(t testing.TB, c *committer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the committer ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// submit takes the statements from first up to, and without, end on their way.
func submit(c *committer, first, end uint32) []*ticket {
	var tickets []*ticket
	for i := first; i < end; i++ {
		tickets = append(tickets, c.submit(stranger(i)))
	}
	return tickets
}

func answer(t testing.TB, tk *ticket) *gatewayv1.Answer {
	t.Helper()
	a, err := tk.answer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantAnswers compares what the tickets are told, and where a sequence was told, what the log holds there.
func wantAnswers(t *testing.T, log eventlog.Log, tickets []*ticket, first uint32, want gatewayv1.Status, reason gatewayv1.Reason) {
	t.Helper()
	answers := make([]*gatewayv1.Answer, len(tickets))
	for i, tk := range tickets {
		answers[i] = answer(t, tk)
	}
	list := entries(t, log)
	for i, a := range answers {
		if a.GetStatus() != want || a.GetReason() != reason {
			t.Fatalf("statement %d: got %v, want %v %v", i, a, want, reason)
		}
		if want == gatewayv1.Status_STATUS_REFUSED {
			if !a.GetRetry() || a.GetDetail() == "" || a.GetSeq() != 0 {
				t.Errorf("statement %d: got %v, want that trying again can help, a detail, and no sequence", i, a)
			}
			continue
		}
		if a.GetSeq() == 0 || a.GetSeq() > uint64(len(list)) {
			t.Fatalf("statement %d: accepted with sequence %d, the log ends at %d", i, a.GetSeq(), len(list))
		}
		if n, ok := numberOf(list[a.GetSeq()-1]); !ok || n != first+uint32(i) {
			t.Errorf("statement %d: accepted with sequence %d, which holds %+v", i, a.GetSeq(), list[a.GetSeq()-1])
		}
	}
}

const (
	accepted = gatewayv1.Status_STATUS_ACCEPTED
	already  = gatewayv1.Status_STATUS_ALREADY_ACCEPTED
	refusal  = gatewayv1.Status_STATUS_REFUSED

	noReason    = gatewayv1.Reason_REASON_UNSPECIFIED
	unavailably = gatewayv1.Reason_REASON_LOG_UNAVAILABLE
	full        = gatewayv1.Reason_REASON_LOG_FULL
)

// TestCommitterFaults makes the first batch go wrong in every way. Whatever became of it, no phone is told that it was
// accepted; those who come again are; and those who come a third time are told where the log holds it.
func TestCommitterFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  eventlog.Fault
		enter  error // of Append
		reason gatewayv1.Reason
		stored int // of the three statements of the batch, at once
		late   int // and later
	}{
		"lost, not stored":       {fault: eventlog.Lost, reason: unavailably},
		"refused, not stored":    {fault: eventlog.NotStored, reason: unavailably},
		"unanswered, but stored": {fault: eventlog.Unanswered, reason: unavailably, stored: 3},
		"late, but stored":       {fault: eventlog.Late, reason: unavailably, late: 3},
		"torn":                   {fault: eventlog.Torn, reason: unavailably, stored: 1},
		"full":                   {enter: eventlog.ErrFull, reason: full},
		"full, with details":     {enter: fmt.Errorf("%w: 10047", eventlog.ErrFull), reason: full},
		"replaced":               {enter: eventlog.ErrReplaced, reason: unavailably},
		"not reached":            {enter: errors.New("no route to host"), reason: unavailably},
		"a fence, which it has none of, does not hold": {enter: eventlog.ErrConflict, reason: unavailably},
	} {
		t.Run(name, func(t *testing.T) {
			enter := tt.enter
			log := eventlog.NewMemory(machineClock, eventlog.Faults{
				Append: sequence(tt.fault),
				Enter: func(call string) (err error) {
					if call == "Append" {
						err, enter = enter, nil
					}
					return err
				},
			})
			c := newCommitter(log, quiet)
			first := submit(c, 0, 3) // before it runs, so that they are one batch
			run(t, c)
			wantAnswers(t, log, first, 0, refusal, tt.reason)
			if got := len(entries(t, log)); got != tt.stored {
				t.Fatalf("got %d statements in the log after the fault, want %d", got, tt.stored)
			}

			again := submit(c, 0, 3)
			wantAnswers(t, log, again, 0, accepted, noReason)
			if got, want := len(entries(t, log)), tt.stored+3; got != want {
				t.Errorf("got %d statements in the log after they came again, want %d", got, want)
			}

			storeLate(log)
			third := submit(c, 0, 3)
			wantAnswers(t, log, third, 0, already, noReason)
			for i := range third {
				if got, want := answer(t, third[i]).GetSeq(), answer(t, again[i]).GetSeq(); got != want {
					t.Errorf("statement %d: got sequence %d, want %d as before", i, got, want)
				}
			}
			if got, want := len(entries(t, log)), tt.stored+3+tt.late; got != want {
				t.Errorf("got %d statements in the log at the end, want %d", got, want)
			}
		})
	}
}

// held is a log whose Appends wait until they are let go.
type held struct {
	*eventlog.Memory
	let chan struct{} // closed to let all of them go

	mu    sync.Mutex
	sizes []int // of the batches
}

func newHeld(faults ...eventlog.Fault) *held {
	return &held{let: make(chan struct{}), Memory: eventlog.NewMemory(machineClock, eventlog.Faults{Append: sequence(faults...)})}
}

// sent returns the sizes of the batches so far.
func (h *held) sent() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.sizes)
}

// Append gives up when the context ends, as JetStream does.
func (h *held) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	h.mu.Lock()
	h.sizes = append(h.sizes, len(b.Records))
	h.mu.Unlock()
	select {
	case <-h.let:
		return h.Memory.Append(ctx, b)
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", eventlog.ErrUnanswered, ctx.Err())
	}
}

// TestCommitterRepeatInFlight: who repeats a statement that is on its way waits for it, and is told what the first one is.
func TestCommitterRepeatInFlight(t *testing.T) {
	for name, tt := range map[string]struct {
		fault         eventlog.Fault
		first, second gatewayv1.Status
		reason        gatewayv1.Reason
		stored        int
	}{
		"stored":     {eventlog.NoFault, accepted, already, noReason, 1},
		"lost":       {eventlog.Lost, refusal, refusal, unavailably, 0},
		"unanswered": {eventlog.Unanswered, refusal, refusal, unavailably, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newHeld(tt.fault)
				c := newCommitter(log, quiet)
				run(t, c)
				first := submit(c, 0, 1)
				synctest.Wait() // it is being stored
				key, _ := stranger(0)
				repeats := []*ticket{submit(c, 0, 1)[0], c.repeat(key)}
				synctest.Wait()
				for _, tk := range append(repeats, first...) {
					select {
					case <-tk.done:
						t.Fatal("answered before the log has")
					default:
					}
				}
				close(log.let)
				wantAnswers(t, log, first, 0, tt.first, tt.reason)
				for _, tk := range repeats {
					wantAnswers(t, log, []*ticket{tk}, 0, tt.second, tt.reason)
					if got, want := answer(t, tk).GetSeq(), answer(t, first[0]).GetSeq(); got != want {
						t.Errorf("a repeat got sequence %d, want %d", got, want)
					}
				}
				if got := len(entries(t, log)); got != tt.stored {
					t.Errorf("got %d statements in the log, want %d", got, tt.stored)
				}
			})
		})
	}
}

func TestCommitterUnknown(t *testing.T) {
	c := newCommitter(newHeld(), quiet)
	key, _ := stranger(0)
	if got := c.repeat(key); got != nil {
		t.Errorf("got a ticket for a statement that never came: %+v", got)
	}
}

// TestCommitterBatches: while one batch is being stored what comes gathers, and goes when it fills a batch, when the log
// has answered, or when it is slow to.
func TestCommitterBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newHeld()
		c := newCommitter(log, quiet)
		run(t, c)
		tickets := submit(c, 0, 1)
		synctest.Wait()
		wantSizes := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			if got := log.sent(); !slices.Equal(got, want) {
				t.Errorf("%s: got batches of %v, want %v", when, got, want)
			}
		}
		tickets = append(tickets, submit(c, 1, 1000)...)
		wantSizes("less than a batch waits", 1)
		tickets = append(tickets, submit(c, 1000, 2502)...)
		wantSizes("more than two do", 1, 1000, 1000)
		<-time.After(overdue - time.Millisecond)
		wantSizes("before the last one is overdue", 1, 1000, 1000)
		<-time.After(time.Millisecond)
		wantSizes("when it is", 1, 1000, 1000, 501)
		close(log.let)
		wantAnswers(t, log, tickets, 0, accepted, noReason)
		// The next one comes alone, and is not kept waiting for company.
		began := time.Now()
		wantAnswers(t, log, submit(c, 2502, 2503), 2502, accepted, noReason)
		if took := time.Since(began); took != 0 {
			t.Errorf("a statement alone took %v", took)
		}
	})
}

// TestCommitterOnWay: so many batches are on their way at most, and a silent log holds up what was sent to it only.
func TestCommitterOnWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &muted{Memory: eventlog.NewMemory(machineClock, eventlog.Faults{})}
		log.silent.Store(true)
		c := newCommitter(log, quiet)
		run(t, c)
		submit(c, 0, 12_500)
		synctest.Wait()
		if got := log.sent.Load(); got != int64(maxOnWay) {
			t.Errorf("got %d batches on their way, want %d", got, maxOnWay)
		}
		<-time.After(appendTimeout)
		synctest.Wait() // they are given up, and what was behind them is tried

		log.silent.Store(false)
		began := time.Now()
		wantAnswers(t, log, submit(c, 20_000, 20_001), 20_000, accepted, noReason)
		if took := time.Since(began); took > 2*overdue {
			t.Errorf("a statement took %v after the log had come back, want %v at most", took, 2*overdue)
		}
	})
}

// TestCommitterSlow: a log that takes 800 ms for a batch, and answers within 2 s or not at all, is not sent more at once
// than it answers.
func TestCommitterSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(&slow{Memory: eventlog.NewMemory(machineClock, eventlog.Faults{})}, quiet)
		run(t, c)
		var tickets []*ticket
		for i := range uint32(40) {
			tickets = append(tickets, submit(c, 400*i, 400*(i+1))...)
			<-time.After(500 * time.Millisecond)
		}
		for i, tk := range tickets {
			// Of the first second, before it is known how slow the log is, some may come too late.
			if a := answer(t, tk); a.GetStatus() != accepted && i >= 1200 {
				t.Fatalf("statement %d: got %v, want it accepted", i, a)
			}
		}
	})
}

// slow is a log that takes its time for each batch, one after the other.
type slow struct {
	*eventlog.Memory
	mu   sync.Mutex
	free time.Time // when it has done what was sent so far
}

func (s *slow) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	s.mu.Lock()
	s.free = later(s.free, time.Now()).Add(800 * time.Millisecond)
	done := time.Until(s.free)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	select {
	case <-time.After(done):
		return s.Memory.Append(ctx, b)
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", eventlog.ErrUnanswered, ctx.Err())
	}
}

// muted is a log that takes no notice of an Append while it is silent.
type muted struct {
	*eventlog.Memory
	silent atomic.Bool
	sent   atomic.Int64
}

func (m *muted) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	m.sent.Add(1)
	if m.silent.Load() {
		<-ctx.Done()
		return 0, fmt.Errorf("%w: %w", eventlog.ErrUnanswered, ctx.Err())
	}
	return m.Memory.Append(ctx, b)
}

// TestCommitterBatchFails: what goes wrong with one batch of several is told to those in it only.
func TestCommitterBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventlog.NewMemory(machineClock, eventlog.Faults{Append: func(b eventlog.Batch) eventlog.Fault {
			if b.Records[0].Fact.(fact.HalfReported).Half.Counter == 1000 {
				return eventlog.Lost
			}
			return eventlog.NoFault
		}})
		c := newCommitter(log, quiet)
		tickets := submit(c, 0, 2500)
		run(t, c)
		wantAnswers(t, log, tickets[:1000], 0, accepted, noReason)
		wantAnswers(t, log, tickets[1000:2000], 1000, refusal, unavailably)
		wantAnswers(t, log, tickets[2000:], 2000, accepted, noReason)
	})
}

// counting is a log that stores nothing but the number of its facts, for a test of many.
type counting struct {
	eventlog.Log
	last atomic.Uint64
}

func (c *counting) Append(_ context.Context, b eventlog.Batch) (fact.Seq, error) {
	return fact.Seq(c.last.Add(uint64(len(b.Records)))), nil
}

// TestCommitterBound: past so many that wait, phones are told to come again, and lose nothing by it.
func TestCommitterBound(t *testing.T) {
	log := &counting{}
	c := newCommitter(log, quiet)
	tickets := submit(c, 0, maxWaiting)
	for _, tk := range submit(c, maxWaiting, maxWaiting+2) {
		if a := answer(t, tk); a.GetReason() != unavailably || !a.GetRetry() {
			t.Errorf("one too many: got %v, want LOG_UNAVAILABLE, and that trying again can help", a)
		}
	}
	repeat := submit(c, maxWaiting-1, maxWaiting)[0]
	select {
	case <-repeat.done:
		t.Error("a repeat of one that waits was answered, want it to wait too")
	default:
	}
	run(t, c)
	answer(t, tickets[0]) // there is room again
	tickets = append(tickets, submit(c, maxWaiting, maxWaiting+2)...)
	held := map[uint64]int{}
	for i, tk := range tickets {
		a := answer(t, tk)
		if other, taken := held[a.GetSeq()]; a.GetStatus() != accepted || a.GetSeq() == 0 || taken {
			t.Fatalf("statement %d: got %v, want it accepted with a sequence of its own, not that of %d", i, a, other)
		}
		held[a.GetSeq()] = i
	}
	if a := answer(t, repeat); a.GetStatus() != already || held[a.GetSeq()] != maxWaiting-1 {
		t.Errorf("the repeat: got %v, want it known where the first one is", a)
	}
	if got, want := log.last.Load(), uint64(maxWaiting+2); got != want {
		t.Errorf("got %d statements in the log, want %d", got, want)
	}
}

// TestCommitterEnd: who still waits when the gateway stops is answered, and so is who comes after.
func TestCommitterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newHeld()
		c := newCommitter(log, quiet)
		stop := run(t, c)
		inFlight := submit(c, 0, 1)
		synctest.Wait()
		waiting := submit(c, 1, 1000)
		go stop()
		synctest.Wait()
		close(log.let)
		wantAnswers(t, log, waiting, 1, refusal, unavailably)
		wantAnswers(t, log, inFlight, 0, accepted, noReason) // what the log still took is told as it is
		stop()
		wantAnswers(t, log, submit(c, 2000, 2001), 2000, refusal, unavailably)
		wantAnswers(t, log, submit(c, 0, 1), 0, already, noReason) // what is known stays known
	})
}

// TestCommitterEndSilent: a stop does not wait for a log that does not answer.
func TestCommitterEndSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &muted{}
		log.silent.Store(true)
		c := newCommitter(log, quiet)
		stop := run(t, c)
		tickets := submit(c, 0, 5001)
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > stopTimeout {
			t.Errorf("the stop took %v, want %v at most", took, stopTimeout)
		}
		wantAnswers(t, eventlog.NewMemory(machineClock, eventlog.Faults{}), tickets, 0, refusal, unavailably)
	})
}

// TestCommitterNotRunning: a gateway that is stopped before it has begun to commit answers too.
func TestCommitterNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newHeld()
		c := newCommitter(log, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.run(ctx); err != nil {
			t.Errorf("got %v", err)
		}
		wantAnswers(t, log, submit(c, 0, 3), 0, refusal, unavailably)
		if len(log.sizes) > 0 {
			t.Errorf("got batches of %v, want none", log.sizes)
		}
	})
}

// TestTicketGivesUp: a phone that goes away takes nothing with it.
func TestTicketGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newHeld()
		c := newCommitter(log, quiet)
		run(t, c)
		tickets := submit(c, 0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a, err := tickets[0].answer(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v, want the context's error", a, err)
		}
		close(log.let)
		wantAnswers(t, log, submit(c, 0, 1), 0, already, noReason)
	})
}

// TestCommitterTimeout: phones are not kept waiting for a log that does not answer.
func TestCommitterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &muted{}
		log.silent.Store(true)
		c := newCommitter(log, quiet)
		run(t, c)
		began := time.Now()
		a := answer(t, submit(c, 0, 1)[0])
		if took := time.Since(began); a.GetReason() != unavailably || took != appendTimeout {
			t.Errorf("got %v after %v, want LOG_UNAVAILABLE after %v", a, took, appendTimeout)
		}
	})
}

// appended is one batch that came to the log of TestCommitterConcurrently.
type appended struct {
	statements []uint32
	fault      eventlog.Fault
}

// TestCommitterConcurrently lets many phones deliver overlapping statements while the log fails at random, until each
// was told that each of its statements was accepted.
func TestCommitterConcurrently(t *testing.T) {
	const phones, each, statements = 24, 150, 600
	rng := &lockedRand{rng: newRand(t)}
	var mu sync.Mutex
	var batches []appended
	var log *eventlog.Memory
	log = eventlog.NewMemory(machineClock, eventlog.Faults{Append: func(b eventlog.Batch) eventlog.Fault {
		if rng.chance(0.3) {
			log.StoreLate()
		}
		a := appended{}
		for _, r := range b.Records {
			a.statements = append(a.statements, uint32(r.Fact.(fact.HalfReported).Half.Counter))
		}
		if rng.chance(0.4) {
			a.fault = eventlog.Fault(rng.intN(int(eventlog.NotStored) + 1))
		}
		mu.Lock()
		defer mu.Unlock()
		batches = append(batches, a)
		return a.fault
	}})
	c := newCommitter(log, quiet)
	stop := run(t, c)

	type told struct {
		statement uint32
		*gatewayv1.Answer
	}
	answers := make([][]told, phones)
	var wg sync.WaitGroup
	for p := range phones {
		wg.Go(func() {
			for range each {
				n := uint32(rng.intN(statements))
				for {
					a, err := c.submit(stranger(n)).answer(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if a.GetStatus() != refusal {
						answers[p] = append(answers[p], told{n, a})
						break
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	storeLate(log)

	list := entries(t, log)
	seqs := map[uint32]uint64{}
	firsts := map[uint32]int{}
	for p := range answers {
		if len(answers[p]) != each {
			t.Errorf("phone %d: %d answers, want %d", p, len(answers[p]), each)
		}
		for _, a := range answers[p] {
			if n, ok := numberOf(list[a.GetSeq()-1]); !ok || n != a.statement {
				t.Fatalf("statement %d was accepted with sequence %d, which holds %+v", a.statement, a.GetSeq(), list[a.GetSeq()-1])
			}
			if seq, ok := seqs[a.statement]; ok && seq != a.GetSeq() {
				t.Errorf("statement %d was accepted with sequences %d and %d", a.statement, seq, a.GetSeq())
			}
			seqs[a.statement] = a.GetSeq()
			if a.GetStatus() == accepted {
				firsts[a.statement]++
			}
		}
	}
	for n := range seqs {
		if firsts[n] > 1 {
			t.Errorf("statement %d was accepted anew %d times, want once, and known from then on", n, firsts[n])
		}
	}
	checkBatches(t, batches, list)
}

// checkBatches checks that a statement came to the log no more after it was known to be stored, and that the log holds
// it as often as it was stored.
func checkBatches(t *testing.T, batches []appended, list []fact.Entry) {
	t.Helper()
	known := map[uint32]bool{}
	want := map[uint32]int{}
	failed := 0
	for _, b := range batches {
		stored := b.statements
		switch b.fault {
		case eventlog.Lost, eventlog.NotStored:
			stored = nil
		case eventlog.Torn:
			stored = stored[:len(stored)/2]
		}
		if b.fault != eventlog.NoFault {
			failed++
		}
		for _, n := range b.statements {
			if known[n] {
				t.Errorf("statement %d was appended again although it was known to be stored", n)
			}
			known[n] = b.fault == eventlog.NoFault
		}
		for _, n := range stored {
			want[n]++
		}
	}
	got := map[uint32]int{}
	for _, e := range list {
		n, _ := numberOf(e)
		got[n]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("the log holds %v, want %v", got, want)
	}
	t.Logf("%d batches, of which %d failed; %d statements stored %d times", len(batches), failed, len(known), len(list))
}
