//go:build long

package audit_test

import (
	"bufio"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

const (
	// largePins is how many pins there are, each with a wearer of its own.
	largePins = 20_000
	// largeSpan is how long the Games of a large log go on, in milliseconds: longer than pending halves are kept.
	largeSpan = fact.UnixMilli(17 * 24 * time.Hour / time.Millisecond)
	// largeBatch is how many events a crowd makes at a time.
	largeBatch = 4096
	// clockEvery is how many events pass between two TimePassed.
	clockEvery = 500
	// largeRecent is how many of the last reports may be repeated, or come late.
	largeRecent = 2000
)

// writeLarge writes the archive of an event of at least so many facts, and returns the report that it must get, but for
// the root.
func writeLarge(t *testing.T, path string, seed, facts uint64) audit.Report {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buffered := bufio.NewWriterSize(file, 1<<20)
	archive, err := audit.NewWriter(buffered, audit.Header{Games: verifyGames, Epoch: 1, First: 1, CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l := &largeLog{
		t: t, archive: archive, cores: []fold.Core{tap.Core{}, rewards.Core{}, steps.Core{}},
		report: audit.Report{Verdict: audit.Clean, RulesAdopted: 1, Findings: []audit.Finding{}},
	}
	for range l.cores {
		store, err := view.OpenScratch(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		l.stores = append(l.stores, store)
	}
	l.play(newEvent(t, seed, facts), facts)
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := buffered.Flush(); err != nil {
		t.Fatal(err)
	}
	return l.report
}

// largeLog makes a log as the services do, right behind what is reported, and writes it.
type largeLog struct {
	t       *testing.T
	archive *audit.Writer
	cores   []fold.Core
	stores  []view.Store
	txs     []kv.Tx // of the transactions that are open
	last    fact.Seq
	report  audit.Report
}

// play takes batches of the event until there are so many facts. While one is written, the next one is signed.
func (l *largeLog) play(e *event, facts uint64) {
	batches, stop := make(chan []*told, 1), make(chan struct{})
	go func() {
		defer close(batches)
		for batch := e.beginning(); ; batch = e.batch() {
			sign(batch)
			select {
			case batches <- batch:
			case <-stop:
				return
			}
		}
	}()
	for uint64(l.last) < facts {
		l.update(0, <-batches)
	}
	close(stop)
	for range batches { // until it has ended
	}
}

// update opens the transactions of the stores from the i-th on, and takes the batch in them.
func (l *largeLog) update(i int, batch []*told) {
	if i < len(l.stores) {
		if err := l.stores[i].Update(func(tx kv.Tx) error {
			l.txs = append(l.txs, tx)
			l.update(i+1, batch)
			return nil
		}); err != nil {
			l.t.Fatal(err)
		}
		return
	}
	for _, r := range batch {
		l.add(fact.Record{Fact: r.fact}, r.at)
	}
	l.txs = l.txs[:0]
}

// add writes a fact, and all that follows from it.
func (l *largeLog) add(r fact.Record, at fact.UnixMilli) {
	l.last++
	payload, err := eventlog.Encode(r)
	if err != nil {
		l.t.Fatal(err)
	}
	e := fact.Entry{Seq: l.last, Stored: at, Record: r}
	family := r.Fact.Family()
	if err := l.archive.Write(eventlog.Message{Seq: e.Seq, Stored: at, Family: family, Payload: payload}); err != nil {
		l.t.Fatal(err)
	}
	l.count(r.Fact)
	for i, core := range l.cores {
		if !slices.Contains(core.ActsOn(), family) {
			continue
		}
		facts := core.Step(l.txs[i], e)
		for j, f := range facts {
			l.add(fact.Record{Fact: f, Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(j), Count: uint32(len(facts))}}, at)
		}
	}
}

func (l *largeLog) count(f fact.Fact) {
	l.report.Facts++
	switch f.(type) {
	case fact.HalfReported:
		l.report.Halves++
	case fact.FriendshipFormed:
		l.report.Friendships++
	case fact.MedalAwarded:
		l.report.Medals++
	case fact.BackgroundUnlocked:
		l.report.Backgrounds++
	}
}

// told is what a crowd reports: a fact that is yet to be signed.
type told struct {
	at   fact.UnixMilli
	sign func() fact.Fact // nil = the fact is there
	fact fact.Fact
}

// sign signs a batch, on all processors.
func sign(batch []*told) {
	var group errgroup.Group
	share := (len(batch) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for part := range slices.Chunk(batch, share) {
		group.Go(func() error {
			for _, r := range part {
				if r.sign != nil {
					r.fact, r.sign = r.sign(), nil
				}
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// event is a crowd whose members tap and walk: mostly both halves of a tap one after the other, some of them late, some
// never, some again; those who came first tap most.
type event struct {
	world  *verifyWorld // makes facts of what pins signed
	rand   *rand.Rand
	now    fact.UnixMilli
	step   float64 // milliseconds from one event to the next
	events int
	pins   []*client.Pin
	late   []*told // signed when they come
	recent []*told // reported, and not in the batch that is being made
}

func newEvent(t *testing.T, seed, facts uint64) *event {
	const begin = 1_600_000_000_000
	e := &event{
		world: &verifyWorld{t: t, now: begin}, rand: rand.New(rand.NewPCG(seed, 0)), now: begin,
		step: 2.5 * float64(largeSpan) / float64(facts),
	}
	for i := range largePins {
		var secret [32]byte
		binary.BigEndian.PutUint64(secret[:], seed)
		binary.BigEndian.PutUint64(secret[8:], uint64(i))
		e.pins = append(e.pins, client.RestorePin(secret, 0))
	}
	return e
}

// beginning returns the rules and the roster.
func (e *event) beginning() []*told {
	batch := []*told{{at: e.now, fact: fact.RulesAdopted{Rules: rules.Tokyo2020()}}, {at: e.now, fact: fact.TimePassed{Time: e.now}}}
	for _, p := range e.pins {
		batch = append(batch, &told{at: e.now, fact: fact.PinRegistered{Key: p.Key()}},
			&told{at: e.now, sign: func() fact.Fact { return e.world.pairing(p, verifyGames) }})
	}
	return batch
}

// batch returns what is reported next.
func (e *event) batch() []*told {
	var batch []*told
	for range largeBatch {
		e.events++
		e.now = e.world.now + fact.UnixMilli(e.step*float64(e.events))
		if e.events%clockEvery == 0 {
			batch = append(batch, &told{at: e.now, fact: fact.TimePassed{Time: e.now}})
		}
		batch = append(batch, e.happens()...)
	}
	e.recent = append(e.recent, batch...)
	e.recent = slices.Clone(e.recent[max(0, len(e.recent)-largeRecent):])
	return batch
}

// happens returns what is reported at one moment.
func (e *event) happens() []*told {
	switch p := e.rand.IntN(100); {
	case p < 10 && len(e.recent) > 0: // again
		again := e.recent[e.rand.IntN(len(e.recent))]
		return []*told{{at: e.now, sign: func() fact.Fact { return again.fact }}}
	case p < 25:
		return []*told{e.walk()}
	}
	first, second := e.tap()
	switch p := e.rand.IntN(100); {
	case p < 8: // never
		return []*told{first}
	case p < 16: // late
		e.late = append(e.late, second)
		if len(e.late) < largeRecent {
			return []*told{first}
		}
		i := e.rand.IntN(len(e.late))
		second, e.late[i] = e.late[i], second
		e.late = e.late[:len(e.late)-1]
	}
	second.at = e.now
	return []*told{first, second}
}

// anyone returns a pin, those that came first more often.
func (e *event) anyone() *client.Pin {
	x := e.rand.Float64()
	return e.pins[int(x*x*float64(len(e.pins)))]
}

func (e *event) tap() (first, second *told) {
	a, b := e.anyone(), e.anyone()
	for a == b {
		b = e.anyone()
	}
	at, sideA, sideB := e.now, a.Approach(), b.Approach()
	half := func(p *client.Pin, own, other *client.Side) *told {
		return &told{at: at, sign: func() fact.Fact {
			s, err := own.Sign(other.Hello(), at)
			if err != nil {
				e.world.t.Fatal(err)
			}
			return e.world.half(p, s)
		}}
	}
	return half(a, sideA, sideB), half(b, sideB, sideA)
}

func (e *event) walk() *told {
	counts := make([]uint16, 1+e.rand.IntN(8))
	for i := range counts {
		counts[i] = uint16(e.rand.IntN(1500))
	}
	p := e.anyone()
	first := fact.Slot(e.now / fact.UnixMilli(fact.SlotLength.Milliseconds()))
	signed := p.Count(first, counts)
	return &told{at: e.now, fact: e.world.report(p, signed)}
}
