package fold_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "first seed of the simulated schedules; 0 = a random one, printed")
	schedules = flag.Int("schedules", 1000, "number of simulated schedules")
)

// counting is a core whose answers depend on the order of all that it has seen: a replica that missed, repeated or
// swapped a fact gives itself away.
type counting struct {
	twist uint32 // another binary has another twist
}

func (counting) Name() string          { return "counting" }
func (counting) ActsOn() []fact.Family { return []fact.Family{fact.Clock} }
func (counting) Derives() fact.Family  { return fact.Goal }

func (c counting) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	sum := c.twist
	if v := tx.Get("sum", []byte("sum")); v != nil {
		sum = binary.BigEndian.Uint32(v)
	}
	sum = sum*31 + uint32(e.Fact.(fact.TimePassed).Time)
	tx.Put("sum", []byte("sum"), binary.BigEndian.AppendUint32(nil, sum))
	var facts []fact.Fact
	for i := range sum % 5 {
		facts = append(facts, fact.StepGoalReached{Wearer: fact.WearerID{1}, Day: fact.Day(i), Steps: sum})
	}
	return facts
}

// crash is what every call of a replica returns once the scheduler has killed it.
var errCrash = errors.New("crash")

// world runs replicas one at a time. Each parks at every call on its log and its view; the scheduler picks, by the
// seed, who goes on, who is killed there, and which fault the next append meets. The same seed gives the same schedule.
type world struct {
	rng      *rand.Rand
	log      *eventlog.Memory
	replicas []*replica
	calm     bool // no more faults: all is to come to its end
	appended int
	losses   int // how often the log lost its end
	lossy    bool
	mutate   func(eventlog.Log) eventlog.Log
}

type replica struct {
	world  *world
	core   counting
	store  *view.Memory
	saved  *view.Memory // an older copy, or nil
	runner *fold.Runner
	park   chan struct{} // replica to scheduler: I am parked, or ended
	resume chan error    // scheduler to replica: go on, or crash
	cancel context.CancelFunc
	dead   error // crashed: every call fails from now on
	ended  bool
	err    error // why it ended
}

func newWorld(seed uint64, replicas int, mutate func(eventlog.Log) eventlog.Log) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), mutate: mutate}
	var now fact.UnixMilli
	w.log = eventlog.NewMemory(func() fact.UnixMilli { now++; return now }, eventlog.Faults{
		Append: w.fault,
		Stale:  w.stale,
	})
	for range replicas {
		r := &replica{world: w, store: view.NewMemory()}
		w.replicas = append(w.replicas, r)
		w.start(r)
	}
	return w
}

func (w *world) fault(b eventlog.Batch) eventlog.Fault {
	if w.calm || b.Records[0].Fact.Family() != fact.Goal || w.rng.IntN(4) > 0 {
		return eventlog.NoFault
	}
	return []eventlog.Fault{eventlog.Lost, eventlog.Unanswered, eventlog.Late, eventlog.Torn, eventlog.NotStored}[w.rng.IntN(5)]
}

func (w *world) stale(fact.Family) int {
	if w.calm || w.rng.IntN(4) > 0 {
		return 0
	}
	return w.rng.IntN(4)
}

// start lets a replica begin, with the view that it has.
func (w *world) start(r *replica) {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.park, r.resume = cancel, make(chan struct{}), make(chan error)
	r.dead, r.ended, r.err, r.runner = nil, false, nil, nil
	var log eventlog.Log = &parkingLog{Memory: w.log, r: r}
	if w.mutate != nil {
		log = w.mutate(log)
	}
	config := fold.Config{
		Core: r.core, Log: log, View: &parkingStore{Memory: r.store, r: r},
		Logger: slog.New(slog.DiscardHandler), Backoff: func(int) time.Duration { return 0 },
	}
	go func() {
		defer func() { r.ended = true; close(r.park) }()
		if r.err = <-r.resume; r.err != nil {
			return
		}
		runner, err := fold.Open(ctx, config)
		if err != nil {
			r.err = err
			return
		}
		r.runner = runner
		r.err = runner.Run(ctx)
	}()
}

// yield parks the replica until the scheduler picks it again.
func (r *replica) yield() error {
	if r.dead != nil {
		return r.dead
	}
	r.park <- struct{}{}
	if err := <-r.resume; err != nil {
		r.dead = err
		r.cancel()
	}
	return r.dead
}

// step lets one replica go on to where it parks next, or ends.
func (w *world) step(r *replica, verdict error) {
	r.resume <- verdict
	<-r.park
}

// chaos is one random event. It returns an error when a replica stopped for another reason than a crash.
func (w *world) chaos() error {
	switch n := w.rng.IntN(100); {
	case n < 12:
		w.input()
	case n < 18:
		w.log.StoreLate()
	case n < 19 && w.lossy && !w.calm:
		w.log.Cut()
	case n < 20 && w.lossy && !w.calm && w.rng.IntN(3) == 0:
		w.lose()
	default:
		r := w.replicas[w.rng.IntN(len(w.replicas))]
		var verdict error
		if !w.calm && n < 22 {
			verdict = errCrash
		}
		w.step(r, verdict)
		if r.ended {
			if err := w.recover(r, verdict == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// lose lets the log lose its end: the server came back from an older copy. Most often others write at once.
func (w *world) lose() {
	head, _ := w.log.Head(context.Background())
	w.log.Truncate(head.Last - min(head.Last, fact.Seq(w.rng.IntN(12))))
	w.losses++
	for range w.rng.IntN(3) {
		w.input()
	}
}

// recover starts a replica again that has crashed: with its view, with an older copy of it, or with none. One that
// stopped by itself may have found that the log is another; its view is deleted then, as an operator would.
func (w *world) recover(r *replica, stopped bool) error {
	if stopped {
		if _, misfit := errors.AsType[*fold.MisfitError](r.err); !misfit || w.losses == 0 {
			return fmt.Errorf("a replica stopped: %w", r.err)
		}
		r.store, r.saved = view.NewMemory(), nil
	}
	switch n := w.rng.IntN(10); {
	case n == 0:
		r.store = view.NewMemory()
	case n == 1 && r.saved != nil:
		r.store, r.saved = r.saved, nil
	case n == 2:
		r.saved = copyOf(r.store)
	}
	w.start(r)
	return nil
}

func (w *world) input() {
	var records []fact.Record
	for range 1 + w.rng.IntN(4) {
		w.appended++
		records = append(records, fact.Record{Fact: fact.TimePassed{Time: fact.UnixMilli(w.appended)}})
		if w.rng.IntN(3) == 0 {
			// Stepped over. No two are the same: a position is told by the fact that stands there.
			stranger := fact.WearerID{9}
			binary.BigEndian.PutUint32(stranger[1:], uint32(w.appended))
			records = append(records, fact.Record{Fact: fact.WearerErased{Wearer: stranger}})
		}
	}
	if _, err := w.log.Append(context.Background(), eventlog.Batch{Records: records}); err != nil {
		panic(err) // unfenced appends meet no fault
	}
}

// run plays one schedule and returns what went wrong.
func (w *world) run(events int) error {
	defer w.stop()
	for range events {
		if err := w.chaos(); err != nil {
			return err
		}
	}
	w.calm = true
	for w.log.StoreLate() {
	}
	for range 20_000 {
		if w.finished() {
			return w.check()
		}
		for _, r := range w.replicas {
			w.step(r, nil)
			if r.ended {
				if err := w.recover(r, true); err != nil {
					return err
				}
			}
		}
	}
	return errors.New("the replicas do not come to an end")
}

func (w *world) finished() bool {
	head, _ := w.log.Head(context.Background())
	return !slices.ContainsFunc(w.replicas, func(r *replica) bool {
		return r.runner == nil || r.runner.Progress() != fold.Progress{Seq: head.Last, Settled: head.Last}
	})
}

// check compares the log and all views with a plain fold over the inputs.
func (w *world) check() error {
	reference := view.NewMemory()
	var want, got []fact.Record
	for _, m := range w.messages() {
		e, err := m.Decode()
		if err != nil {
			return err
		}
		if m.Family == fact.Goal {
			got = append(got, e.Record)
		}
		if m.Family != fact.Clock {
			continue
		}
		var facts []fact.Fact
		_ = reference.Update(func(tx kv.Tx) error { facts = counting{}.Step(tx, e); return nil })
		for i, f := range facts {
			want = append(want, fact.Record{
				Fact:       f,
				Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(i), Count: uint32(len(facts))},
			})
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the log holds %d derived facts, not the %d expected, each once and in order", len(got), len(want))
	}
	wantDigest := digestOf(reference)
	for i, r := range w.replicas {
		if d := digestOf(r.store); d != wantDigest {
			return fmt.Errorf("replica %d: digest %v, want %v", i, d, wantDigest)
		}
	}
	return nil
}

func (w *world) messages() []eventlog.Message {
	head, _ := w.log.Head(context.Background())
	if head.Last == 0 {
		return nil
	}
	reader, _ := w.log.Read(context.Background(), eventlog.Position{})
	msgs, _ := reader.Next(context.Background(), int(head.Last))
	return msgs
}

func (w *world) stop() {
	for _, r := range w.replicas {
		for !r.ended {
			w.step(r, errCrash)
		}
	}
}

func digestOf(s view.Store) (d view.Digest) {
	_ = s.View(func(r view.Reader) error { d = fold.Digest(r); return nil })
	return d
}

func copyOf(s *view.Memory) *view.Memory {
	c := view.NewMemory()
	_ = s.View(func(r view.Reader) error {
		return c.Update(func(tx kv.Tx) error {
			for _, b := range r.Buckets() {
				for k, v := range r.Scan(b, nil, nil) {
					tx.Put(b, k, v)
				}
			}
			return nil
		})
	})
	return c
}

// parkingLog parks its replica before each call and, since an answer may be late, after it.
type parkingLog struct {
	*eventlog.Memory
	r *replica
}

func (l *parkingLog) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	losses := l.r.world.losses
	if err := l.r.yield(); err != nil {
		return 0, err
	}
	if l.r.world.losses != losses {
		return 0, eventlog.ErrUnanswered // it went down with the server
	}
	seq, err := l.Memory.Append(ctx, b)
	if crash := l.r.yield(); crash != nil {
		return 0, crash
	}
	return seq, err
}

func (l *parkingLog) LastOf(ctx context.Context, f fact.Family) (eventlog.Message, bool, error) {
	if err := l.r.yield(); err != nil {
		return eventlog.Message{}, false, err
	}
	m, ok, err := l.Memory.LastOf(ctx, f)
	if crash := l.r.yield(); crash != nil {
		return eventlog.Message{}, false, crash
	}
	return m, ok, err
}

func (l *parkingLog) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	if err := l.r.yield(); err != nil {
		return nil, err
	}
	reader, err := l.Memory.Read(ctx, after)
	return &parkingReader{Reader: reader, log: l, next: after.Seq + 1}, err
}

// parkingReader stays parked while there is nothing to read, and hands out what there is in random portions.
type parkingReader struct {
	eventlog.Reader
	log  *parkingLog
	next fact.Seq
}

func (p *parkingReader) Next(ctx context.Context, limit int) ([]eventlog.Message, error) {
	for {
		if err := p.log.r.yield(); err != nil {
			return nil, err
		}
		head, err := p.log.Head(ctx)
		if err != nil {
			return nil, err
		}
		if head.Last >= p.next || p.Err() != nil {
			msgs, err := p.Reader.Next(ctx, min(limit, 1+p.log.r.world.rng.IntN(8)))
			p.next += fact.Seq(len(msgs))
			return msgs, err
		}
	}
}

// parkingStore parks its replica before the transaction, before the commit and after it.
type parkingStore struct {
	*view.Memory
	r *replica
}

func (s *parkingStore) Update(f func(kv.Tx) error) error {
	if err := s.r.yield(); err != nil {
		return err
	}
	err := s.Memory.Update(func(tx kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return s.r.yield()
	})
	if err != nil {
		return err
	}
	return s.r.yield()
}

// firstSeed returns the seed of the first schedule and says how to run it again.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	t.Logf("first seed %d; to run one schedule again: go test ./internal/fold -run %s -seed SEED -schedules 1", seed, t.Name())
	return seed
}

func TestSchedules(t *testing.T) {
	first := firstSeed(t)
	for i := range uint64(*schedules) {
		seed := first + i
		w := newWorld(seed, 1+int(seed%3), nil)
		if err := w.run(400); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestLossySchedules lets the log lose its end and grow anew, and readers lose their places.
func TestLossySchedules(t *testing.T) {
	first := firstSeed(t)
	for i := range uint64(max(1, *schedules/4)) {
		seed := first + i
		w := newWorld(seed, 1+int(seed%3), nil)
		w.lossy = true
		if err := w.run(400); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestMutations shows that TestSchedules can fail: a runner that breaks one rule of its order is caught.
func TestMutations(t *testing.T) {
	for name, tt := range map[string]struct {
		mutate func(eventlog.Log) eventlog.Log
		lossy  bool
	}{
		"without the expectation":     {func(l eventlog.Log) eventlog.Log { return unfenced{l} }, false},
		"with a split cause":          {func(l eventlog.Log) eventlog.Log { return split{l} }, false},
		"a timeout taken as stored":   {func(l eventlog.Log) eventlog.Log { return hopeful{l} }, false},
		"no compare at a new reading": {func(l eventlog.Log) eventlog.Log { return trusting{l} }, true},
		"a lost place not heeded":     {func(l eventlog.Log) eventlog.Log { return heedless{l} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			first := firstSeed(t)
			for i := range uint64(*schedules) {
				seed := first + i
				w := newWorld(seed, 2+int(seed%2), tt.mutate)
				w.lossy = tt.lossy
				if err := w.run(400); err != nil {
					t.Logf("caught at seed %d after %d schedules: %v", seed, i+1, err)
					return
				}
			}
			t.Fatalf("not caught in %d schedules from seed %d", *schedules, first)
		})
	}
}

// unfenced appends without the expected last sequence of the family.
type unfenced struct{ eventlog.Log }

func (l unfenced) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	b.Fences = nil
	return l.Log.Append(ctx, b)
}

// split appends the facts of one cause in two batches, and resumes after a cause, not after a fact of it.
type split struct{ eventlog.Log }

func (l split) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	if len(b.Records) < 2 {
		return l.Log.Append(ctx, b)
	}
	first := eventlog.Batch{Records: b.Records[:1], Fences: b.Fences}
	seq, err := l.Log.Append(ctx, first)
	if err != nil {
		return 0, err
	}
	return l.Log.Append(ctx, eventlog.Batch{Records: b.Records[1:], Fences: map[fact.Family]fact.Seq{fact.Goal: seq}})
}

func (l split) LastOf(ctx context.Context, f fact.Family) (eventlog.Message, bool, error) {
	m, ok, err := l.Log.LastOf(ctx, f)
	if err != nil || !ok {
		return m, ok, err
	}
	e, err := m.Decode()
	if err != nil {
		return m, ok, err
	}
	e.Derivation.Index = e.Derivation.Count - 1
	m.Payload, err = eventlog.Encode(e.Record)
	return m, ok, err
}

// trusting does not compare what it goes on behind with the log.
type trusting struct{ eventlog.Log }

func (l trusting) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	m, found, err := l.At(ctx, after.Seq)
	if err != nil {
		return nil, err
	}
	if found {
		after.Hash = m.Hash()
	} else if after.Seq > 0 { // it waits for the log to be longer
		if _, _, err := l.LastOf(ctx, fact.Goal); err != nil { // and lets others go on meanwhile
			return nil, err
		}
		return nil, eventlog.ErrUnreachable
	}
	return l.Log.Read(ctx, after)
}

// heedless appends what follows from facts that were read before the reader lost its place.
type heedless struct{ eventlog.Log }

func (l heedless) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	r, err := l.Log.Read(ctx, after)
	return heedlessReader{r}, err
}

type heedlessReader struct{ eventlog.Reader }

func (heedlessReader) Err() error { return nil }

// hopeful takes an append without an answer as stored.
type hopeful struct{ eventlog.Log }

func (l hopeful) Append(ctx context.Context, b eventlog.Batch) (fact.Seq, error) {
	seq, err := l.Log.Append(ctx, b)
	if errors.Is(err, eventlog.ErrUnanswered) {
		m, _, err := l.LastOf(ctx, fact.Goal)
		return m.Seq, err
	}
	return seq, err
}
