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
	folded  int           // messages
	last    position      // of the last one
	derived []fact.Record // to be in the log before the commit
	queue   []expected
	gone    []fact.Derivation // expected ones that the view holds and that came by
}

// expected is a derived fact that has not come by in the log yet.
type expected struct {
	record fact.Record
	saved  bool // it stands in the view
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
	m := msgs[t.folded-1]
	t.last = position{epoch: t.runner.pos.epoch, seq: m.Seq, hash: m.Hash()}
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
		t.queue = append(t.queue, expected{record: r})
	}
	return nil
}

// compare checks a recorded fact of the own family against the one that this replica derived.
func (t *turn) compare(e fact.Entry) error {
	if len(t.queue) == 0 {
		return &DivergedError{Core: t.runner.Core.Name(), Seq: e.Seq, Got: e.Record}
	}
	next := t.queue[0]
	if next.record != e.Record {
		return &DivergedError{Core: t.runner.Core.Name(), Seq: e.Seq, Want: &next.record, Got: e.Record}
	}
	t.queue = t.queue[1:]
	if next.saved {
		t.gone = append(t.gone, next.record.Derivation)
	}
	t.runner.emit.seen(e)
	return nil
}
