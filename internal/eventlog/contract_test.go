package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// TestLog runs the contract of Log on both of its implementations.
func TestLog(t *testing.T) {
	contract := []struct {
		name string
		test func(t *testing.T, log eventlog.Log)
	}{
		{"Empty", testEmpty},
		{"Order", testOrder},
		{"NoisyWriters", testNoisyWriters},
		{"Fences", testFences},
		{"FencesOfTwoFamilies", testFencesOfTwoFamilies},
		{"GenesisRace", testGenesisRace},
		{"BatchSizes", testBatchSizes},
		{"RefusedBatches", testRefusedBatches},
		{"LastOf", testLastOf},
		{"At", testAt},
		{"ReadFromTheMiddle", testReadFromTheMiddle},
		{"ReadGoesOn", testReadGoesOn},
		{"Rewritten", testRewritten},
		{"End", testEnd},
		{"NextAtMost", testNextAtMost},
		{"NextIsCancelled", testNextIsCancelled},
		{"CloseWhileNextWaits", testCloseWhileNextWaits},
	}
	t.Run("Memory", func(t *testing.T) {
		for _, c := range contract {
			t.Run(c.name, func(t *testing.T) { c.test(t, eventlog.NewMemory(now, eventlog.Faults{})) })
		}
	})
	t.Run("JetStream", func(t *testing.T) {
		_, nc := startEmbedded(t, t.TempDir())
		for i, c := range contract {
			t.Run(c.name, func(t *testing.T) {
				log := create(t, nc, fmt.Sprintf("contract-%d", i))
				eventlog.ConfirmShorterAfter(log, 10*time.Millisecond)
				c.test(t, log)
			})
		}
	})
	t.Run("JetStream by TCP", func(t *testing.T) {
		server, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
		nc, err := nats.Connect(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		testOrder(t, create(t, nc, "tcp"))
	})
}

func now() fact.UnixMilli { return fact.UnixMilli(time.Now().UnixMilli()) }

// patience is a context for what must happen soon, so that a test that fails does not hang.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startEmbedded starts a server for the length of the test, and connects to it.
func startEmbedded(t testing.TB, dir string) (*eventlog.Embedded, *nats.Conn) {
	t.Helper()
	server, err := eventlog.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server, connect(t, server)
}

func connect(t testing.TB, server *eventlog.Embedded) *nats.Conn {
	t.Helper()
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func create(t testing.TB, nc *nats.Conn, games string) *eventlog.JetStream {
	t.Helper()
	log, err := eventlog.Create(t.Context(), nc, games, 1)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// times returns n facts of the time family that can be told apart from all others.
func times(first, n int) []fact.Record {
	records := make([]fact.Record, n)
	for i := range records {
		records[i] = fact.Record{Fact: fact.TimePassed{Time: fact.UnixMilli(first + i)}}
	}
	return records
}

// goals returns n facts of the goal family.
func goals(first, n int) []fact.Record {
	records := make([]fact.Record, n)
	for i := range records {
		records[i] = fact.Record{Fact: fact.StepGoalReached{Day: fact.Day(first + i)}, Derivation: fact.Derivation{
			Cause: 1, Index: uint32(i), Count: uint32(n),
		}}
	}
	return records
}

// medals returns n facts of the award family.
func medals(first, n int) []fact.Record {
	records := make([]fact.Record, n)
	for i := range records {
		records[i] = fact.Record{
			Fact:       fact.MedalAwarded{Medal: fact.Gold, Friends: uint32(first + i)},
			Derivation: fact.Derivation{Cause: 1, Index: uint32(i), Count: uint32(n)},
		}
	}
	return records
}

func mustAppend(t *testing.T, log eventlog.Log, records ...fact.Record) fact.Seq {
	t.Helper()
	seq, err := log.Append(t.Context(), eventlog.Batch{Records: records})
	if err != nil {
		t.Fatalf("append %d records: %v", len(records), err)
	}
	return seq
}

func wantHead(t *testing.T, log eventlog.Log, last fact.Seq) {
	t.Helper()
	got, err := log.Head(t.Context())
	if want := (eventlog.Head{Epoch: 1, Last: last}); err != nil || got != want {
		t.Errorf("head: got %+v, %v, want %+v", got, err, want)
	}
}

func reader(t *testing.T, log eventlog.Log, from fact.Seq) eventlog.Reader {
	t.Helper()
	r, err := log.Read(t.Context(), positionBefore(t, log, from))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// positionBefore returns the position behind which the fact at the sequence stands, or will.
func positionBefore(t *testing.T, log eventlog.Log, seq fact.Seq) eventlog.Position {
	t.Helper()
	if seq <= 1 {
		return eventlog.Position{}
	}
	m, found, err := log.At(t.Context(), seq-1)
	if err != nil || !found {
		t.Fatalf("sequence %d: got %v, %v, want it", seq-1, found, err)
	}
	return m.Position(1)
}

// readN returns the next n messages, which must have the sequences from first on.
func readN(t *testing.T, r eventlog.Reader, first fact.Seq, n int) []eventlog.Message {
	t.Helper()
	ctx := patience(t)
	var all []eventlog.Message
	for len(all) < n {
		msgs, err := r.Next(ctx, n-len(all))
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(all), n, err)
		}
		if len(msgs) == 0 || len(msgs) > n-len(all) {
			t.Fatalf("got %d messages at once, want 1 to %d", len(msgs), n-len(all))
		}
		all = append(all, msgs...)
	}
	for i, m := range all {
		if want := first + fact.Seq(i); m.Seq != want {
			t.Fatalf("message %d: got sequence %d, want %d", i, m.Seq, want)
		}
	}
	return all
}

// wantRecords checks that the messages hold the records.
func wantRecords(t *testing.T, msgs []eventlog.Message, want []fact.Record) {
	t.Helper()
	for i, m := range msgs {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(e.Record, want[i]) || m.Family != want[i].Fact.Family() {
			t.Errorf("sequence %d: got %+v of %s, want %+v", m.Seq, e.Record, m.Family, want[i])
		}
	}
}

func testEmpty(t *testing.T, log eventlog.Log) {
	wantHead(t, log, 0)
	for _, f := range fact.Families() {
		if m, ok, err := log.LastOf(t.Context(), f); ok || err != nil {
			t.Errorf("last of %s: got %+v, %v, %v, want none", f, m, ok, err)
		}
	}
}

func testOrder(t *testing.T, log eventlog.Log) {
	before := now()
	var all []fact.Record
	for _, row := range readGolden(t).Facts { // every kind of fact, in batches of 1, 2, 3, ...
		r, err := eventlog.Decode(fact.Family(row.Family), row.payload(t))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	for first, n := 0, 1; first < len(all); n++ {
		batch := all[first:min(first+n, len(all))]
		first += len(batch)
		if got, want := mustAppend(t, log, batch...), fact.Seq(first); got != want {
			t.Fatalf("append: got sequence %d, want %d", got, want)
		}
	}
	wantHead(t, log, fact.Seq(len(all)))
	msgs := readN(t, reader(t, log, 1), 1, len(all))
	wantRecords(t, msgs, all)
	for i, m := range msgs {
		if m.Stored < before || m.Stored > now() || i > 0 && m.Stored < msgs[i-1].Stored {
			t.Errorf("sequence %d: got stored at %v, want the present and no earlier than the one before", m.Seq, m.Stored)
		}
	}
	// 0 is taken for the beginning.
	wantRecords(t, readN(t, reader(t, log, 0), 1, 3), all)
}

// testNoisyWriters checks that the facts of a batch have consecutive sequences whoever else writes.
func testNoisyWriters(t *testing.T, log eventlog.Log) {
	const batches = 12
	type stored struct {
		last    fact.Seq
		records []fact.Record
	}
	// All write at once, each in its own manner; the last is fenced and has its family to itself.
	writers := []func(i int) []fact.Record{
		func(i int) []fact.Record { return times(i*100, 1) },
		func(i int) []fact.Record { return times(-i*100-50, 1+i%7) },
		func(i int) []fact.Record { return goals(i*1000, 200) },
		func(i int) []fact.Record { return append(goals(-i*1000-500, 30), times(1_000_000+i*100, 30)...) },
		func(i int) []fact.Record { return medals(i*1000, 100) },
	}
	answers := make(chan stored, batches*len(writers))
	var wg sync.WaitGroup
	for _, records := range writers {
		wg.Go(func() {
			var last fact.Seq
			for i := range batches {
				b := eventlog.Batch{Records: records(i)}
				if family := b.Records[0].Fact.Family(); family == fact.Award {
					b.Fences = map[fact.Family]fact.Seq{family: last}
				}
				seq, err := log.Append(t.Context(), b)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				last = seq
				answers <- stored{seq, b.Records}
			}
		})
	}
	wg.Wait()
	close(answers)
	var total int
	var all []stored
	for s := range answers {
		total += len(s.records)
		all = append(all, s)
	}
	wantHead(t, log, fact.Seq(total))
	msgs := readN(t, reader(t, log, 1), 1, total)
	for _, s := range all {
		wantRecords(t, msgs[int(s.last)-len(s.records):s.last], s.records)
	}
}

func testFences(t *testing.T, log eventlog.Log) {
	fenced := func(at fact.Seq, records ...fact.Record) (fact.Seq, error) {
		return log.Append(t.Context(), eventlog.Batch{Records: records, Fences: map[fact.Family]fact.Seq{fact.Clock: at}})
	}
	if seq, err := fenced(0, times(1, 2)...); err != nil || seq != 2 {
		t.Fatalf("fenced at 0 in an empty family: got %d, %v, want 2", seq, err)
	}
	mustAppend(t, log, goals(1, 3)...) // another family does not move the fence
	if seq, err := fenced(2, append(goals(4, 1), times(3, 2)...)...); err != nil || seq != 8 {
		t.Fatalf("fenced at the last of the family: got %d, %v, want 8", seq, err)
	}
	for _, stale := range []fact.Seq{0, 1, 2, 5, 7, 9, 1000} {
		if seq, err := fenced(stale, times(100, 3)...); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("fenced at %d, not 8: got %d, %v, want ErrConflict", stale, seq, err)
		}
		// The fence holds for the batch as a whole, also where its family does not come first.
		if seq, err := fenced(stale, append(goals(10, 2), times(100, 1)...)...); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("fenced at %d, not 8: got %d, %v, want ErrConflict", stale, seq, err)
		}
	}
	wantHead(t, log, 8)
	if seq, err := fenced(8, times(5, 1)...); err != nil || seq != 9 {
		t.Errorf("after all conflicts: got %d, %v, want 9: nothing of them stored", seq, err)
	}
}

func testFencesOfTwoFamilies(t *testing.T, log eventlog.Log) {
	fenced := func(clock, goal fact.Seq) (fact.Seq, error) {
		return log.Append(t.Context(), eventlog.Batch{
			Records: append(times(1, 2), goals(1, 2)...),
			Fences:  map[fact.Family]fact.Seq{fact.Clock: clock, fact.Goal: goal},
		})
	}
	if seq, err := fenced(0, 0); err != nil || seq != 4 {
		t.Fatalf("got %d, %v, want 4", seq, err)
	}
	for _, stale := range [][2]fact.Seq{{0, 0}, {2, 0}, {0, 4}, {2, 3}, {1, 4}, {4, 2}} {
		if seq, err := fenced(stale[0], stale[1]); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("fenced at %v: got %d, %v, want ErrConflict", stale, seq, err)
		}
	}
	wantHead(t, log, 4)
	if seq, err := fenced(2, 4); err != nil || seq != 8 {
		t.Errorf("got %d, %v, want 8", seq, err)
	}
}

// testGenesisRace lets several gateways begin the log at once: docs/design.md section 6.
func testGenesisRace(t *testing.T, log eventlog.Log) {
	const gateways = 8
	genesis := func(i int) []fact.Record {
		r := vancouver2030()
		r.Name = fmt.Sprintf("Games of gateway %d", i)
		return []fact.Record{{Fact: fact.RulesAdopted{Rules: r}}, {Fact: fact.TimePassed{Time: fact.UnixMilli(i)}}}
	}
	winners := make(chan int, gateways)
	var wg sync.WaitGroup
	for i := range gateways {
		wg.Go(func() {
			seq, err := log.Append(t.Context(), eventlog.Batch{
				Records: genesis(i),
				Fences:  map[fact.Family]fact.Seq{fact.Roster: 0, fact.Clock: 0},
			})
			switch {
			case err == nil && seq == 2:
				winners <- i
			case !errors.Is(err, eventlog.ErrConflict):
				t.Errorf("gateway %d: got %d, %v, want 2 or ErrConflict", i, seq, err)
			}
		})
	}
	wg.Wait()
	if len(winners) != 1 {
		t.Fatalf("got %d winners, want 1", len(winners))
	}
	wantHead(t, log, 2)
	wantRecords(t, readN(t, reader(t, log, 1), 1, 2), genesis(<-winners))
}

func testBatchSizes(t *testing.T, log eventlog.Log) {
	if got := mustAppend(t, log, goals(0, eventlog.MaxBatch)...); got != eventlog.MaxBatch {
		t.Errorf("got sequence %d, want %d", got, eventlog.MaxBatch)
	}
	wantRecords(t, readN(t, reader(t, log, 1), 1, eventlog.MaxBatch), goals(0, eventlog.MaxBatch))
}

// testRefusedBatches checks that what cannot be a batch is refused as such, with none of the errors that say something
// about the log, and before anything is sent.
func testRefusedBatches(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, times(1, 1)...)
	for _, tt := range []struct {
		name  string
		batch eventlog.Batch
	}{
		{"none", eventlog.Batch{}},
		{"1001", eventlog.Batch{Records: times(0, eventlog.MaxBatch+1)}},
		{"fence without a fact", eventlog.Batch{Records: times(0, 1), Fences: map[fact.Family]fact.Seq{fact.Clock: 1, fact.Tap: 0}}},
		{"what no reader understands", eventlog.Batch{Records: append(times(2, 1), fact.Record{Fact: fact.PinRetired{}})}},
	} {
		sent := sentBy(log)
		seq, err := log.Append(t.Context(), tt.batch)
		if err == nil {
			t.Errorf("%s: got %d, want an error", tt.name, seq)
		}
		for _, other := range []error{eventlog.ErrConflict, eventlog.ErrFull, eventlog.ErrNotStored, eventlog.ErrUnanswered, eventlog.ErrReplaced} {
			if errors.Is(err, other) {
				t.Errorf("%s: got %v, want none that a writer would try again", tt.name, err)
			}
		}
		if got := sentBy(log); got != sent {
			t.Errorf("%s: got %d messages sent, want none", tt.name, got-sent)
		}
	}
	wantHead(t, log, 1)
}

// sentBy returns how many messages the connection of the log has sent; a log in memory has none.
func sentBy(log eventlog.Log) uint64 {
	if js, ok := log.(*eventlog.JetStream); ok {
		return eventlog.ConnOf(js).Stats().OutMsgs
	}
	return 0
}

func testLastOf(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, append(times(1, 2), goals(1, 3)...)...)
	mustAppend(t, log, times(3, 1)...)
	for _, tt := range []struct {
		family fact.Family
		seq    fact.Seq
		want   fact.Record
	}{{fact.Clock, 6, times(3, 1)[0]}, {fact.Goal, 5, goals(1, 3)[2]}} {
		m, ok, err := log.LastOf(t.Context(), tt.family)
		if err != nil || !ok || m.Seq != tt.seq {
			t.Fatalf("last of %s: got %+v, %v, %v, want sequence %d", tt.family, m, ok, err, tt.seq)
		}
		wantRecords(t, []eventlog.Message{m}, []fact.Record{tt.want})
		if read := readN(t, reader(t, log, tt.seq), tt.seq, 1)[0]; !reflect.DeepEqual(read, m) || read.Hash() != m.Hash() {
			t.Errorf("last of %s: got %+v, want what a reader sees, %+v", tt.family, m, read)
		}
	}
	if m, ok, err := log.LastOf(t.Context(), fact.Tap); ok || err != nil {
		t.Errorf("last of tap: got %+v, %v, %v, want none", m, ok, err)
	}
}

func testAt(t *testing.T, log eventlog.Log) {
	all := append(times(1, 2), goals(1, 3)...)
	mustAppend(t, log, all...)
	for i, read := range readN(t, reader(t, log, 1), 1, len(all)) {
		m, ok, err := log.At(t.Context(), fact.Seq(i+1))
		if err != nil || !ok || !reflect.DeepEqual(read, m) {
			t.Errorf("sequence %d: got %+v, %v, %v, want what a reader sees, %+v", i+1, m, ok, err, read)
		}
	}
	for _, seq := range []fact.Seq{0, fact.Seq(len(all)) + 1, 1 << 40} {
		if m, ok, err := log.At(t.Context(), seq); ok || err != nil {
			t.Errorf("sequence %d: got %+v, %v, %v, want none", seq, m, ok, err)
		}
	}
}

func testReadFromTheMiddle(t *testing.T, log eventlog.Log) {
	all := times(1, 20)
	mustAppend(t, log, all...)
	for _, from := range []fact.Seq{2, 10, 20} {
		wantRecords(t, readN(t, reader(t, log, from), from, 21-int(from)), all[from-1:])
	}
}

// result is what a Next in another goroutine returned.
type result struct {
	msgs []eventlog.Message
	err  error
}

func nextInBackground(ctx context.Context, r eventlog.Reader) <-chan result {
	c := make(chan result, 1)
	go func() {
		msgs, err := r.Next(ctx, 10)
		c <- result{msgs, err}
	}()
	return c
}

// testReadGoesOn reads behind the end, what comes there later.
func testReadGoesOn(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, times(1, 2)...)
	next := nextInBackground(patience(t), reader(t, log, 3))
	mustAppend(t, log, times(3, 1)...)
	got := <-next
	if got.err != nil || len(got.msgs) != 1 || got.msgs[0].Seq != 3 {
		t.Fatalf("got %+v, want sequence 3 alone", got)
	}
	wantRecords(t, got.msgs, times(3, 1))
}

// testRewritten reads behind positions that the log does not have.
func testRewritten(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, times(1, 5)...)
	other := eventlog.Message{Seq: 3, Payload: []byte("another fact")}
	for _, tt := range []struct {
		name  string
		after eventlog.Position
		want  string
	}{
		{"another fact", other.Position(1), "sequence 3 holds the fact"},
		{"another fact, epoch not known", other.Position(0), "sequence 3 holds the fact"},
		{"the hash of another place", eventlog.Position{Epoch: 1, Seq: 4, Hash: positionBefore(t, log, 4).Hash}, "sequence 4 holds the fact"},
		{"another epoch", eventlog.Position{Epoch: 2, Seq: 3, Hash: positionBefore(t, log, 4).Hash}, "epoch 2 was read, and this is epoch 1"},
		{"another epoch from the beginning", eventlog.Position{Epoch: 2}, "epoch 2 was read, and this is epoch 1"},
		{"past the end", eventlog.Position{Epoch: 1, Seq: 6, Hash: other.Hash()}, "read up to sequence 6, and ends at 5"},
		{"far past the end", eventlog.Position{Epoch: 1, Seq: 1 << 40, Hash: other.Hash()}, "and ends at 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := log.Read(patience(t), tt.after)
			rewritten, ok := errors.AsType[*eventlog.RewrittenError](err)
			if !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v, want a RewrittenError with %q", r, err, tt.want)
			}
			if rewritten.After != tt.after || !eventlog.Final(err) {
				t.Errorf("got %+v, final %v, want the position, and final", rewritten, eventlog.Final(err))
			}
		})
	}
}

func testEnd(t *testing.T, log eventlog.Log) {
	if got, err := eventlog.End(t.Context(), log); err != nil || got != (eventlog.Position{Epoch: 1}) {
		t.Errorf("of an empty log: got %+v, %v, want its beginning", got, err)
	}
	mustAppend(t, log, times(1, 5)...)
	got, err := eventlog.End(t.Context(), log)
	if want := positionBefore(t, log, 6); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func testNextAtMost(t *testing.T, log eventlog.Log) {
	all := times(1, 50)
	mustAppend(t, log, all...)
	r := reader(t, log, 1)
	for first := 0; first < 50; {
		limit := min(1+first%3, 50-first)
		msgs, err := r.Next(patience(t), limit)
		if err != nil || len(msgs) < 1 || len(msgs) > limit {
			t.Fatalf("got %d messages, %v, want 1 to %d", len(msgs), err, limit)
		}
		wantRecords(t, msgs, all[first:])
		first += len(msgs)
	}
}

// testNextIsCancelled checks that a Next whose context ends returns that, and loses nothing.
func testNextIsCancelled(t *testing.T, log eventlog.Log) {
	r := reader(t, log, 1)
	ctx, cancel := context.WithCancel(t.Context())
	next := nextInBackground(ctx, r)
	cancel()
	if got := <-next; !errors.Is(got.err, context.Canceled) {
		t.Fatalf("got %+v, want %v", got, context.Canceled)
	}
	if msgs, err := r.Next(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, %v, want %v", msgs, err, context.Canceled)
	}
	mustAppend(t, log, times(1, 3)...)
	wantRecords(t, readN(t, r, 1, 3), times(1, 3))
}

func testCloseWhileNextWaits(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, times(1, 3)...)
	had := goleak.IgnoreCurrent()
	r, err := log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	readN(t, r, 1, 3)
	next := nextInBackground(patience(t), r)
	r.Close()
	if got := <-next; got.err == nil || errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %+v, want an error that says that the reader is closed", got)
	}
	// One that nobody reads from, with more on its way than it takes in, closes as well.
	for i := range 3 {
		mustAppend(t, log, times(1000*i, eventlog.MaxBatch)...)
	}
	r, err = log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	goleak.VerifyNone(t, append(serverGoroutines(), had)...)
}

// serverGoroutines are those with which the embedded server serves a consumer. It forgets a reader's consumer some
// minutes after the reader is closed.
func serverGoroutines() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).loopAndGatherMsgs"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).processInboundNextMsgReqs"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*consumer).processInboundAcks"),
	}
}
