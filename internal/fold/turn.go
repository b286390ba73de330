package fold

import (
	"fmt"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// turn is the work of one write transaction. Nothing of it reaches the Runner before the commit.
type turn struct {
	runner  *Runner
	folded  int               // messages
	last    eventlog.Position // of the last one
	derived []fact.Record     // to be in the log before the commit
	popped  int               // how many of the facts expected before the turn came by
	added   []fact.Record     // to be expected behind those, without what came by within the turn
}

// fold steps the core over the messages, until they are used up or the next step's facts might not fit the batch.
func (t *turn) fold(tx kv.Tx, msgs []eventlog.Message) error {
	for _, m := range msgs {
		if len(t.derived)+MaxDerived > eventlog.MaxBatch {
			break
		}
		if t.runner.concerns(m.Family) {
			e, err := m.Decode()
			if err != nil {
				return err
			}
			if m.Family == t.runner.own {
				if err := t.compare(e); err != nil {
					return err
				}
			}
			if t.runner.acts[m.Family] {
				if err := t.step(tx, e); err != nil {
					return err
				}
			}
		}
		t.folded++
	}
	t.last = msgs[t.folded-1].Position(t.runner.pos.Epoch)
	return nil
}

func (t *turn) step(tx kv.Tx, e fact.Entry) error {
	facts := t.runner.Core.Step(tx, e)
	if len(facts) > MaxDerived {
		return fmt.Errorf("sequence %d: the core derived %d facts: at most %d fit a batch", e.Seq, len(facts), MaxDerived)
	}
	for i, f := range facts {
		r := fact.Record{Fact: f, Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(i), Count: uint32(len(facts))}}
		t.derived = append(t.derived, r)
		t.added = append(t.added, r)
	}
	return nil
}

// compare checks a recorded fact of the own family against the next one that this replica derived.
func (t *turn) compare(e fact.Entry) error {
	diverged := &DivergedError{Core: t.runner.Core.Name(), Seq: e.Seq, Got: e.Record}
	next := t.next()
	if next == nil {
		return diverged
	}
	if *next != e.Record {
		diverged.Want = next
		return diverged
	}
	if t.popped < len(t.runner.queue) {
		t.popped++
	} else {
		t.added = t.added[1:]
	}
	t.runner.emit.seen(e)
	return nil
}

// next returns the expected fact that comes by next, or nil.
func (t *turn) next() *fact.Record {
	switch {
	case t.popped < len(t.runner.queue):
		return &t.runner.queue[t.popped]
	case len(t.added) > 0:
		return &t.added[0]
	}
	return nil
}
