package eventlog_test

import (
	"errors"
	"slices"
	"testing"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// faulty is a Memory whose next Append meets a chosen fault.
type faulty struct {
	*eventlog.Memory
	next eventlog.Fault
}

func newFaulty() *faulty {
	f := &faulty{}
	f.Memory = eventlog.NewMemory(now, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault { return f.next }})
	return f
}

func (f *faulty) append(t *testing.T, fault eventlog.Fault, b eventlog.Batch) (fact.Seq, error) {
	t.Helper()
	f.next = fault
	return f.Append(t.Context(), b)
}

// stored returns all that the log holds.
func stored(t *testing.T, log eventlog.Log) []fact.Record {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var records []fact.Record
	for _, m := range readN(t, reader(t, log, 1), 1, int(head.Last)) {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, e.Record)
	}
	return records
}

func TestFaults(t *testing.T) {
	had, batch := times(1, 2), times(3, 5)
	for _, tt := range []struct {
		name  string
		fault eventlog.Fault
		fence fact.Seq
		err   error
		want  []fact.Record // behind those that it had
	}{
		{"none", eventlog.NoFault, 2, nil, batch},
		{"none, fence", eventlog.NoFault, 1, eventlog.ErrConflict, nil},
		{"lost", eventlog.Lost, 2, eventlog.ErrUnanswered, nil},
		{"unanswered", eventlog.Unanswered, 2, eventlog.ErrUnanswered, batch},
		// The answer that nobody sees would have been a conflict.
		{"unanswered, fence", eventlog.Unanswered, 1, eventlog.ErrConflict, nil},
		{"late", eventlog.Late, 2, eventlog.ErrUnanswered, nil},
		{"torn", eventlog.Torn, 2, eventlog.ErrUnanswered, batch[:2]},
		{"torn, fence", eventlog.Torn, 1, eventlog.ErrUnanswered, nil},
		{"not stored", eventlog.NotStored, 2, eventlog.ErrNotStored, nil},
		{"refused", eventlog.Refused, 2, eventlog.ErrRefused, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := newFaulty()
			if _, err := log.append(t, eventlog.NoFault, eventlog.Batch{Records: had}); err != nil {
				t.Fatal(err)
			}
			seq, err := log.append(t, tt.fault, eventlog.Batch{Records: batch, Fences: map[fact.Family]fact.Seq{fact.Clock: tt.fence}})
			if !errors.Is(err, tt.err) || err == nil && seq != 7 {
				t.Errorf("got %d, %v, want 7 or %v", seq, err, tt.err)
			}
			if got, want := stored(t, log), slices.Concat(had, tt.want); !slices.Equal(got, want) {
				t.Errorf("got %+v stored, want %+v", got, want)
			}
		})
	}
}

// TestFaultsOfNoBatch checks that a fault does not hide a batch that could not be sent in the first place.
func TestFaultsOfNoBatch(t *testing.T) {
	log := newFaulty()
	for _, fault := range []eventlog.Fault{eventlog.Lost, eventlog.Unanswered, eventlog.Late, eventlog.Torn, eventlog.NotStored, eventlog.Refused} {
		for _, records := range [][]fact.Record{nil, times(0, eventlog.MaxBatch+1), {{Fact: fact.PinRetired{}}}} {
			_, err := log.append(t, fault, eventlog.Batch{Records: records})
			if err == nil || errors.Is(err, eventlog.ErrUnanswered) || errors.Is(err, eventlog.ErrNotStored) || errors.Is(err, eventlog.ErrRefused) {
				t.Errorf("fault %d, %d records: got %v, want an error about the batch", fault, len(records), err)
			}
		}
	}
	if log.StoreLate() {
		t.Error("a batch that could not be sent is on its way")
	}
	wantHead(t, log, 0)
}

// TestLate lets batches arrive behind others: the first while its fence holds, the second when it no longer does.
func TestLate(t *testing.T) {
	log := newFaulty()
	fenced := func(fault eventlog.Fault, at fact.Seq, records []fact.Record) error {
		_, err := log.append(t, fault, eventlog.Batch{Records: records, Fences: map[fact.Family]fact.Seq{fact.Clock: at}})
		return err
	}
	for _, records := range [][]fact.Record{times(10, 2), times(20, 2)} {
		if err := fenced(eventlog.Late, 0, records); !errors.Is(err, eventlog.ErrUnanswered) {
			t.Fatalf("got %v, want ErrUnanswered", err)
		}
	}
	if _, err := log.append(t, eventlog.Late, eventlog.Batch{Records: goals(1, 1)}); !errors.Is(err, eventlog.ErrUnanswered) {
		t.Fatalf("got %v, want ErrUnanswered", err)
	}
	wantHead(t, log, 0)
	if !log.StoreLate() {
		t.Fatal("got no late batch, want three")
	}
	wantHead(t, log, 2)
	if err := fenced(eventlog.NoFault, 0, times(30, 1)); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("behind a late batch: got %v, want ErrConflict", err)
	}
	if !log.StoreLate() { // dropped
		t.Fatal("got no late batch, want two")
	}
	wantHead(t, log, 2)
	if !log.StoreLate() { // without a fence it is always stored
		t.Fatal("got no late batch, want one")
	}
	if log.StoreLate() {
		t.Error("got a fourth late batch")
	}
	if got, want := stored(t, log), slices.Concat(times(10, 2), goals(1, 1)); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStale(t *testing.T) {
	stale := 0
	log := eventlog.NewMemory(now, eventlog.Faults{Stale: func(f fact.Family) int {
		if f == fact.Clock {
			return stale
		}
		return 0
	}})
	mustAppend(t, log, append(times(1, 3), goals(1, 1)...)...)
	for _, tt := range []struct {
		unseen int
		want   fact.Seq // 0 = none
	}{{0, 3}, {1, 2}, {2, 1}, {3, 0}, {100, 0}} {
		stale = tt.unseen
		m, ok, err := log.LastOf(t.Context(), fact.Clock)
		if err != nil || ok != (tt.want > 0) || m.Seq != tt.want {
			t.Errorf("%d not seen: got %+v, %v, %v, want sequence %d", tt.unseen, m, ok, err, tt.want)
		}
		if m, ok, err := log.LastOf(t.Context(), fact.Goal); err != nil || !ok || m.Seq != 4 {
			t.Errorf("goal: got %+v, %v, %v, want sequence 4", m, ok, err)
		}
	}
	// A fence is never stale.
	if _, err := log.Append(t.Context(), eventlog.Batch{Records: times(4, 1), Fences: map[fact.Family]fact.Seq{fact.Clock: 3}}); err != nil {
		t.Errorf("append: %v", err)
	}
}

func TestEnter(t *testing.T) {
	down := errors.New("down")
	var calls []string
	var answer error
	log := eventlog.NewMemory(now, eventlog.Faults{Enter: func(call string) error {
		calls = append(calls, call)
		return answer
	}})
	mustAppend(t, log, times(1, 1)...)
	r := reader(t, log, 1)
	calls, answer = nil, down
	for call, err := range map[string]error{
		"Append": func() error {
			_, err := log.Append(t.Context(), eventlog.Batch{Records: times(2, 1)})
			return err
		}(),
		"Head":   func() error { _, err := log.Head(t.Context()); return err }(),
		"LastOf": func() error { _, _, err := log.LastOf(t.Context(), fact.Clock); return err }(),
		"At":     func() error { _, _, err := log.At(t.Context(), 1); return err }(),
		"Read":   func() error { _, err := log.Read(t.Context(), eventlog.Position{}); return err }(),
		"Next":   func() error { _, err := r.Next(t.Context(), 1); return err }(),
	} {
		if !errors.Is(err, down) {
			t.Errorf("%s: got %v, want %v", call, err, down)
		}
		if !slices.Contains(calls, call) {
			t.Errorf("%s: got calls %v, want it among them", call, calls)
		}
	}
	answer = nil
	wantHead(t, log, 1)
	wantRecords(t, readN(t, r, 1, 1), times(1, 1)) // the failed Next lost nothing
}

func TestTruncate(t *testing.T) {
	log := newFaulty()
	mustAppend(t, log, slices.Concat(times(1, 2), goals(1, 2), times(3, 2))...)
	held := readN(t, reader(t, log, 1), 1, 6)
	log.Truncate(3)
	wantHead(t, log, 3)
	for family, want := range map[fact.Family]fact.Seq{fact.Clock: 2, fact.Goal: 3} {
		if m, ok, err := log.LastOf(t.Context(), family); err != nil || !ok || m.Seq != want {
			t.Errorf("last of %s: got %+v, %v, %v, want sequence %d", family, m, ok, err, want)
		}
	}
	// The log goes on from there; what a reader was given before stays as it was.
	if seq, err := log.append(t, eventlog.NoFault, eventlog.Batch{Records: times(9, 3), Fences: map[fact.Family]fact.Seq{fact.Clock: 2}}); err != nil || seq != 6 {
		t.Errorf("append: got %d, %v, want 6", seq, err)
	}
	if got, want := stored(t, log), slices.Concat(times(1, 2), goals(1, 2)[:1], times(9, 3)); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wantRecords(t, held, slices.Concat(times(1, 2), goals(1, 2), times(3, 2)))

	at := positionBefore(t, log, 6)
	waiting := reader(t, log, 6)
	log.Truncate(0)
	wantHead(t, log, 0)
	if seq, err := log.append(t, eventlog.NoFault, eventlog.Batch{Records: times(1, 1), Fences: map[fact.Family]fact.Seq{fact.Clock: 0}}); err != nil || seq != 1 {
		t.Errorf("append: got %d, %v, want 1", seq, err)
	}
	// A reader has lost its place, and learns why when it begins again, also once the log is as long as before.
	for range 2 {
		if msgs, err := waiting.Next(patience(t), 1); !errors.Is(err, eventlog.ErrUnreachable) {
			t.Errorf("got %v, %v, want ErrUnreachable", msgs, err)
		}
		_, err := log.Read(t.Context(), at)
		if _, ok := errors.AsType[*eventlog.RewrittenError](err); !ok {
			t.Errorf("got %v, want a RewrittenError", err)
		}
		mustAppend(t, log, times(100, 5)...)
	}
}

// TestCut lets readers lose their places; nothing is lost to one that begins again.
func TestCut(t *testing.T) {
	log := newFaulty()
	mustAppend(t, log, times(1, 3)...)
	r := reader(t, log, 1)
	readN(t, r, 1, 2)
	next := nextInBackground(patience(t), reader(t, log, 4))
	log.Cut()
	if got := <-next; !errors.Is(got.err, eventlog.ErrUnreachable) {
		t.Errorf("waiting: got %+v, want ErrUnreachable", got)
	}
	if msgs, err := r.Next(patience(t), 1); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("with more to read: got %v, %v, want ErrUnreachable", msgs, err)
	}
	wantRecords(t, readN(t, reader(t, log, 3), 3, 1), times(3, 1))
}

func TestCheckGames(t *testing.T) {
	for s, want := range map[string]bool{
		"tokyo2020":                         true,
		"a":                                 true,
		"-":                                 true,
		"0-9-a-z":                           true,
		"abcdefghijklmnopqrstuvwxyz012345":  true, // 32
		"abcdefghijklmnopqrstuvwxyz0123456": false,
		"":                                  false,
		"Tokyo2020":                         false,
		"tokyo_2020":                        false, // would make a stream's name ambiguous
		"tokyo.2020":                        false, // two tokens of a subject
		"tokyo*":                            false,
		">":                                 false,
		"tokyo 2020":                        false,
		"tokyo\n":                           false,
		"tokyo2020\n":                       false,
		"東京2020":                            false,
	} {
		if err := eventlog.CheckGames(s); (err == nil) != want {
			t.Errorf("%q: got %v, want it accepted: %v", s, err, want)
		}
	}
}
