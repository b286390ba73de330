package fold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// emitter appends derived facts to their family, each once, whoever else appends them too.
type emitter struct {
	log    eventlog.Log
	family fact.Family // "" = none is derived
	logger *slog.Logger
	most   int // facts in one batch, as far as the server is known to take
	wait   func(ctx context.Context, failures int) error
	lost   func() error // see Runner.lost

	// The last fact of the family that is known to be in the log: the fence of the next batch. Zero before the first.
	lastSeq fact.Seq
	last    fact.Derivation
}

// append returns when all the records, which are in order, are in the log. Those up to the last fact of the family
// stand there already: another replica, or an earlier turn of this one, appended them.
func (e *emitter) append(ctx context.Context, records []fact.Record) error {
	for failures := 0; ; {
		rest := e.missing(records)
		if len(rest) == 0 {
			return nil
		}
		if err := e.lost(); err != nil {
			return err
		}
		part := wholeCauses(rest, e.most)
		seq, err := e.log.Append(ctx, eventlog.Batch{Records: part, Fences: map[fact.Family]fact.Seq{e.family: e.lastSeq}})
		if err == nil {
			e.lastSeq, e.last = seq, part[len(part)-1].Derivation
			failures = 0
			continue
		}
		if errors.Is(err, eventlog.ErrBatchTooLarge) && part[0].Derivation.Cause != part[len(part)-1].Derivation.Cause {
			e.most = len(part) / 2
			e.logger.Warn("the log takes fewer derived facts at once, trying with half", "family", e.family, "facts", len(part), "error", err)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !retriable(err) {
			return fmt.Errorf("append %d derived facts: %w", len(part), err)
		}
		// That another replica was first is the normal course.
		if !errors.Is(err, eventlog.ErrConflict) && eventlog.Noteworthy(failures) {
			e.logger.Warn("derived facts are not known to be stored, trying again", "family", e.family, "facts", len(part), "failures", failures+1, "error", err)
		}
		if err := e.wait(ctx, failures); err != nil {
			return err
		}
		failures++
		// A refused batch shows that the family has grown; one without an answer may have made it grow. If a batch on
		// its way is stored after this look, the fence of the next attempt refuses the second one.
		if err := e.look(ctx); err != nil {
			return err
		}
	}
}

// wholeCauses returns the first records, at most that many of them but all of the first cause, and none of a cause in
// part.
func wholeCauses(records []fact.Record, most int) []fact.Record {
	if len(records) <= most {
		return records
	}
	n := most
	for n > 0 && records[n-1].Derivation.Cause == records[n].Derivation.Cause {
		n--
	}
	if n == 0 {
		for n < len(records) && records[n].Derivation.Cause == records[0].Derivation.Cause {
			n++
		}
	}
	return records[:n]
}

func (e *emitter) missing(records []fact.Record) []fact.Record {
	if e.lastSeq == 0 {
		return records
	}
	n, _ := slices.BinarySearchFunc(records, e.last, func(r fact.Record, last fact.Derivation) int {
		if r.Derivation.After(last) {
			return 1
		}
		return -1
	})
	return records[n:]
}

func retriable(err error) bool {
	return errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrUnanswered) ||
		errors.Is(err, eventlog.ErrNotStored) || errors.Is(err, eventlog.ErrFull)
}

// begin looks what the family holds, as when nothing of it was known: the log may have lost what was.
func (e *emitter) begin(ctx context.Context) error {
	e.lastSeq, e.last = 0, fact.Derivation{}
	if e.family == "" {
		return nil
	}
	return e.look(ctx)
}

// look reads the last fact of the family. A log that cannot be read now is looked at again after the next attempt;
// a fact that cannot be understood is an error, however often it is looked at.
func (e *emitter) look(ctx context.Context) error {
	m, ok, err := e.log.LastOf(ctx, e.family)
	if _, unreadable := errors.AsType[*eventlog.DecodeError](err); unreadable {
		return err
	}
	if err != nil || !ok {
		return nil //nolint:nilerr // the next append is fenced all the same
	}
	entry, err := m.Decode()
	if err != nil {
		return err
	}
	e.seen(entry)
	return nil
}

// seen notes that the fact is in the log. A stale answer tells nothing new.
func (e *emitter) seen(entry fact.Entry) {
	if entry.Seq > e.lastSeq {
		e.lastSeq, e.last = entry.Seq, entry.Derivation
	}
}
