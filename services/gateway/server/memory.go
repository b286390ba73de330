package server

import (
	"crypto/sha256"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

const (
	// maxKnown is how many statements at least the committer knows to be stored (docs/design.md section 7, Admission).
	maxKnown = 200_000
	// maxUnread is how many batches may be stored and not read yet before all is forgotten: only a gateway that writes
	// and cannot read comes to it.
	maxUnread = 10_000
)

// memory is what the committer knows of the log: where it holds which statement. It belongs to one log. One that came
// back from an older copy has lost its end, and may have grown anew since; whoever repeats what it lost must not hear
// that it is stored. That is noticed where a batch is stored no higher than one that was known when it was sent, and
// where the reading comes by another fact than the one that was stored there; then all is forgotten. To forget is
// harmless: a repeat is a duplicate in the log. (Where the reading itself had come further than the log now holds, it
// begins no more, and the gateway ends.)
type memory struct {
	stored *recent[[32]byte, fact.Seq] // by the key of the statement
	last   fact.Seq                    // the highest that is known to be stored
	life   int                         // counts how often all was forgotten
	read   fact.Seq                    // how far the reading has come
	unread map[fact.Seq][sha256.Size]byte
}

// recollection is what was known when a batch was sent.
type recollection struct {
	last fact.Seq
	life int
}

func newMemory() *memory {
	m := &memory{life: -1}
	m.forget()
	return m
}

func (m *memory) forget() {
	m.stored = newRecent[[32]byte, fact.Seq](maxKnown)
	m.unread = make(map[fact.Seq][sha256.Size]byte)
	m.last = 0
	m.life++
}

func (m *memory) recollect() recollection { return recollection{m.last, m.life} }

// remember notes that a batch is stored, its last statement at the given sequence. It reports whether that shows another
// log than the one that was known.
func (m *memory) remember(knew recollection, batch []*passage, last fact.Seq) (other bool) {
	if knew.life != m.life { // it may be of what the log lost
		return false
	}
	other = last-fact.Seq(len(batch)) < knew.last
	if other || len(m.unread) == maxUnread {
		m.forget()
	}
	m.last = max(m.last, last)
	for i, p := range batch {
		m.stored.put(p.key, last-fact.Seq(len(batch)-1-i))
	}
	payload, err := eventlog.Encode(fact.Record{Fact: batch[len(batch)-1].fact})
	if err == nil && last > m.read { // a fact that is stored was encoded before
		m.unread[last] = sha256.Sum256(payload)
	}
	return other
}

// pass notes that the reading came by these facts. It reports whether they show another log than the one that was known.
func (m *memory) pass(msgs []eventlog.Message) (other bool) {
	for _, msg := range msgs {
		m.read = msg.Seq
		hash, ok := m.unread[msg.Seq]
		if ok && hash != msg.Hash() {
			m.forget()
			other = true
		}
		delete(m.unread, msg.Seq)
	}
	return other
}
