package audit

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"pinfold/internal/fact"
)

const (
	// maxHeldUses is how many uses of counters are held in memory: 11 MiB.
	maxHeldUses = 1 << 18
	// useBuffer is how much of each run of uses is read at a time, in bytes.
	useBuffer = 16 << 10
)

// counters finds one counter on two different statements of a pin: the sign of a cloned key. It is an external sort of
// every verified statement: they are held in memory up to a number, and then spilled to a temporary file, run by sorted
// run.
type counters struct {
	dir  string // of the temporary file; "" = that of os.TempDir
	max  int    // how many uses are held
	held []use
	file *os.File // nil = nothing was spilled
	name string   // of the file; "" = it has none any more
	ends []int64  // of the runs in the file, in bytes
}

// use is the use of a counter for one statement, in an order of bytes that sorts by pin, counter and sequence:
//
//	0   pin, 8
//	8   counter, 4
//	12  sequence, 8
//	20  hash, 16: the first bytes of the SHA-256 of the statement
//	36  peer, 8: of a half; zero = a step report
type use [44]byte

func newUse(m mark, seq fact.Seq) use {
	var u use
	copy(u[:], m.pin[:])
	binary.BigEndian.PutUint32(u[8:], uint32(m.counter))
	binary.BigEndian.PutUint64(u[12:], uint64(seq))
	copy(u[20:], m.hash[:])
	copy(u[36:], m.peer[:])
	return u
}

func (u *use) pin() fact.PinID       { return fact.PinID(u[:8]) }
func (u *use) counter() fact.Counter { return fact.Counter(binary.BigEndian.Uint32(u[8:])) }
func (u *use) seq() fact.Seq         { return fact.Seq(binary.BigEndian.Uint64(u[12:])) }
func (u *use) peer() fact.PinID      { return fact.PinID(u[36:]) }

func (u *use) sameCounter(o *use) bool   { return bytes.Equal(u[:12], o[:12]) }
func (u *use) sameStatement(o *use) bool { return bytes.Equal(u[20:36], o[20:36]) }

func (u *use) compare(o *use) int { return bytes.Compare(u[:20], o[:20]) }

// describe says what describeStatement says of the statement.
func (u *use) describe() string {
	if u.peer() == (fact.PinID{}) {
		return describeStatement(fact.StepsReported{Report: fact.StepReport{Pin: u.pin(), Counter: u.counter()}})
	}
	return describeStatement(fact.HalfReported{Half: fact.Half{Pin: u.pin(), Peer: u.peer(), Counter: u.counter()}})
}

// add takes note of the statements of a run. The error is the temporary file's.
func (cs *counters) add(c *run) error {
	for i, m := range c.marks {
		if !m.ok {
			continue
		}
		if cs.held = append(cs.held, newUse(m, c.entries[i].Seq)); len(cs.held) >= cs.max {
			if err := cs.spill(); err != nil {
				return fmt.Errorf("counters: %w", err)
			}
		}
	}
	return nil
}

// spill writes what is held as a run.
func (cs *counters) spill() error {
	if cs.file == nil {
		file, err := os.CreateTemp(cs.dir, "pinfold-*.counters")
		if err != nil {
			return err
		}
		cs.file = file
		if os.Remove(file.Name()) != nil {
			cs.name = file.Name() // it has to be closed first
		}
	}
	cs.sort()
	w := bufio.NewWriter(cs.file)
	for i := range cs.held {
		if _, err := w.Write(cs.held[i][:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	cs.ends = append(cs.ends, cs.begin(len(cs.ends))+int64(len(cs.held)*len(use{})))
	cs.held = cs.held[:0]
	return nil
}

// begin returns where the i-th run begins in the file, in bytes.
func (cs *counters) begin(i int) int64 {
	if i == 0 {
		return 0
	}
	return cs.ends[i-1]
}

func (cs *counters) sort() {
	slices.SortFunc(cs.held, func(a, b use) int { return a.compare(&b) })
}

// report reports the statements whose counter was used before for another one. The error is the temporary file's.
func (cs *counters) report(out *findings) error {
	if cs.file != nil && len(cs.held) > 0 {
		if err := cs.spill(); err != nil {
			return fmt.Errorf("counters: %w", err)
		}
	}
	var first use
	each := func(u *use) {
		switch {
		case first == use{} || !u.sameCounter(&first):
			first = *u
		case !u.sameStatement(&first):
			out.add(u.seq(), ClonedKey, fmt.Sprintf("counter %d of pin %v on the statement of sequence %d only", u.counter(), u.pin(), first.seq()),
				"it on another statement: "+u.describe())
		}
	}
	if cs.file != nil {
		cs.held = nil
		if err := cs.merge(each); err != nil {
			return fmt.Errorf("counters: %w", err)
		}
		return nil
	}
	cs.sort()
	for i := range cs.held {
		each(&cs.held[i])
	}
	return nil
}

// merge goes through the runs side by side, so that each gets all uses in order.
func (cs *counters) merge(each func(*use)) error {
	var runs useRuns
	for i, end := range cs.ends {
		begin := cs.begin(i)
		r := &useRun{in: bufio.NewReaderSize(io.NewSectionReader(cs.file, begin, end-begin), useBuffer)}
		if err := r.advance(); err != nil { // no run is empty
			return err
		}
		runs = append(runs, r)
	}
	heap.Init(&runs)
	for len(runs) > 0 {
		each(&runs[0].next)
		err := runs[0].advance()
		switch {
		case errors.Is(err, io.EOF):
			heap.Pop(&runs)
		case err != nil:
			return err
		default:
			heap.Fix(&runs, 0)
		}
	}
	return nil
}

// close removes the temporary file.
func (cs *counters) close() error {
	if cs.file == nil {
		return nil
	}
	err := cs.file.Close()
	if cs.name != "" {
		err = errors.Join(err, os.Remove(cs.name))
	}
	cs.file = nil
	return err
}

// useRun is a run that is read.
type useRun struct {
	in   *bufio.Reader
	next use
}

// advance reads the next use. The error is io.EOF behind the last one.
func (r *useRun) advance() error {
	_, err := io.ReadFull(r.in, r.next[:])
	return err
}

// useRuns is a heap, the lowest use first.
type useRuns []*useRun

func (rs useRuns) Len() int           { return len(rs) }
func (rs useRuns) Less(i, j int) bool { return rs[i].next.compare(&rs[j].next) < 0 }
func (rs useRuns) Swap(i, j int)      { rs[i], rs[j] = rs[j], rs[i] }
func (rs *useRuns) Push(x any)        { *rs = append(*rs, x.(*useRun)) }
func (rs *useRuns) Pop() any {
	old := *rs
	last := old[len(old)-1]
	*rs = old[:len(old)-1]
	return last
}
