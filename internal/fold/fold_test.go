package fold_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

func newLog() *eventlog.Memory {
	var now fact.UnixMilli
	return eventlog.NewMemory(func() fact.UnixMilli { now++; return now }, eventlog.Faults{})
}

func config(core fold.Core, log eventlog.Log, store view.Store) fold.Config {
	return fold.Config{
		Core: core, Log: log, View: store, Logger: slog.New(slog.DiscardHandler),
		Backoff: func(int) time.Duration { return 0 },
	}
}

func mustOpen(t testing.TB, c fold.Config) *fold.Runner {
	t.Helper()
	r, err := fold.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a replica until the returned function is called, which must end without an error, or the test ends.
func start(t testing.TB, c fold.Config) (r *fold.Runner, stop func()) {
	t.Helper()
	r = mustOpen(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// patience is a context for what must happen soon, so that a test that fails does not hang.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// runToError runs a replica that must stop by itself.
func runToError(t *testing.T, c fold.Config) error {
	t.Helper()
	err := mustOpen(t, c).Run(patience(t))
	if err == nil {
		t.Fatal("run: got no error in 10 s")
	}
	if !strings.HasPrefix(err.Error(), c.Core.Name()+": ") {
		t.Errorf("run: got %q, want the service named first", err)
	}
	return err
}

// foldAll runs a replica until it has folded and seen again all that the log holds then.
func foldAll(t testing.TB, c fold.Config) *fold.Runner {
	t.Helper()
	r, stop := start(t, c)
	defer stop()
	settle(t, r, c.Log)
	return r
}

// settle waits until the replica has seen its own facts of all inputs that the log holds, and returns where it is then.
func settle(t testing.TB, r *fold.Runner, log eventlog.Log) fact.Seq {
	t.Helper()
	e, err := r.Settle(patience(t), head(t, log))
	if err != nil {
		t.Fatalf("settle: %v", err)
	}
	return e
}

func wait(t testing.TB, r *fold.Runner, seq fact.Seq) {
	t.Helper()
	if err := r.Wait(patience(t), seq); err != nil {
		t.Fatalf("wait for %d: %v", seq, err)
	}
}

func head(t testing.TB, log eventlog.Log) fact.Seq {
	t.Helper()
	h, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Last
}

// input appends what clocks showed. While the sum is below 5, counting derives as many facts as the time says.
func input(t testing.TB, log eventlog.Log, times ...int) fact.Seq {
	t.Helper()
	var records []fact.Record
	for _, at := range times {
		records = append(records, fact.Record{Fact: fact.TimePassed{Time: fact.UnixMilli(at)}})
	}
	return mustAppend(t, log, records...)
}

func mustAppend(t testing.TB, log eventlog.Log, records ...fact.Record) fact.Seq {
	t.Helper()
	seq, err := log.Append(t.Context(), eventlog.Batch{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// stranger is a fact that counting steps over.
func stranger() fact.Record { return fact.Record{Fact: fact.WearerErased{Wearer: fact.WearerID{9}}} }

// goal is a fact as counting derives it from the fact at sequence 1.
func goal(steps, index, count uint32) fact.Record {
	return fact.Record{
		Fact:       fact.StepGoalReached{Wearer: fact.WearerID{1}, Day: fact.Day(index), Steps: steps},
		Derivation: fact.Derivation{Cause: 1, Index: index, Count: count},
	}
}

// entries returns all that the log holds.
func entries(t testing.TB, log eventlog.Log) []fact.Entry {
	t.Helper()
	n := int(head(t, log))
	reader, err := log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all []fact.Entry
	for len(all) < n {
		msgs, err := reader.Next(patience(t), n-len(all))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			e, err := m.Decode()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}

// wantFolded compares the log and the views with a plain fold over the inputs in the log: each derived fact stands there
// once and in order, and each view is what the fold makes.
func wantFolded(t testing.TB, core fold.Core, log eventlog.Log, stores ...view.Store) {
	t.Helper()
	reference := view.NewMemory()
	var want, got []fact.Record
	for _, e := range entries(t, log) {
		if e.Fact.Family() == core.Derives() {
			got = append(got, e.Record)
		}
		if !slices.Contains(core.ActsOn(), e.Fact.Family()) {
			continue
		}
		var facts []fact.Fact
		_ = reference.Update(func(tx kv.Tx) error { facts = core.Step(tx, e); return nil })
		for i, f := range facts {
			want = append(want, fact.Record{
				Fact:       f,
				Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(i), Count: uint32(len(facts))},
			})
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d derived facts in the log, want %d:\n got %+v\nwant %+v", len(got), len(want), got, want)
	}
	for i, s := range stores {
		if got, want := digestOf(s), digestOf(reference); got != want {
			t.Errorf("view %d: got the digest %v, want %v", i, got, want)
		}
	}
}

// tampered is a log whose readers hand out other messages than it holds, or an error.
type tampered struct {
	eventlog.Log
	// tamper returns what becomes of the message: false drops it.
	tamper func(m eventlog.Message) (eventlog.Message, bool, error)
}

type tamperedReader struct {
	eventlog.Reader
	log *tampered
}

func (l *tampered) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	r, err := l.Log.Read(ctx, after)
	return &tamperedReader{r, l}, err
}

func (r *tamperedReader) Next(ctx context.Context, limit int) ([]eventlog.Message, error) {
	for {
		msgs, err := r.Reader.Next(ctx, limit)
		if err != nil {
			return nil, err
		}
		var got []eventlog.Message
		for _, m := range msgs {
			m, keep, err := r.log.tamper(m)
			if err != nil {
				return got, err
			}
			if keep {
				got = append(got, m)
			}
		}
		if len(got) > 0 {
			return got, nil
		}
	}
}

// gated is a log whose readers see nothing beyond the gate.
type gated struct {
	eventlog.Log
	mu    sync.Mutex
	gate  fact.Seq
	moved chan struct{} // closed and replaced when the gate moves
}

// newGated returns a log of which the first fact is seen.
func newGated(log eventlog.Log) *gated {
	return &gated{Log: log, gate: 1, moved: make(chan struct{})}
}

func (l *gated) open(to fact.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = to
	close(l.moved)
	l.moved = make(chan struct{})
}

type gatedReader struct {
	eventlog.Reader
	log  *gated
	next fact.Seq
}

func (l *gated) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	r, err := l.Log.Read(ctx, after)
	return &gatedReader{r, l, after.Seq + 1}, err
}

func (r *gatedReader) Next(ctx context.Context, limit int) ([]eventlog.Message, error) {
	for {
		r.log.mu.Lock()
		gate, moved := r.log.gate, r.log.moved
		r.log.mu.Unlock()
		if r.next <= gate {
			msgs, err := r.Reader.Next(ctx, min(limit, int(gate-r.next)+1))
			r.next += fact.Seq(len(msgs))
			return msgs, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestDiverged(t *testing.T) {
	for _, tt := range []struct {
		name  string
		input int
		found []fact.Record // in the log behind the input
		seq   fact.Seq
		want  *fact.Record
	}{
		{"a fact of a cause that has none", 0, []fact.Record{goal(0, 0, 1)}, 2, nil},
		{"one fact too many", 1, []fact.Record{goal(1, 0, 1), goal(1, 0, 1)}, 3, nil},
		{"another fact", 1, []fact.Record{goal(2, 0, 1)}, 2, new(goal(1, 0, 1))},
		{"another kind of derivation", 1, []fact.Record{goal(1, 0, 2)}, 2, new(goal(1, 0, 1))},
		{"a fact left out", 3, []fact.Record{goal(3, 0, 3), goal(3, 2, 3)}, 3, new(goal(3, 1, 3))},
		{"two facts swapped", 3, []fact.Record{goal(3, 1, 3), goal(3, 0, 3)}, 2, new(goal(3, 0, 3))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, store := newLog(), view.NewMemory()
			input(t, log, tt.input)
			mustAppend(t, log, tt.found...)
			last := head(t, log)
			for range 2 { // it stays so, however often the replica is started
				err := runToError(t, config(counting{}, log, store))
				wantDiverged(t, err, tt.seq, tt.want, tt.found[tt.seq-2])
			}
			if got := head(t, log); got != last {
				t.Errorf("got %d facts appended, want none", got-last)
			}
		})
	}
}

func wantDiverged(t *testing.T, err error, seq fact.Seq, want *fact.Record, got fact.Record) {
	t.Helper()
	diverged, ok := errors.AsType[*fold.DivergedError](err)
	if !ok {
		t.Fatalf("got %v, want a DivergedError", err)
	}
	if diverged.Core != "counting" || diverged.Seq != seq || diverged.Got != got ||
		(diverged.Want == nil) != (want == nil) || want != nil && *diverged.Want != *want {
		t.Errorf("got %+v, want sequence %d, want %+v, got %+v", diverged, seq, want, got)
	}
	parts := []string{"DIVERGED", "counting", fmt.Sprintf("sequence %d ", seq), "holds " + named(got), "derived nothing"}
	if want != nil {
		parts[4] = "derived " + named(*want)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to say %q", err, part)
		}
	}
}

// named is how the text of a DivergedError names a fact, which is without ids.
func named(r fact.Record) string {
	return fmt.Sprintf("%T %d of %d of cause %d", r.Fact, r.Derivation.Index+1, r.Derivation.Count, r.Derivation.Cause)
}

// TestDivergedText shows that the text tells where two facts differ, and not whose they are.
func TestDivergedText(t *testing.T) {
	secret := fact.WearerID{1, 2, 3}
	d := fact.Derivation{Cause: 5, Count: 1}
	e := fold.DivergedError{
		Core: "steps", Seq: 9, Got: fact.Record{Fact: fact.StepGoalReached{Wearer: secret, Day: 1}, Derivation: d},
		Want: &fact.Record{Fact: fact.StepGoalReached{Wearer: secret, Day: 2}, Derivation: d},
	}
	const want = "DIVERGED: steps: sequence 9 holds fact.StepGoalReached 1 of 1 of cause 5, " +
		"and this replica derived fact.StepGoalReached 1 of 1 of cause 5: they differ in Day"
	if got := e.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDivergedReplica runs a replica of another binary over the log of a healthy one.
func TestDivergedReplica(t *testing.T) {
	log, healthy, other := newLog(), view.NewMemory(), view.NewMemory()
	input(t, log, 3, 1, 4, 1, 5)
	r, stop := start(t, config(counting{}, log, healthy))
	settle(t, r, log)
	last := head(t, log)

	// The inputs are the first five facts, so that the first own fact is at sequence 6; 1*31+3 = 34 makes four.
	err := runToError(t, config(counting{twist: 1}, log, other))
	wantDiverged(t, err, 6, new(goal(34, 0, 4)), goal(3, 0, 3))
	if got := head(t, log); got != last {
		t.Errorf("got %d facts appended by the diverged replica, want none", got-last)
	}
	if err := other.View(func(r view.Reader) error {
		if b := r.Buckets(); len(b) > 0 {
			t.Errorf("got the buckets %q in the diverged view, want nothing kept", b)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	// The healthy one goes on.
	input(t, log, 9)
	settle(t, r, log)
	stop()
	wantFolded(t, counting{}, log, healthy)
}

// TestDivergedLater upgrades one of two replicas while both are up to date. Whoever appends first, the other one stops.
func TestDivergedLater(t *testing.T) {
	log, a, b := newLog(), view.NewMemory(), view.NewMemory()
	input(t, log, 3, 1, 4)
	foldAll(t, config(counting{}, log, a))
	foldAll(t, config(counting{}, log, b))
	// The new binary has another answer from here on only: its state is what the old one wrote.
	seq := input(t, log, 5)
	foldAll(t, config(upgraded{}, log, b))
	err := runToError(t, config(counting{}, log, a))
	diverged, ok := errors.AsType[*fold.DivergedError](err)
	if !ok || diverged.Want == nil || diverged.Got.Derivation.Cause != seq || diverged.Want.Derivation.Cause != seq {
		t.Errorf("got %v, want a DivergedError about the facts of %d", err, seq)
	}
}

// upgraded is another binary of counting.
type upgraded struct{ counting }

func (u upgraded) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	u.counting.Step(tx, e)
	return []fact.Fact{fact.StepGoalReached{Wearer: fact.WearerID{2}}}
}

// otherEpoch is a log that was restored into its next epoch.
type otherEpoch struct{ eventlog.Log }

func (l otherEpoch) Head(ctx context.Context) (eventlog.Head, error) {
	h, err := l.Log.Head(ctx)
	h.Epoch++
	return h, err
}

func (l otherEpoch) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	if after.Epoch == 1 {
		return nil, &eventlog.RewrittenError{After: after, Reason: "epoch 1 was read, and this is epoch 2"}
	}
	after.Epoch = 1
	return l.Log.Read(ctx, after)
}

// another is counting under the name of another service.
type another struct{ counting }

func (another) Name() string { return "another" }

func TestMisfit(t *testing.T) {
	// Inputs that derive nothing, so that the positions are the inputs' own.
	folded := func() (*eventlog.Memory, *view.Memory) {
		log, store := newLog(), view.NewMemory()
		input(t, log, 0, 0, 0, 0)
		foldAll(t, config(counting{}, log, store))
		return log, store
	}
	for _, tt := range []struct {
		name string
		core fold.Core
		log  func(log *eventlog.Memory) eventlog.Log
		want string // in the reason; "" = it fits
	}{
		{"the same log", counting{}, func(log *eventlog.Memory) eventlog.Log { return log }, ""},
		{"a longer log", counting{}, func(log *eventlog.Memory) eventlog.Log { input(t, log, 0, 0); return log }, ""},
		{
			"another epoch",
			counting{},
			func(log *eventlog.Memory) eventlog.Log { return otherEpoch{log} },
			"epoch 1 was read, and this is epoch 2",
		},
		{
			"a truncated log",
			counting{},
			func(log *eventlog.Memory) eventlog.Log { log.Truncate(3); return log },
			"it was read up to sequence 4, and ends at 3",
		},
		{
			"an empty log",
			counting{},
			func(*eventlog.Memory) eventlog.Log { return newLog() },
			"it was read up to sequence 4, and ends at 0",
		},
		{"a truncated log that grew again", counting{}, func(log *eventlog.Memory) eventlog.Log {
			log.Truncate(3)
			input(t, log, 10, 0, 0)
			return log
		}, "sequence 4 holds the fact"},
		{
			"another service",
			another{},
			func(log *eventlog.Memory) eventlog.Log { return log },
			"it is the view of another service",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, store := folded()
			c := config(tt.core, tt.log(log), store)
			r, err := fold.Open(t.Context(), c)
			if tt.want == "" {
				if err != nil || r.Progress().Seq != 4 {
					t.Fatalf("got %v, want a replica at 4", err)
				}
				foldAll(t, c)
				return
			}
			misfit, ok := errors.AsType[*fold.MisfitError](err)
			if !ok || misfit.Core != tt.core.Name() || !strings.Contains(misfit.Reason, tt.want) {
				t.Fatalf("got %v, want a MisfitError of %s: %s", err, tt.core.Name(), tt.want)
			}
			if !strings.Contains(err.Error(), tt.core.Name()) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to name the service and the reason", err)
			}
			// Deleted, as the error says it may be, the view is rebuilt.
			c.View = view.NewMemory()
			foldAll(t, c)
			wantFolded(t, tt.core, c.Log, c.View)
		})
	}
}

func TestGap(t *testing.T) {
	for _, missing := range []fact.Seq{1, 3} {
		log, store := newLog(), view.NewMemory()
		input(t, log, 0, 0, 0, 0)
		err := runToError(t, config(counting{}, &tampered{log, func(m eventlog.Message) (eventlog.Message, bool, error) {
			return m, m.Seq != missing, nil
		}}, store))
		if want := fmt.Sprintf("gap: sequence %d follows %d", missing+1, missing-1); !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

// TestRepeated reads a message twice, which is no gap but must not be folded twice either.
func TestRepeated(t *testing.T) {
	log := newLog()
	input(t, log, 0, 0, 0, 0)
	err := runToError(t, config(counting{}, &tampered{log, func(m eventlog.Message) (eventlog.Message, bool, error) {
		m.Seq = min(m.Seq, 2)
		return m, true, nil
	}}, view.NewMemory()))
	if want := "sequence 2 follows 2"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want %q in it", err, want)
	}
}

// newer makes the message one that a newer version wrote, with a field that this one does not know.
func newer(m eventlog.Message) eventlog.Message {
	m.Payload = append(slices.Clone(m.Payload), 0xc0, 0x3e, 0x01)
	return m
}

func TestUndecodable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		family fact.Family
		stops  bool
	}{
		{"acted on", fact.Clock, true},
		{"of its own", fact.Goal, true},
		{"stepped over", fact.Roster, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, store := newLog(), view.NewMemory()
			input(t, log, 1)
			mustAppend(t, log, stranger())
			foldAll(t, config(counting{}, log, view.NewMemory())) // appends sequence 3
			first := map[fact.Family]fact.Seq{fact.Clock: 1, fact.Roster: 2, fact.Goal: 3}[tt.family]
			c := config(counting{}, &tampered{log, func(m eventlog.Message) (eventlog.Message, bool, error) {
				if m.Family == tt.family {
					m = newer(m)
				}
				return m, true, nil
			}}, store)
			if !tt.stops {
				foldAll(t, c)
				wantFolded(t, counting{}, log, store)
				return
			}
			wantUndecodable(t, runToError(t, c), first, tt.family)
		})
	}
}

func wantUndecodable(t *testing.T, err error, seq fact.Seq, family fact.Family) {
	t.Helper()
	unreadable, ok := errors.AsType[*eventlog.DecodeError](err)
	if !ok || unreadable.Seq != seq || unreadable.Family != family {
		t.Errorf("got %v, want a DecodeError of sequence %d, family %s", err, seq, family)
	}
}

// lastOf is a log with a LastOf of its own.
type lastOf struct {
	eventlog.Log
	lastOf func() (eventlog.Message, bool, error)
}

func (l lastOf) LastOf(context.Context, fact.Family) (eventlog.Message, bool, error) {
	return l.lastOf()
}

// TestUnreadable has the log itself say that a message cannot be understood: trying again would not help.
func TestUnreadable(t *testing.T) {
	unreadable := &eventlog.DecodeError{Seq: 2, Err: errors.New("unknown subject")}
	t.Run("Next", func(t *testing.T) {
		log, store := newLog(), view.NewMemory()
		input(t, log, 0, 0, 0)
		wantUndecodable(t, runToError(t, config(counting{}, &tampered{log, func(m eventlog.Message) (eventlog.Message, bool, error) {
			return m, true, map[bool]error{true: unreadable}[m.Seq == 2]
		}}, store)), 2, "")
	})
	t.Run("LastOf, at the start", func(t *testing.T) {
		_, err := fold.Open(t.Context(), config(counting{}, lastOf{newLog(), func() (eventlog.Message, bool, error) {
			return eventlog.Message{}, false, unreadable
		}}, view.NewMemory()))
		wantUndecodable(t, err, 2, "")
	})
	t.Run("LastOf, later", func(t *testing.T) {
		// The family has grown behind the replica's back, so its append is refused, and it looks.
		log, answers := newLog(), 0
		input(t, log, 1)
		mustAppend(t, log, goal(1, 0, 1))
		first, _, _ := log.LastOf(t.Context(), fact.Goal)
		grown := lastOf{newGated(log), func() (eventlog.Message, bool, error) {
			if answers++; answers == 1 {
				return eventlog.Message{}, false, nil
			}
			return newer(first), true, nil
		}}
		wantUndecodable(t, runToError(t, config(counting{}, grown, view.NewMemory())), 2, fact.Goal)
		answers = 0
		grown.lastOf = func() (eventlog.Message, bool, error) {
			if answers++; answers == 1 {
				return eventlog.Message{}, false, nil
			}
			return eventlog.Message{}, false, unreadable
		}
		wantUndecodable(t, runToError(t, config(counting{}, grown, view.NewMemory())), 2, "")
	})
}

// replaced is a log whose stream has given way to the next epoch's.
type replaced struct{ eventlog.Log }

func (replaced) Append(context.Context, eventlog.Batch) (fact.Seq, error) {
	return 0, eventlog.ErrReplaced
}

func TestReplaced(t *testing.T) {
	log := newLog()
	input(t, log, 1)
	if err := runToError(t, config(counting{}, replaced{log}, view.NewMemory())); !errors.Is(err, eventlog.ErrReplaced) {
		t.Errorf("append: got %v, want ErrReplaced", err)
	}
	store := view.NewMemory()
	foldAll(t, config(counting{}, log, store))
	input(t, log, 1)
	if err := runToError(t, config(counting{}, &tampered{log, func(m eventlog.Message) (eventlog.Message, bool, error) {
		if m.Seq > 2 {
			return m, false, eventlog.ErrReplaced
		}
		return m, true, nil
	}}, store)); !errors.Is(err, eventlog.ErrReplaced) {
		t.Errorf("read: got %v, want ErrReplaced", err)
	}
}

// flooding derives as many facts as the time says.
type flooding struct{ counting }

func (flooding) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	tx.Put("sum", []byte("last"), []byte(e.Seq.String()))
	var facts []fact.Fact
	for i := range e.Fact.(fact.TimePassed).Time {
		facts = append(facts, fact.StepGoalReached{Day: fact.Day(i)})
	}
	return facts
}

func TestTooManyDerived(t *testing.T) {
	log, store := newLog(), view.NewMemory()
	input(t, log, 0, fold.MaxDerived+1)
	err := runToError(t, config(flooding{}, log, store))
	for _, part := range []string{"sequence 2", "257", "256"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to say %q", err, part)
		}
	}
	if got := head(t, log); got != 2 {
		t.Errorf("got %d facts appended, want none", got-2)
	}
	wantFolded(t, flooding{}, newLog(), store) // nothing kept
}

// batches records what is appended.
type batches struct {
	eventlog.Log
	all []eventlog.Batch
}

func (l *batches) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	l.all = append(l.all, b)
	return l.Log.Append(ctx, b)
}

// TestBatches gives the runner more derived facts than fit a batch: every batch fits, and none splits a cause.
func TestBatches(t *testing.T) {
	log, store := &batches{Log: newLog()}, view.NewMemory()
	var times []int
	for i := range 60 {
		times = append(times, []int{256, 0, 1, 244, 244, 244, 256, 256, 256, 100}[i%10])
	}
	input(t, log.Log, times...)
	foldAll(t, config(flooding{}, log, store))
	wantFolded(t, flooding{}, log, store)
	sizes := []int{}
	for _, b := range log.all {
		first, last := b.Records[0].Derivation, b.Records[len(b.Records)-1].Derivation
		if len(b.Records) > eventlog.MaxBatch || first.Index != 0 || last.Index != last.Count-1 {
			t.Errorf("got a batch of %d from %+v to %+v, want at most %d and whole causes", len(b.Records), first, last, eventlog.MaxBatch)
		}
		if _, fenced := b.Fences[fact.Goal]; !fenced || len(b.Fences) != 1 {
			t.Errorf("got the fences %v, want one on the own family", b.Fences)
		}
		sizes = append(sizes, len(b.Records))
	}
	// Up to 744 facts another step's still fit for certain.
	for _, n := range sizes[:len(sizes)-1] {
		if n <= eventlog.MaxBatch-fold.MaxDerived {
			t.Errorf("got batches of %v, want none but the last that had room for another step", sizes)
			break
		}
	}
}

// turns is a store that notes how many facts were appended with each commit that had some.
type turns struct {
	*view.Memory
	log   *batches
	sizes []int
}

// Update implements view.Store.
func (s *turns) Update(f func(kv.Tx) error) error {
	before := len(s.log.all)
	err := s.Memory.Update(f)
	facts := 0
	for _, b := range s.log.all[before:] {
		facts += len(b.Records)
	}
	if facts > 0 {
		s.sizes = append(s.sizes, facts)
	}
	return err
}

// TestTurnsFull: a transaction holds as many derived facts as a batch may, and is closed before the step that might not fit.
func TestTurnsFull(t *testing.T) {
	for _, tt := range []struct {
		third int // what the third step of four derives, the others all that they may
		sizes []int
	}{
		{eventlog.MaxBatch - 3*fold.MaxDerived, []int{eventlog.MaxBatch}},
		{eventlog.MaxBatch - 3*fold.MaxDerived + 1, []int{eventlog.MaxBatch - fold.MaxDerived + 1, fold.MaxDerived}},
	} {
		log := &batches{Log: newLog()}
		store := &turns{Memory: view.NewMemory(), log: log}
		input(t, log.Log, fold.MaxDerived, fold.MaxDerived, tt.third, fold.MaxDerived)
		foldAll(t, config(flooding{}, log, store))
		if !slices.Equal(store.sizes, tt.sizes) {
			t.Errorf("got %v facts with the commits, want %v", store.sizes, tt.sizes)
		}
	}
}

// TestExpectedDamaged: what a view expects is not guessed where it cannot be read.
func TestExpectedDamaged(t *testing.T) {
	log, store := newLog(), view.NewMemory()
	input(t, log, 1)
	foldAll(t, config(flooding{}, log, store))
	if err := store.Update(func(tx kv.Tx) error {
		tx.Put("runner", append([]byte{'q'}, make([]byte, 12)...), []byte{0xff})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if r, err := fold.Open(t.Context(), config(flooding{}, log, store)); err == nil || !strings.Contains(err.Error(), "an expected fact: ") {
		t.Errorf("got %v, %v, want an error that says what is damaged", r, err)
	}
}

// TestSnapshotFails: a view that cannot be read has no digest.
func TestSnapshotFails(t *testing.T) {
	log := newLog()
	input(t, log, 1)
	store, err := view.OpenBolt(filepath.Join(t.TempDir(), "view.db"))
	if err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, config(flooding{}, log, store))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Snapshot(); err == nil {
		t.Errorf("got %+v of a view that is closed", s)
	}

	other := view.NewMemory()
	r = mustOpen(t, config(flooding{}, log, other))
	if err := other.Update(func(tx kv.Tx) error {
		tx.Put("runner", []byte("p"), append(make([]byte, 44), "another"...))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Snapshot(); err == nil {
		t.Errorf("got %+v of the view of another service", s)
	}
}

// frail is a store whose commits fail: not stored, or stored although it was said that they failed.
type frail struct {
	*view.Memory
	fails  int // the commit that fails, from 1
	stored bool
	made   int
}

var errDisk = errors.New("disk")

func (s *frail) Update(f func(kv.Tx) error) error {
	s.made++
	if s.made != s.fails {
		return s.Memory.Update(f)
	}
	err := s.Memory.Update(func(tx kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if !s.stored {
			return errDisk
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errDisk
}

func TestCommitFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for fails := 1; fails <= 3; fails++ {
			t.Run(fmt.Sprintf("commit %d, stored %v", fails, stored), func(t *testing.T) {
				log := newLog()
				input(t, log, 3, 1, 4)
				gate := newGated(log)
				store := &frail{Memory: view.NewMemory(), fails: fails, stored: stored}
				r := mustOpen(t, config(counting{}, gate, store))
				ended := make(chan error, 1)
				go func() { ended <- r.Run(patience(t)) }()
				for seq := fact.Seq(1); seq < fact.Seq(fails); seq++ { // one turn for each fact
					wait(t, r, seq)
					gate.open(seq + 1)
				}
				if err := <-ended; !errors.Is(err, errDisk) {
					t.Fatalf("got %v, want %v", err, errDisk)
				}
				if got, want := r.Progress().Seq, fact.Seq(fails-1); got != want {
					t.Errorf("got position %d, want %d: the commit point was not passed", got, want)
				}
				foldAll(t, config(counting{}, log, store.Memory))
				wantFolded(t, counting{}, log, store.Memory)
			})
		}
	}
}

// commits counts the transactions of a store.
type commits struct {
	view.Store
	made int
}

func (s *commits) Update(f func(kv.Tx) error) error {
	s.made++
	return s.Store.Update(f)
}

func TestStepOver(t *testing.T) {
	log, store := newLog(), &commits{Store: view.NewMemory()}
	for range 5 {
		mustAppend(t, log, stranger(), stranger())
	}
	r, stop := start(t, config(counting{}, log, store))
	wait(t, r, 10)
	if got, want := r.Progress(), (fold.Progress{Seq: 10, Settled: 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wantQuery(t, r, 10, "")
	stop()
	if store.made != 0 {
		t.Errorf("got %d commits, want none", store.made)
	}

	// A restart steps over them again, and goes on.
	r, _ = start(t, config(counting{}, log, store))
	input(t, log, 0)
	mustAppend(t, log, stranger())
	wait(t, r, 12)
	wantQuery(t, r, 12, "\x00\x00\x00\x00")
	if store.made != 1 {
		t.Errorf("got %d commits, want 1", store.made)
	}
	input(t, log, 5)
	wait(t, r, 13)
	wantQuery(t, r, 13, "\x00\x00\x00\x05")
	wantFolded(t, counting{}, log, store)
}

// wantQuery checks that the replica answers with counting's sum as of the sequence.
func wantQuery(t *testing.T, r *fold.Runner, seq fact.Seq, sum string) {
	t.Helper()
	err := r.Query(func(got fact.Seq, tx view.Reader) error {
		if v := string(tx.Get("sum", []byte("sum"))); got != seq || v != sum {
			t.Errorf("query: got sequence %d, sum %x, want %d, %x", got, v, seq, sum)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// overtaken is a store in which a commit comes between a Query's look at the position and its view.
type overtaken struct {
	*view.Memory
	before func()
}

func (s *overtaken) View(f func(view.Reader) error) error {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.Memory.View(f)
}

func TestQueryDuringCommit(t *testing.T) {
	log, store := newLog(), &overtaken{Memory: view.NewMemory()}
	input(t, log, 0)
	r, _ := start(t, config(counting{}, log, store))
	wait(t, r, 1)
	store.before = func() { wait(t, r, input(t, log, 5)) }
	wantQuery(t, r, 2, "\x00\x00\x00\x05")

	broken := errors.New("broken")
	if err := r.Query(func(fact.Seq, view.Reader) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	want := fold.Snapshot{Epoch: 1, Seq: 2, Digest: digestOf(store)}
	if got, err := r.Snapshot(); err != nil || got != want {
		t.Errorf("snapshot: got %+v, %v, want %+v", got, err, want)
	}
}

func TestSnapshotAtRest(t *testing.T) {
	log, store := newLog(), view.NewMemory()
	snapshot := func(core string) (s fold.Snapshot, err error) {
		err = store.View(func(tx view.Reader) error {
			s, err = fold.SnapshotOf(tx, core)
			return err
		})
		return s, err
	}
	if got, err := snapshot("counting"); err != nil || got != (fold.Snapshot{Digest: digestOf(store)}) {
		t.Errorf("new: got %+v, %v", got, err)
	}
	input(t, log, 0, 5)
	r, stop := start(t, config(counting{}, log, store))
	wait(t, r, 2)
	stop()
	want := fold.Snapshot{Epoch: 1, Seq: r.Progress().Seq, Digest: digestOf(store)}
	if got, err := snapshot("counting"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	var misfit *fold.MisfitError
	if got, err := snapshot("other"); !errors.As(err, &misfit) {
		t.Errorf("as another core's: got %+v, %v, want a misfit", got, err)
	}
}

func TestWait(t *testing.T) {
	log := newLog()
	input(t, log, 0, 0)
	gate := newGated(log)
	r, _ := start(t, config(counting{}, gate, view.NewMemory()))
	wait(t, r, 0)
	wait(t, r, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ended, 1); err != nil {
		t.Errorf("for what is folded: got %v, want no error, however late", err)
	}
	if err := r.Wait(ended, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("for what is not: got %v, want %v", err, context.Canceled)
	}
	woken := make(chan error, 3)
	for range cap(woken) {
		go func() { woken <- r.Wait(patience(t), 2) }()
	}
	gate.open(2)
	for range cap(woken) {
		if err := <-woken; err != nil {
			t.Error(err)
		}
	}
}

// TestSettle lets the own facts come by one after the other: only the last of a cause settles it.
func TestSettle(t *testing.T) {
	log := newLog()
	input(t, log, 3)               // 1, with 3 facts
	input(t, log, 0)               // 2: 93, with 3 facts
	mustAppend(t, log, stranger()) // 3
	gate, store := newGated(log), view.NewMemory()
	r, stop := start(t, config(counting{}, gate, store))
	unsettled := func(seq fact.Seq) {
		t.Helper()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if e, err := r.Settle(ended, seq); !errors.Is(err, context.Canceled) {
			t.Errorf("settle %d at %+v: got %d, %v, want %v", seq, r.Progress(), e, err, context.Canceled)
		}
	}
	settled := func(seq, want fact.Seq) {
		t.Helper()
		if e, err := r.Settle(patience(t), seq); err != nil || e != want {
			t.Errorf("settle %d at %+v: got %d, %v, want %d", seq, r.Progress(), e, err, want)
		}
	}
	wait(t, r, 1)
	settled(0, 1)
	unsettled(1)

	// The inputs stand before the own facts, which are 4 to 6 for 1, and 7 to 9 for 2.
	gate.open(3)
	wait(t, r, 3)
	if got := head(t, log); got != 9 {
		t.Fatalf("got %d facts in the log, want 9", got)
	}
	unsettled(1)
	for _, seq := range []fact.Seq{4, 5} {
		gate.open(seq)
		wait(t, r, seq)
		unsettled(1)
	}
	gate.open(6)
	settled(1, 6)
	unsettled(2)

	// What has not come by yet is known after a restart.
	stop()
	r, _ = start(t, config(counting{}, gate, store))
	if got, want := r.Progress(), (fold.Progress{Seq: 6, Settled: 1}); got != want {
		t.Errorf("after a restart: got %+v, want %+v", got, want)
	}
	unsettled(2)
	gate.open(8)
	wait(t, r, 8)
	unsettled(2)
	unsettled(3) // a fact that was stepped over, but stands behind one that is not settled
	gate.open(9)
	settled(3, 9)
	settled(9, 9)
	wantFolded(t, counting{}, log, store)
}

// silent derives nothing, and has no family of its own.
type silent struct{ counting }

func (silent) Derives() fact.Family { return "" }

func (s silent) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	s.counting.Step(tx, e)
	return nil
}

func TestWithoutOwnFamily(t *testing.T) {
	log, store := newLog(), view.NewMemory()
	input(t, log, 3, 1, 4)
	mustAppend(t, log, goal(1, 0, 1)) // another service's
	r := foldAll(t, config(silent{}, log, store))
	if got, want := r.Progress(), (fold.Progress{Seq: 4, Settled: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := head(t, log); got != 4 {
		t.Errorf("got %d facts appended, want none", got-4)
	}
}

// TestRebuild deletes a view: a new one becomes the same, and nothing is appended again.
func TestRebuild(t *testing.T) {
	log, store := newLog(), view.NewMemory()
	for i := range 50 {
		input(t, log, i*i)
		mustAppend(t, log, stranger())
		if i%10 == 0 {
			foldAll(t, config(counting{}, log, store))
		}
	}
	foldAll(t, config(counting{}, log, store))
	rebuilt, appended := view.NewMemory(), &batches{Log: log}
	foldAll(t, config(counting{}, appended, rebuilt))
	if len(appended.all) > 0 {
		t.Errorf("got %d batches appended by the rebuild, want none", len(appended.all))
	}
	wantFolded(t, counting{}, log, store, rebuilt)
}

// TestOutage has every call on the log fail for a while, in each way that can pass.
func TestOutage(t *testing.T) {
	down := errors.New("down")
	failing := map[string]int{} // how many calls still fail
	fault := []eventlog.Fault{eventlog.NotStored, eventlog.Lost, eventlog.Unanswered, eventlog.Torn, eventlog.NotStored}
	appends, calm := 0, true
	var now fact.UnixMilli
	log := eventlog.NewMemory(func() fact.UnixMilli { now++; return now }, eventlog.Faults{
		Append: func(b eventlog.Batch) eventlog.Fault {
			if calm || b.Records[0].Fact.Family() != fact.Goal {
				return eventlog.NoFault
			}
			if appends++; appends <= len(fault) {
				return fault[appends-1]
			}
			return eventlog.NoFault
		},
		Enter: func(call string) error {
			if calm || failing[call] == 0 {
				return nil
			}
			failing[call]--
			return down
		},
	})
	input(t, log, 3, 1, 4, 1, 5, 9, 2, 6)
	store := view.NewMemory()
	c := config(counting{}, log, store)
	var waits []int
	c.Backoff = func(failures int) time.Duration { waits = append(waits, failures); return 0 }
	r := mustOpen(t, c)
	failing, calm = map[string]int{"Read": 3, "Next": 2, "LastOf": 2}, false
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if _, err := r.Settle(patience(t), 8); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	calm = true
	wantFolded(t, counting{}, log, store)
	// Reading failed five times on end. Appending failed as often as there are faults, but what was stored unanswered
	// is found by a look, and no append then follows.
	if got, want := waits[:5], []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("got waits behind %v failures, want %v", got, want)
	}
	if rest := waits[5:]; len(rest) < 3 || rest[0] != 0 {
		t.Errorf("got waits behind %v failures to append, want them counted from 0", rest)
	}
}

// TestEnd ends the context where a replica waits: that is no error, and nothing is logged or kept.
func TestEnd(t *testing.T) {
	for name, log := range map[string]eventlog.Log{
		"for a fact":     newLog(),
		"for the append": refusing{newLog()},
		"for the read":   unreadable{newLog()},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "for the append" {
				input(t, log.(refusing).Log, 1)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var logged strings.Builder
			c := config(counting{}, log, view.NewMemory())
			c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			waiting := make(chan struct{}, 1)
			c.Backoff = func(int) time.Duration {
				select {
				case waiting <- struct{}{}:
				default:
				}
				return time.Hour
			}
			r := mustOpen(t, c)
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			if name == "for a fact" {
				wait(t, r, 0)
			} else {
				select {
				case <-waiting:
				case <-patience(t).Done():
					t.Fatal("the replica does not wait")
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if name == "for a fact" && logged.Len() > 0 {
				t.Errorf("got %q logged, want nothing", logged.String())
			}
			wantFolded(t, counting{}, newLog(), c.View)
		})
	}
}

// refusing stores nothing.
type refusing struct{ eventlog.Log }

func (refusing) Append(context.Context, eventlog.Batch) (fact.Seq, error) {
	return 0, eventlog.ErrNotStored
}

// unreadable cannot be read for now.
type unreadable struct{ eventlog.Log }

func (unreadable) Read(context.Context, eventlog.Position) (eventlog.Reader, error) {
	return nil, errors.New("down")
}

func TestDefaultBackoff(t *testing.T) {
	log := newLog()
	input(t, log, 1)
	c := config(counting{}, refusing{log}, view.NewMemory())
	c.Backoff = nil
	r := mustOpen(t, c)
	for failures, want := range map[int]time.Duration{
		0: time.Millisecond, 1: 2 * time.Millisecond, 5: 32 * time.Millisecond,
		9: 512 * time.Millisecond, 10: time.Second, 11: time.Second, 1_000_000: time.Second,
	} {
		if got := r.Backoff(failures); got != want {
			t.Errorf("behind %d failures: got %v, want %v", failures, got, want)
		}
	}
}

// TestEndToEnd runs two replicas with views on disk over the embedded log, while a writer and the replicas append.
func TestEndToEnd(t *testing.T) {
	dir := t.TempDir()
	server, err := eventlog.StartEmbedded(filepath.Join(dir, "log"), 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	open := func() eventlog.Log {
		nc, err := server.Connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		log, err := eventlog.Create(t.Context(), nc, "tokyo2020", 1)
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	writer := open()
	stores := make([]view.Store, 2)
	paths := make([]string, len(stores))
	configs := make([]fold.Config, len(stores))
	var stops []func()
	var replicas []*fold.Runner
	for i := range stores {
		paths[i] = filepath.Join(dir, "views", fmt.Sprintf("counting%d.db", i))
		stores[i] = openBolt(t, paths[i])
		configs[i] = config(counting{}, open(), stores[i])
		r, stop := start(t, configs[i])
		replicas, stops = append(replicas, r), append(stops, stop)
	}
	var last fact.Seq
	for i := range 40 {
		last = input(t, writer, i, i*7, i*i)
		mustAppend(t, writer, stranger())
		if i == 20 { // one of the two is stopped on the way, and started again on its file
			settle(t, replicas[1], writer)
			stops[1]()
			if err := stores[1].Close(); err != nil {
				t.Fatal(err)
			}
			stores[1] = openBolt(t, paths[1])
			configs[1].View = stores[1]
			replicas[1], stops[1] = start(t, configs[1])
		}
	}
	for i, r := range replicas {
		e, err := r.Settle(patience(t), last)
		if err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		if e <= last {
			t.Errorf("replica %d: got position %d, want it behind the facts that follow from %d", i, e, last)
		}
	}
	for i, r := range replicas {
		wait(t, r, head(t, writer))
		stops[i]()
	}
	wantFolded(t, counting{}, writer, stores...)
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// narrow is a log whose server takes fewer facts at once.
type narrow struct {
	eventlog.Log
	most    int
	largest int // batch that was taken
	refused int // batches
}

func (l *narrow) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	if len(b.Records) > l.most {
		l.refused++
		return 0, fmt.Errorf("%w: max_batch_size: %d", eventlog.ErrBatchTooLarge, l.most)
	}
	l.largest = max(l.largest, len(b.Records))
	return l.Log.Append(ctx, b)
}

// TestNarrowLog derives more facts in a turn than the server takes at once: they are split where causes end.
func TestNarrowLog(t *testing.T) {
	for most, fits := range map[int]bool{4: true, 7: true, 3: false} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			log, store := newLog(), view.NewMemory()
			for i := range 100 {
				input(t, log, i)
			}
			server := &narrow{Log: log, most: most}
			c := config(counting{}, server, store)
			if !fits { // counting derives up to 4 facts from one
				err := runToError(t, c)
				if !errors.Is(err, eventlog.ErrRefused) || !strings.Contains(err.Error(), "max_batch_size: 3") {
					t.Errorf("got %v, want that the log refuses for good, and the limit", err)
				}
				return
			}
			foldAll(t, c)
			wantFolded(t, counting{}, log, store)
			if server.refused == 0 || server.refused > 10 || server.largest > most {
				t.Errorf("got %d batches refused, the largest taken with %d facts: want a few, and at most %d facts", server.refused, server.largest, most)
			}
		})
	}
}

// TestRefusedLog: a replica ends where its facts will never be taken, and every try that failed otherwise is told.
func TestRefusedLog(t *testing.T) {
	fault := eventlog.Lost
	tries := 0
	log := eventlog.NewMemory(func() fact.UnixMilli { return 0 }, eventlog.Faults{Append: func(b eventlog.Batch) eventlog.Fault {
		if b.Records[0].Fact.Family() != fact.Goal {
			return eventlog.NoFault
		}
		if tries++; tries == 5 {
			fault = eventlog.Refused
		}
		return fault
	}})
	input(t, log, 1, 2, 3, 4)
	var told strings.Builder
	c := config(counting{}, log, view.NewMemory())
	c.Logger = slog.New(slog.NewTextHandler(&told, nil))
	err := runToError(t, c)
	if !errors.Is(err, eventlog.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if n := strings.Count(told.String(), "not known to be stored"); n != 3 { // the first, second and fourth
		t.Errorf("4 tries failed, and %d are told, want 3:\n%s", n, &told)
	}
}

// TestTailLost: a replica that runs ends with a MisfitError when the log comes back from an older copy and others write.
func TestTailLost(t *testing.T) {
	t.Parallel()
	err := logtest.LoseTail(t, func(log *eventlog.JetStream) logtest.Follower {
		r := mustOpen(t, fold.Config{Core: counting{}, Log: log, View: view.NewMemory(), Logger: slog.New(slog.DiscardHandler)})
		return logtest.Follower{Run: r.Run, Reached: func(ctx context.Context, seq fact.Seq) error {
			_, err := r.Settle(ctx, seq)
			return err
		}}
	})
	misfit, ok := errors.AsType[*fold.MisfitError](err)
	if !ok || misfit.Core != "counting" || !strings.Contains(err.Error(), "holds the fact") {
		t.Errorf("got %v, want a MisfitError of counting", err)
	}
}

func openBolt(t testing.TB, path string) *view.Bolt {
	t.Helper()
	b, err := view.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// BenchmarkRunner folds a log in memory into a view on disk: as facts come, with what is derived appended, and as a
// rebuild of a view from a log that holds it all.
func BenchmarkRunner(b *testing.B) {
	const inputs = 50_000
	filled := func() *eventlog.Memory {
		log := newLog()
		for i := 0; i < inputs; i += eventlog.MaxBatch {
			var times []int
			for j := range eventlog.MaxBatch {
				times = append(times, i+j)
			}
			input(b, log, times...)
		}
		return log
	}
	done := filled()
	foldAll(b, config(counting{}, done, view.NewMemory()))
	for name, logOf := range map[string]func() *eventlog.Memory{
		"Live":    filled,
		"Rebuild": func() *eventlog.Memory { return done },
	} {
		b.Run(name, func(b *testing.B) {
			var facts fact.Seq
			for b.Loop() {
				b.StopTimer()
				store := openBolt(b, filepath.Join(b.TempDir(), "counting.db"))
				log := logOf()
				b.StartTimer()
				foldAll(b, config(counting{}, log, store))
				b.StopTimer()
				facts += head(b, log)
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(facts)/b.Elapsed().Seconds(), "facts/s")
		})
	}
}
