package evidence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// Source answers for one sequence of the log: an eventlog.Log, or an archive.
type Source interface {
	// At returns the fact at the sequence, and whether there is one.
	At(ctx context.Context, seq fact.Seq) (eventlog.Message, bool, error)
}

// View runs f on one committed state of the index. It may be called more than once.
type View func(f func(kv.Reader) error) error

// ErrNotAwarded says that the index has no such award of the wearer.
var ErrNotAwarded = errors.New("evidence: the wearer has no such award")

// Collect returns what the award of the wearer rests on. It reads the log outside of view, one fact after the other. The
// errors:
//
//   - ErrNotAwarded.
//   - *Error: the log does not hold the award up. No services of ours wrote that log, or the index is of another.
//   - that of view or src.
func Collect(ctx context.Context, view View, src Source, w fact.WearerID, what Award) (*Evidence, error) {
	if err := what.check(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	var p plan
	if err := view(func(r kv.Reader) (err error) { p, err = planFor(r, w, what); return err }); err != nil {
		return nil, err
	}
	g := gathered{ctx: ctx, src: src, messages: map[fact.Seq]eventlog.Message{}}
	pins, err := g.gather(p)
	if err != nil {
		return nil, err
	}
	var roster []fact.Seq
	if err := view(func(r kv.Reader) (err error) { roster, err = enrolments(r, pins); return err }); err != nil {
		return nil, err
	}
	if err := g.fetch(roster...); err != nil {
		return nil, err
	}
	return assemble(w, what, p.award.Seq, g.sorted())
}

// plan is what the index alone says about an award.
type plan struct {
	award       Ref
	rules       fact.Seq
	friendships []stay // that it counts
}

func planFor(r kv.Reader, w fact.WearerID, what Award) (plan, error) {
	ref, ok := Find(r, w, what)
	if !ok {
		return plan{}, ErrNotAwarded
	}
	p := plan{award: ref, rules: rulesBefore(r, ref.Derivation.Cause)}
	if p.rules == 0 {
		return plan{}, flaw(Missing, 0, "no RulesAdopted before the award's cause, %d", ref.Derivation.Cause)
	}
	for s := range staysOf(r, w) {
		if s.at(ref.Derivation.Cause) {
			p.friendships = append(p.friendships, s)
		}
	}
	return p, nil
}

// enrolments returns the sequences at which the pins were registered and paired.
func enrolments(r kv.Reader, pins map[fact.PinID]fact.Seq) ([]fact.Seq, error) {
	var seqs []fact.Seq
	for pin, seq := range pins {
		registered, paired := enrolled(r, pin)
		if paired == 0 { // which is so of a pin that was never registered, too
			return nil, flaw(Missing, seq, "pin %v was never paired", pin)
		}
		seqs = append(seqs, registered, paired)
	}
	slices.Sort(seqs)
	return seqs, nil
}

// gathered is what was read of the log so far.
type gathered struct {
	ctx      context.Context //nolint:containedctx // of one call of Collect
	src      Source
	messages map[fact.Seq]eventlog.Message
}

// gather reads the facts of the plan, and returns the pins that these name, each with the sequence of a fact that does.
func (g gathered) gather(p plan) (map[fact.PinID]fact.Seq, error) {
	if err := g.fetch(p.rules, p.award.Derivation.Cause, p.award.Seq); err != nil {
		return nil, err
	}
	for _, s := range p.friendships {
		if err := g.fetch(s.mate, s.cause, s.formed); err != nil {
			return nil, err
		}
	}
	pins := map[fact.PinID]fact.Seq{}
	for _, m := range g.sorted() {
		e, err := m.Decode()
		if err != nil {
			return nil, &Error{Rule: Unreadable, Seq: m.Seq, Err: err}
		}
		switch f := e.Fact.(type) {
		case fact.HalfReported:
			pins[f.Half.Pin] = e.Seq
		case fact.PinPaired:
			pins[f.Proof.Pin] = e.Seq
		}
	}
	return pins, nil
}

// fetch reads the facts at the sequences.
func (g gathered) fetch(seqs ...fact.Seq) error {
	for _, seq := range seqs {
		if _, held := g.messages[seq]; held {
			continue
		}
		m, ok, err := g.src.At(g.ctx, seq)
		switch {
		case err != nil:
			return fmt.Errorf("evidence: sequence %d: %w", seq, err)
		case !ok:
			return flaw(Missing, seq, "the log ends before")
		}
		g.messages[seq] = m
	}
	return nil
}

func (g gathered) sorted() []eventlog.Message {
	seqs := slices.Sorted(maps.Keys(g.messages))
	sorted := make([]eventlog.Message, len(seqs))
	for i, seq := range seqs {
		sorted[i] = g.messages[seq]
	}
	return sorted
}
