package eventlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"pinfold/internal/fact"
)

// Fault is what goes wrong with one Append to a Memory.
type Fault int

// The faults come in pairs: failed and not stored, failed but stored anyway.
const (
	// NoFault: the batch is stored and the answer arrives.
	NoFault Fault = iota
	// Lost: the batch never reached the log, and no answer came.
	Lost
	// Unanswered: the batch is stored, the answer was lost.
	Unanswered
	// Late: no answer came; the batch is still on its way and is stored by StoreLate, if its fences then hold.
	Late
	// Torn: a first part of the batch is stored, and no answer came. JetStream promises that this never happens; a
	// fold is to withstand it all the same.
	Torn
	// NotStored: the log said that it did not store the batch.
	NotStored
	// Refused: the log will never take the batch.
	Refused
)

// Faults decides what goes wrong in a Memory. A nil function means that nothing does.
type Faults struct {
	// Append returns the fault of this Append.
	Append func(Batch) Fault
	// Stale returns how many of the family's last facts this LastOf does not see.
	Stale func(fact.Family) int
	// Enter is called at the beginning of each call on the log or a reader of it, and may be slow. Its error is
	// returned by the call, which has no effect then.
	Enter func(call string) error
}

// Memory is a Log in memory, for tests and simulations: the twin of JetStream, with faults to inject.
type Memory struct {
	faults Faults
	clock  func() fact.UnixMilli

	mu       sync.Mutex
	epoch    uint32
	messages []Message
	last     map[fact.Family][]int // indices into messages
	late     []sent
	cuts     int           // how often all readers lost their place
	grown    chan struct{} // closed and replaced when messages grows, or readers lose their place
}

// NewMemory returns an empty log of epoch 1. The clock gives the time at which a message is stored.
func NewMemory(clock func() fact.UnixMilli, faults Faults) *Memory {
	return &Memory{faults: faults, clock: clock, epoch: 1, last: map[fact.Family][]int{}, grown: make(chan struct{})}
}

// Head implements Log.
func (m *Memory) Head(context.Context) (Head, error) {
	if err := m.enter("Head"); err != nil {
		return Head{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return Head{Epoch: m.epoch, Last: fact.Seq(len(m.messages))}, nil
}

// Append implements Log.
func (m *Memory) Append(_ context.Context, b Batch) (fact.Seq, error) {
	if err := m.enter("Append"); err != nil {
		return 0, err
	}
	s, err := b.send()
	if err != nil {
		return 0, err
	}
	fault := NoFault
	if m.faults.Append != nil {
		fault = m.faults.Append(b)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch fault {
	case Lost:
		return 0, ErrUnanswered
	case NotStored:
		return 0, ErrNotStored
	case Refused:
		return 0, ErrRefused
	case Late:
		m.late = append(m.late, s)
		return 0, ErrUnanswered
	case Torn:
		if m.holds(s.fences) {
			m.store(s.messages[:len(s.messages)/2])
		}
		return 0, ErrUnanswered
	}
	if !m.holds(s.fences) {
		return 0, ErrConflict
	}
	m.store(s.messages)
	if fault == Unanswered {
		return 0, ErrUnanswered
	}
	return fact.Seq(len(m.messages)), nil
}

// StoreLate lets the oldest batch that is still on its way arrive, and reports whether there was one.
func (m *Memory) StoreLate() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.late) == 0 {
		return false
	}
	s := m.late[0]
	m.late = m.late[1:]
	if m.holds(s.fences) {
		m.store(s.messages)
	}
	return true
}

// Cut lets every reader lose its place, as one whose server goes away does.
func (m *Memory) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut()
}

func (m *Memory) cut() {
	m.cuts++
	m.tell()
}

// Truncate loses every message after the given sequence, and those on their way, as a log that came back from an older
// copy has lost them; the readers lose their place.
func (m *Memory) Truncate(last fact.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = slices.Clone(m.messages[:last]) // readers hold parts of the longer one
	for f, at := range m.last {
		for len(at) > 0 && at[len(at)-1] >= int(last) {
			at = at[:len(at)-1]
		}
		m.last[f] = at
	}
	m.late = nil
	m.cut()
}

// LastOf implements Log.
func (m *Memory) LastOf(_ context.Context, f fact.Family) (Message, bool, error) {
	if err := m.enter("LastOf"); err != nil {
		return Message{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.last[f]
	if m.faults.Stale != nil {
		at = at[:max(0, len(at)-m.faults.Stale(f))]
	}
	if len(at) == 0 {
		return Message{}, false, nil
	}
	return m.messages[at[len(at)-1]], true, nil
}

// At implements Log.
func (m *Memory) At(_ context.Context, seq fact.Seq) (Message, bool, error) {
	if err := m.enter("At"); err != nil {
		return Message{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq == 0 || seq > fact.Seq(len(m.messages)) {
		return Message{}, false, nil
	}
	return m.messages[seq-1], true, nil
}

// Read implements Log. What it says of a log that is shorter, it says at once.
func (m *Memory) Read(_ context.Context, after Position) (Reader, error) {
	if err := m.enter("Read"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := after.otherEpoch(m.epoch); err != nil {
		return nil, err
	}
	if last := fact.Seq(len(m.messages)); after.Seq > last {
		return nil, after.shorter(last)
	}
	if after.Seq > 0 {
		if err := after.rewritten(m.messages[after.Seq-1]); err != nil {
			return nil, err
		}
	}
	return &memoryReader{log: m, next: after.Seq + 1, cuts: m.cuts, closed: make(chan struct{})}, nil
}

func (m *Memory) enter(call string) error {
	if m.faults.Enter == nil {
		return nil
	}
	return m.faults.Enter(call)
}

func (m *Memory) holds(fences map[fact.Family]fact.Seq) bool {
	for f, want := range fences {
		var last fact.Seq
		if at := m.last[f]; len(at) > 0 {
			last = m.messages[at[len(at)-1]].Seq
		}
		if last != want {
			return false
		}
	}
	return true
}

func (m *Memory) store(messages []Message) {
	for _, msg := range messages {
		m.last[msg.Family] = append(m.last[msg.Family], len(m.messages))
		msg.Seq, msg.Stored = fact.Seq(len(m.messages)+1), m.clock()
		m.messages = append(m.messages, msg)
	}
	m.tell()
}

func (m *Memory) tell() {
	close(m.grown)
	m.grown = make(chan struct{})
}

type memoryReader struct {
	log    *Memory
	next   fact.Seq
	cuts   int // of the log when the reading began
	closed chan struct{}
}

func (r *memoryReader) Next(ctx context.Context, max int) ([]Message, error) {
	for {
		if err := r.log.enter("Next"); err != nil {
			return nil, err
		}
		r.log.mu.Lock()
		have, grown, err := r.log.messages, r.log.grown, r.err()
		r.log.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if int(r.next) <= len(have) {
			got := have[r.next-1:]
			got = got[:min(len(got), max)]
			r.next += fact.Seq(len(got))
			return got, nil
		}
		select {
		case <-grown:
		case <-r.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *memoryReader) Err() error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.err()
}

// err returns an error if the readers lost their places since the reading began. The caller holds log.mu.
func (r *memoryReader) err() error {
	if r.cuts != r.log.cuts {
		return fmt.Errorf("%w: the reader lost its place", ErrUnreachable)
	}
	return nil
}

func (r *memoryReader) Close() { close(r.closed) }

// sent is a batch on its way: no Append changes what an earlier one has sent.
type sent struct {
	messages []Message // without their place in the log
	fences   map[fact.Family]fact.Seq
}

func (b Batch) send() (sent, error) {
	if err := b.check(); err != nil {
		return sent{}, err
	}
	s := sent{messages: make([]Message, len(b.Records)), fences: maps.Clone(b.Fences)}
	for i, r := range b.Records {
		payload, err := Encode(r)
		if err != nil {
			return sent{}, fmt.Errorf("log: record %d of the batch: %w", i, err)
		}
		s.messages[i] = Message{Family: r.Fact.Family(), Payload: payload}
	}
	return s, nil
}

func (b Batch) check() error {
	if len(b.Records) == 0 || len(b.Records) > MaxBatch {
		return fmt.Errorf("log: a batch of %d facts: want 1 to %d", len(b.Records), MaxBatch)
	}
	for f := range b.Fences {
		if !b.has(f) {
			return fmt.Errorf("log: the batch is fenced on family %s but has no fact of it", f)
		}
	}
	return nil
}

func (b Batch) has(f fact.Family) bool {
	for _, r := range b.Records {
		if r.Fact.Family() == f {
			return true
		}
	}
	return false
}
