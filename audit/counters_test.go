package audit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
)

// TestCounters compares the external sort with a map of all statements, at sizes at which nothing, or nearly everything,
// is spilled.
func TestCounters(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		cs := counters{dir: dir, max: rapid.IntRange(1, 40).Draw(r, "max")}
		type key struct {
			pin     fact.PinID
			counter fact.Counter
		}
		type value struct {
			hash [16]byte
			seq  fact.Seq
		}
		seen := map[key]value{}
		var got, want findings
		var seq fact.Seq
		for range rapid.IntRange(0, 4).Draw(r, "runs") {
			c := newRun(nil)
			for range rapid.IntRange(0, 30).Draw(r, "statements") {
				seq += fact.Seq(rapid.IntRange(1, 3).Draw(r, "gap"))
				f := drawStatement(r)
				m := markOf(f)
				m.ok = rapid.IntRange(0, 9).Draw(r, "ok") > 0
				c.marks, c.entries = append(c.marks, m), append(c.entries, fact.Entry{Seq: seq, Record: fact.Record{Fact: f}})
				first, used := seen[key{m.pin, m.counter}]
				switch {
				case !m.ok:
				case !used:
					seen[key{m.pin, m.counter}] = value{m.hash, seq}
				case first.hash != m.hash:
					want.add(seq, ClonedKey, fmt.Sprintf("counter %d of pin %v on the statement of sequence %d only", m.counter, m.pin, first.seq),
						"it on another statement: "+describeStatement(f))
				}
			}
			if err := cs.add(c); err != nil {
				r.Fatal(err)
			}
		}
		if err := cs.report(&got); err != nil {
			r.Fatal(err)
		}
		if err := cs.close(); err != nil {
			r.Fatal(err)
		}
		gotList, _ := got.sorted()
		wantList, _ := want.sorted()
		if !reflect.DeepEqual(gotList, wantList) {
			r.Fatalf("got %v, want %v", gotList, wantList)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			r.Fatalf("the folder holds %v (error %v), want nothing", left, err)
		}
	})
}

// drawStatement draws one of few statements of few pins, so that counters meet.
func drawStatement(r *rapid.T) fact.Fact {
	pin := fact.PinID{7: byte(rapid.IntRange(1, 3).Draw(r, "pin"))}
	counter := fact.Counter(rapid.SampledFrom([]uint32{0, 1, 2, 255, 256, 1<<32 - 1}).Draw(r, "counter"))
	if rapid.Bool().Draw(r, "steps") {
		return fact.StepsReported{Report: fact.StepReport{Pin: pin, Counter: counter, FirstSlot: fact.Slot(rapid.IntRange(0, 1).Draw(r, "slot"))}}
	}
	peer := fact.PinID{0: 9, 7: byte(rapid.IntRange(0, 1).Draw(r, "peer"))}
	return fact.HalfReported{Half: fact.Half{Pin: pin, Peer: peer, Counter: counter}}
}

func markOf(f fact.Fact) mark {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", f))
	m := mark{hash: [16]byte(sum[:16])}
	switch f := f.(type) {
	case fact.HalfReported:
		m.pin, m.counter, m.peer = f.Half.Pin, f.Half.Counter, f.Half.Peer
	case fact.StepsReported:
		m.pin, m.counter = f.Report.Pin, f.Report.Counter
	}
	return m
}

// TestCountersWithoutFolder: a small log needs no file, a large one says which could not be made.
func TestCountersWithoutFolder(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	c := newRun(nil)
	for i := range 3 {
		f := fact.HalfReported{Half: fact.Half{Pin: fact.PinID{1}, Counter: fact.Counter(i)}}
		m := markOf(f)
		m.ok = true
		c.marks, c.entries = append(c.marks, m), append(c.entries, fact.Entry{Seq: fact.Seq(i + 1), Record: fact.Record{Fact: f}})
	}
	small := counters{dir: nowhere, max: 4}
	if err := small.add(c); err != nil {
		t.Error(err)
	}
	large := counters{dir: nowhere, max: 3}
	if err := large.add(c); err == nil {
		t.Error("no error of a folder that is not there")
	}
}
