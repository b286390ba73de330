package notary_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

const games = "tokyo2020"

// world is a log and what a notary of it keeps.
type world struct {
	t      *testing.T
	log    *eventlog.Memory
	now    fact.UnixMilli
	config notary.Config
	public string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: 1_600_000_000_000, public: public}
	w.log = w.newLog()
	w.config = notary.Config{
		Games: games, Log: w.log, Logger: slog.New(slog.DiscardHandler), Tree: kept(view.NewMemory()), Signed: view.NewMemory(),
		Keys: &notary.MemoryList{}, Key: private, Every: 10,
	}
	return w
}

// kept opens a tree that is open already.
func kept(s view.Store) func() (view.Store, error) {
	return func() (view.Store, error) { return s, nil }
}

func (w *world) newLog() *eventlog.Memory {
	log := eventlog.NewMemory(func() fact.UnixMilli { return w.now }, eventlog.Faults{})
	w.appendTo(log, fact.RulesAdopted{Rules: rules.Tokyo2020()})
	return log
}

func (w *world) appendTo(log eventlog.Log, facts ...fact.Fact) {
	w.t.Helper()
	var records []fact.Record
	for _, f := range facts {
		records = append(records, fact.Record{Fact: f})
	}
	if _, err := log.Append(w.t.Context(), eventlog.Batch{Records: records}); err != nil {
		w.t.Fatal(err)
	}
}

// tick appends n facts to the log, and moves the clock so that no two are alike.
func (w *world) tick(n int) {
	for range n {
		w.now += 1000
		w.appendTo(w.log, fact.TimePassed{Time: w.now})
	}
}

// run runs a notary until the end of the test or the returned function, which returns how it ended.
func (w *world) run(n *notary.Notary) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	w.t.Cleanup(cancel)
	return func() error { cancel(); return <-ended }
}

func (w *world) open() *notary.Notary {
	w.t.Helper()
	n, err := notary.Open(w.t.Context(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// follow opens a notary, lets it come up with the log, and stops it.
func (w *world) follow() *notary.Notary {
	w.t.Helper()
	n := w.open()
	stop := w.run(n)
	w.wait(n)
	if err := stop(); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// wait waits until the notary has come up with the log and signed what is due.
func (w *world) wait(n *notary.Notary) {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	if err == nil {
		err = n.Wait(w.t.Context(), head.Last)
	}
	if err == nil {
		err = n.AwaitSigned(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) known() note.Verifiers {
	w.t.Helper()
	v, err := merkle.NewVerifier(w.public, games)
	if err != nil {
		w.t.Fatal(err)
	}
	return note.VerifierList(v)
}

// root returns the root of the first size facts of the log, by another way than the notary's.
func (w *world) root(size fact.Seq) merkle.Hash {
	w.t.Helper()
	var e merkle.Edge
	for seq := fact.Seq(1); seq <= size; seq++ {
		m, ok, err := w.log.At(w.t.Context(), seq)
		if err != nil || !ok {
			w.t.Fatalf("sequence %d: %t, %v", seq, ok, err)
		}
		leaf, err := merkle.Leaf(m)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Add(leaf)
	}
	return e.Root()
}

// wantSigned checks that the note is signed and says what the log has.
func (w *world) wantSigned(text string, size fact.Seq) {
	w.t.Helper()
	c, err := merkle.OpenCheckpoint(text, games, w.known())
	if want := (merkle.Checkpoint{Games: games, Size: size, Root: w.root(size)}); err != nil || c != want {
		w.t.Errorf("got %+v, %v, want %+v", c, err, want)
	}
}

func (w *world) wantUnasked(n *notary.Notary, sizes ...fact.Seq) {
	w.t.Helper()
	list, err := n.Unasked(0, 1000)
	if err != nil || len(list) != len(sizes) {
		w.t.Fatalf("%d checkpoints, %v, want %v", len(list), err, sizes)
	}
	for i, s := range list {
		if s.Size != sizes[i] {
			w.t.Errorf("checkpoint %d is of %d facts, want %d", i, s.Size, sizes[i])
		}
		w.wantSigned(s.Note, sizes[i])
	}
}

func (w *world) wantMisfit(err error) {
	w.t.Helper()
	if _, misfit := errors.AsType[*fold.MisfitError](err); !misfit {
		w.t.Errorf("got %v, want a misfit", err)
	}
}

func TestCheckpoints(t *testing.T) {
	w := newWorld(t)
	w.tick(34) // 35 facts
	n := w.open()
	stop := w.run(n)
	w.wait(n)
	w.wantUnasked(n, 10, 20, 30)
	for _, size := range []fact.Seq{35, 1, 10, 34, 35} {
		text, err := n.Checkpoint(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		w.wantSigned(text, size)
	}
	for _, size := range []fact.Seq{0, 36, 1 << 63} {
		if text, err := n.Checkpoint(t.Context(), size); !paused(err) { // it may be rebuilt since the size was looked at
			t.Errorf("a checkpoint of %d facts: got %q, %v", size, text, err)
		}
	}
	w.tick(6)
	w.wait(n)
	w.wantUnasked(n, 10, 20, 30, 40)
	if list, err := n.Unasked(10, 2); err != nil || len(list) != 2 || list[0].Size != 20 || list[1].Size != 30 {
		t.Errorf("two behind 10: got %+v, %v", list, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}

	// A start goes on where the last one ended, at another pace.
	w.config.Every = 7
	w.tick(20) // 61
	w.wantUnasked(w.follow(), 10, 20, 30, 40, 42, 49, 56)
}

// TestRebuilt deletes the tree: what was signed is neither lost nor signed a second time.
func TestRebuilt(t *testing.T) {
	w := newWorld(t)
	w.tick(34)
	w.follow()
	w.config.Tree = kept(view.NewMemory())
	n := w.open()
	if n.Size() != 0 {
		t.Fatalf("an empty tree of %d facts", n.Size())
	}
	w.wantUnasked(n, 10, 20, 30)
	w.tick(10)
	n = w.follow()
	w.wantUnasked(n, 10, 20, 30, 40)
}

// TestMisfits gives a notary a log that is not the one of which it signed.
func TestMisfits(t *testing.T) {
	rewritten := func(w *world) *eventlog.Memory {
		log := w.newLog()
		w.appendTo(log, fact.TimePassed{Time: 1})
		for i := range 33 {
			w.appendTo(log, fact.TimePassed{Time: fact.UnixMilli(1_700_000_000_000 + i)})
		}
		return log
	}
	for name, tt := range map[string]struct {
		change func(w *world)
	}{
		"shorter than what was signed": {func(w *world) { w.log.Truncate(29) }},
		"shorter, and the tree is gone": {func(w *world) {
			w.log.Truncate(29)
			w.config.Tree = kept(view.NewMemory())
		}},
		"shorter than the tree": {func(w *world) { w.log.Truncate(34) }},
		"another last fact":     {func(w *world) { w.config.Log = rewritten(w) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tick(34)
			w.follow()
			tt.change(w)
			n, err := notary.Open(t.Context(), w.config)
			if err == nil {
				err = n.Run(t.Context())
			}
			w.wantMisfit(err)
		})
	}
	t.Run("rewritten, and the tree is gone", func(t *testing.T) {
		w := newWorld(t)
		w.tick(34)
		w.follow()
		w.config.Log, w.config.Tree = rewritten(w), kept(view.NewMemory())
		n := w.open()
		w.wantMisfit(n.Run(t.Context()))
		list, err := n.Unasked(0, 100)
		if err != nil || len(list) != 3 {
			t.Errorf("%d checkpoints, %v, want the three of before", len(list), err)
		}
		if n.Size() >= 30 {
			t.Errorf("a tree of %d facts is shown, which is not the one that was signed for", n.Size())
		}
	})
	t.Run("another key", func(t *testing.T) {
		w := newWorld(t)
		w.tick(34)
		w.follow()
		w.config.Key, _, _ = merkle.GenerateKey(games)
		if _, err := notary.Open(t.Context(), w.config); err == nil {
			t.Error("a notary opened what another key has signed")
		}
	})
	t.Run("a key of other Games", func(t *testing.T) {
		w := newWorld(t)
		w.config.Key, _, _ = merkle.GenerateKey("paris2024")
		if _, err := notary.Open(t.Context(), w.config); err == nil {
			t.Error("a notary signs for other Games")
		}
	})
}

// torn is a Store whose Updates fail while they are to, stored or not.
type torn struct {
	view.Store
	fail  atomic.Bool
	store bool
}

var errTorn = errors.New("torn")

func (s *torn) Update(f func(kv.Tx) error) error {
	if !s.fail.Load() {
		return s.Store.Update(f)
	}
	if s.store {
		if err := s.Store.Update(f); err != nil {
			return err
		}
	}
	return errTorn
}

// TestTreeFails lets the writing of the tree fail, as on a full disk: once stored and once not. Who waits is told, and the
// tree goes on where it is once the disk has room.
func TestTreeFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %t", stored), func(t *testing.T) {
			w := newWorld(t)
			w.tick(14)
			tree := &torn{Store: view.NewMemory(), store: stored}
			w.config.Tree = kept(tree)
			n := w.open()
			stop := w.run(n)
			w.wait(n)
			tree.fail.Store(true)
			w.tick(10)
			if err := n.Wait(t.Context(), 25); !paused(err) || !strings.Contains(err.Error(), errTorn.Error()) {
				t.Errorf("waiting for a tree that cannot grow: got %v", err)
			}
			if n.Size() != 15 {
				t.Errorf("a tree of %d facts is shown, want 15", n.Size())
			}
			if r := strings.Join(n.Reasons(), "; "); !strings.Contains(r, errTorn.Error()) || !n.Numbers().Paused {
				t.Errorf("got the reasons %q, want the one of the tree", r)
			}
			if _, err := n.Checkpoint(t.Context(), 15); err != nil {
				t.Errorf("a checkpoint of what the tree holds: %v", err)
			}
			tree.fail.Store(false)
			for n.Size() < 25 {
				<-time.After(time.Millisecond)
			}
			w.wantUnasked(n, 10, 20)
			if r := n.Reasons(); len(r) > 0 {
				t.Errorf("got the reasons %q", r)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTreeOpens lets the opening of the tree fail, as of a new one on a full disk, until there is room.
func TestTreeOpens(t *testing.T) {
	w := newWorld(t)
	w.tick(14)
	var fail atomic.Bool
	fail.Store(true)
	tree := w.config.Tree
	w.config.Tree = func() (view.Store, error) {
		if fail.Load() {
			return nil, errTorn
		}
		return tree()
	}
	n := w.open()
	stop := w.run(n)
	for !n.Numbers().Paused {
		<-time.After(time.Millisecond)
	}
	if err := n.Wait(t.Context(), 1); !paused(err) {
		t.Errorf("waiting for a tree that cannot be opened: got %v", err)
	}
	if err := n.View(func(kv.Reader) error { return nil }); !paused(err) {
		t.Errorf("looking at a tree that cannot be opened: got %v", err)
	}
	fail.Store(false)
	for n.Size() < 15 {
		<-time.After(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func paused(err error) bool {
	_, yes := errors.AsType[*notary.PausedError](err)
	return yes
}

// TestSignedFails lets the keeping of what is signed fail, as on a full disk: once stored and once not. Nothing is signed
// that is not kept, the tree grows on, and what was due is signed once there is room.
func TestSignedFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %t", stored), func(t *testing.T) {
			w := newWorld(t)
			w.tick(14)
			signed := &torn{Store: w.config.Signed, store: stored}
			w.config.Signed = signed
			n := w.open()
			stop := w.run(n)
			w.wait(n)
			signed.fail.Store(true)
			w.tick(10)
			if err := n.Wait(t.Context(), 25); err != nil {
				t.Fatal(err)
			}
			if text, err := n.Checkpoint(t.Context(), 25); !paused(err) || text != "" {
				t.Errorf("got %q, %v: a checkpoint that is not kept was shown", text, err)
			}
			if r := strings.Join(n.Reasons(), "; "); !strings.Contains(r, errTorn.Error()) || n.Numbers().Signs {
				t.Errorf("got the reasons %q, want that nothing is signed", r)
			}
			signed.fail.Store(false)
			w.tick(1)
			w.wait(n)
			w.wantUnasked(n, 10, 20)
			text, err := n.Checkpoint(t.Context(), 26)
			if err != nil {
				t.Fatal(err)
			}
			w.wantSigned(text, 26)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTailLost: a notary that runs ends with a MisfitError when the log comes back from an older copy and others write,
// and signs nothing of that log.
func TestTailLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Every = 1000
	var n *notary.Notary
	err := logtest.LoseTail(t, func(log *eventlog.JetStream) logtest.Follower {
		w.config.Log = log
		n = w.open()
		return logtest.Follower{Run: n.Run, Reached: n.Wait}
	})
	misfit, ok := errors.AsType[*fold.MisfitError](err)
	if !ok || misfit.Core != "notary" || !strings.Contains(err.Error(), "holds the fact") {
		t.Errorf("got %v, want a MisfitError of the notary", err)
	}
	if n.Size() != 120 {
		t.Errorf("a tree of %d facts is shown, want the 120 of before", n.Size())
	}
}

// slow is a log of which a reading gets no more than so many facts at a time, as one of a server does.
type slow struct {
	eventlog.Log
	most int
}

func (l slow) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	r, err := l.Log.Read(ctx, after)
	return slowReader{r, l.most}, err
}

type slowReader struct {
	eventlog.Reader
	most int
}

func (r slowReader) Next(ctx context.Context, most int) ([]eventlog.Message, error) {
	return r.Reader.Next(ctx, min(most, r.most))
}

func repeated(f fact.Fact, n int) []fact.Fact {
	list := make([]fact.Fact, n)
	for i := range list {
		list[i] = f
	}
	return list
}

// TestPace: behind a backlog the notary does not rest, however few facts a reading gives it. At the end of the log it
// gathers what comes within a second.
func TestPace(t *testing.T) {
	const facts, second = 20_000, 1000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range facts / eventlog.MaxBatch {
			w.appendTo(w.log, repeated(fact.TimePassed{Time: w.now}, eventlog.MaxBatch)...)
		}
		w.config.Log = slow{w.log, 100}
		n := w.open()
		begin := time.Now()
		stop := w.run(n)
		for n.At() < facts {
			<-time.After(time.Millisecond)
		}
		if took := time.Since(begin).Milliseconds(); took > second+1 {
			t.Errorf("%d facts took %d ms, want no rest before the last of them", facts, took)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutage lets the log fail and come back.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	w.tick(14)
	failures := 3
	log := eventlog.NewMemory(func() fact.UnixMilli { return w.now }, eventlog.Faults{Enter: func(call string) error {
		if call == "Read" && failures > 0 {
			failures--
			return eventlog.ErrUnreachable
		}
		return nil
	}})
	w.appendTo(log, fact.RulesAdopted{Rules: rules.Tokyo2020()})
	w.config.Log, w.log = log, log
	w.tick(20)
	w.wantUnasked(w.follow(), 10, 20)
	if failures > 0 {
		t.Errorf("%d failures are left", failures)
	}
}

func TestKeyFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "keys")
	if key, err := notary.ReadKey(folder, games); err != nil || key != "" {
		t.Fatalf("got %q, %v from a folder that is not there", key, err)
	}
	first, err := notary.MakeKey(folder, games)
	if err != nil {
		t.Fatal(err)
	}
	again, err := notary.ReadKey(folder, games)
	if err != nil {
		t.Fatal(err)
	}
	_, one, _ := merkle.NewSigner(first, games)
	_, two, _ := merkle.NewSigner(again, games)
	if one == "" || one != two {
		t.Errorf("the keys differ: %q and %q", one, two)
	}
	if key, err := notary.MakeKey(folder, games); err == nil {
		t.Errorf("got %q, a key in the place of another", key)
	}
	other, public, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "checkpoint.key"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := notary.ReadKey(folder, games); err != nil {
		t.Fatal(err)
	}
	if published, err := os.ReadFile(filepath.Join(folder, "checkpoint.pub")); err != nil || string(published) != public+"\n" {
		t.Errorf("got error %v and the public key %q, want that of the key that was put there, %q", err, published, public)
	}
	if _, err := notary.ReadKey(folder, "paris2024"); err == nil {
		t.Error("a key was taken for other Games")
	}
}

// TestLostPlace: of facts that wait to be entered while the reader loses its place, as one whose server comes back without
// them does, nothing is signed: the notary goes on with what the log then holds.
func TestLostPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.tick(14) // 15
		n := w.open()
		stop := w.run(n)
		minutes(0)
		w.tick(20)
		synctest.Wait()
		w.log.Truncate(15)
		minutes(0)
		w.now += 500
		w.tick(10) // 25, others
		minutes(0)
		w.wantUnasked(n, 10, 20)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
