// Package fold runs a core over the log: it reads every fact in order, steps the core, appends what the core derives,
// and keeps the view. The order in which it does so is its whole guarantee; see Runner.
package fold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// MaxDerived is the largest number of facts that one step may return.
const MaxDerived = 256

// maxTurn is the largest number of facts that one turn reads. It bounds the size of a write transaction.
const maxTurn = 4096

// Core is a fold: a pure function of its state, kept in the transaction, and the next fact.
type Core interface {
	// Name names the service.
	Name() string
	// ActsOn returns the families whose facts Step is given.
	ActsOn() []fact.Family
	// Derives returns the family of the facts that Step returns, or "" if it returns none.
	Derives() fact.Family
	// Step folds the fact into the state and returns the facts that follow from it, at most MaxDerived, in order. It is
	// total, and depends on nothing but its arguments.
	Step(tx kv.Tx, e fact.Entry) []fact.Fact
}

// Config says what a Runner runs, and on what.
type Config struct {
	Core   Core
	Log    eventlog.Log
	View   view.Store
	Logger *slog.Logger
	// Backoff returns how long to wait before an append or a read that failed so many times is tried again. Nil means
	// 1 ms, doubled each time up to 1 s.
	Backoff func(failures int) time.Duration
}

// Runner folds one log into one view. Any number of replicas may run over the same log, each with a view of its own;
// they need no leader, and the log refuses the second of two equal batches.
//
// Each turn goes through these stages, in this order:
//
//  1. Read the next facts of all families behind the view's position.
//  2. In one write transaction, step the core over those it acts on; what it derives is expected to come by in the log.
//     A fact of the core's own family must be the one expected next: if not, the replica stops as diverged.
//  3. Append the derived facts that are not in the log yet, in one batch fenced on the last fact of the family.
//  4. Commit the transaction with the new position and what is still expected.
//
// The commit is the commit point: a crash before it repeats the turn to the same result, a crash after it loses nothing.
// Recovery is the normal way in: a start reads the position and goes on with stage 1.
type Runner struct {
	Config
	acts map[fact.Family]bool
	own  fact.Family
	emit *emitter

	// Owned by Run.
	reader eventlog.Reader
	held   []eventlog.Message // read and not yet folded
	pos    eventlog.Position
	queue  []fact.Record // derived, in the view, and not come by in the log yet

	mu       sync.Mutex
	progress Progress
	moved    chan struct{} // closed and replaced when progress changes
}

// Progress is how far a replica has come.
type Progress struct {
	// Seq is the position: every fact up to it is folded.
	Seq fact.Seq
	// Settled is how far the replica's own facts have come by: there is no fact to come with a cause up to it.
	Settled fact.Seq
}

// DivergedError says that a fact of the core's own family is not the one that this replica derived: the binaries, the
// rules or the memory of two replicas differ, or one has a bug. Its text reaches logs and so holds no ids of wearers and
// pins: it names the facts and the fields in which they differ; the log holds the fact whole.
type DivergedError struct {
	Core string
	Seq  fact.Seq
	Want *fact.Record // what this replica derived next; nil = nothing
	Got  fact.Record
}

func (e *DivergedError) Error() string {
	if e.Want == nil {
		return fmt.Sprintf("DIVERGED: %s: sequence %d holds %s, and this replica derived nothing", e.Core, e.Seq, describe(e.Got))
	}
	return fmt.Sprintf("DIVERGED: %s: sequence %d holds %s, and this replica derived %s%s",
		e.Core, e.Seq, describe(e.Got), describe(*e.Want), differences(e.Got.Fact, e.Want.Fact))
}

// describe names a derived fact without what it says.
func describe(r fact.Record) string {
	return fmt.Sprintf("%T %d of %d of cause %d", r.Fact, r.Derivation.Index+1, r.Derivation.Count, r.Derivation.Cause)
}

// differences names the fields in which two facts of one kind differ.
func differences(got, want fact.Fact) string {
	a, b := reflect.ValueOf(got), reflect.ValueOf(want)
	if a.Type() != b.Type() {
		return ""
	}
	var fields []string
	for i := range a.NumField() {
		if !a.Field(i).Equal(b.Field(i)) {
			fields = append(fields, a.Type().Field(i).Name)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return ": they differ in " + strings.Join(fields, ", ")
}

// MisfitError says that a view was not folded from this log. The view may be deleted; it is then rebuilt.
type MisfitError struct {
	Core   string
	Reason string
}

func (e *MisfitError) Error() string {
	return fmt.Sprintf("the view of %s does not fit the log: %s", e.Core, e.Reason)
}

// errLost says that the reading must begin again before anything is appended.
var errLost = errors.New("the reader lost its place")

// Open checks that the view fits the log and returns a Runner that goes on from the view's position.
func Open(ctx context.Context, c Config) (*Runner, error) {
	if c.Backoff == nil {
		c.Backoff = func(failures int) time.Duration { return min(time.Millisecond<<min(failures, 10), time.Second) }
	}
	r := &Runner{Config: c, acts: map[fact.Family]bool{}, own: c.Core.Derives(), moved: make(chan struct{})}
	for _, f := range c.Core.ActsOn() {
		r.acts[f] = true
	}
	r.emit = &emitter{log: c.Log, family: r.own, logger: c.Logger, most: eventlog.MaxBatch, wait: r.wait, lost: r.lost}
	if err := c.View.View(func(tx view.Reader) (err error) {
		r.pos, r.queue, err = load(tx, c.Core)
		return err
	}); err != nil {
		return nil, err
	}
	if err := r.fits(ctx); err != nil {
		return nil, err
	}
	r.publish()
	return r, nil
}

// fits compares the view's position with the log, by beginning to read.
func (r *Runner) fits(ctx context.Context) error {
	if r.pos.Seq == 0 {
		head, err := r.Log.Head(ctx)
		if err != nil {
			return err
		}
		r.pos.Epoch = head.Epoch
		return r.emit.begin(ctx)
	}
	defer r.closeReader() // Run begins again
	if err := r.open(ctx); err != nil {
		return err
	}
	return r.emit.begin(ctx)
}

// begin begins to read behind the position. A log that lost its end and still fits may lack derived facts that were in it
// when their causes were folded: they are appended again.
func (r *Runner) begin(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	if err := r.emit.begin(ctx); err != nil {
		return err
	}
	return r.emit.append(ctx, r.queue)
}

// open opens a reader behind the position, which compares it with the log: another log is a *MisfitError.
func (r *Runner) open(ctx context.Context) error {
	reader, err := r.Log.Read(ctx, r.pos)
	if rewritten, ok := errors.AsType[*eventlog.RewrittenError](err); ok {
		return &MisfitError{Core: r.Core.Name(), Reason: rewritten.Reason}
	}
	if err != nil {
		return err
	}
	r.reader = reader
	return nil
}

// Run folds until the context ends, which is no error, or until something is wrong that going on would make worse: the
// replica diverged, a fact cannot be understood, the view cannot be written.
func (r *Runner) Run(ctx context.Context) error {
	defer r.closeReader()
	for {
		err := r.turn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Core.Name(), err)
		}
	}
}

// turn is one round of the stages that stand above Runner.
func (r *Runner) turn(ctx context.Context) error {
	if len(r.held) == 0 {
		msgs, err := r.read(ctx)
		if err != nil {
			return err
		}
		r.held = msgs
	}
	if n := r.stepOver(); n > 0 {
		// Nothing to write: the position in memory answers reads, and a restart steps over these facts again.
		r.advance(r.held[n-1])
		r.held = r.held[n:]
		r.publish()
		return nil
	}
	t := turn{runner: r}
	err := r.View.Update(func(tx kv.Tx) error {
		if err := t.fold(tx, r.held); err != nil {
			return err
		}
		if err := r.emit.append(ctx, t.derived); err != nil {
			return err
		}
		return t.save(tx)
		// The commit point is the return of this function. Before it, a crash repeats the turn, and the derived facts
		// are found in the log; after it, the position says that they need not be derived again.
	})
	if errors.Is(err, errLost) {
		r.closeReader()
		r.held = nil
		return nil
	}
	if err != nil {
		return err
	}
	r.queue = append(r.queue[t.popped:], t.added...)
	r.advance(r.held[t.folded-1])
	r.held = r.held[t.folded:]
	r.publish()
	return nil
}

// stepOver returns how many of the facts held come before the first one that this fold looks at.
func (r *Runner) stepOver() int {
	n := slices.IndexFunc(r.held, func(m eventlog.Message) bool { return r.concerns(m.Family) })
	if n < 0 {
		return len(r.held)
	}
	return n
}

func (r *Runner) concerns(f fact.Family) bool { return r.acts[f] || f == r.own }

// read waits for the facts behind the position and checks that none is missing.
func (r *Runner) read(ctx context.Context) ([]eventlog.Message, error) {
	for failures := 0; ; failures++ {
		msgs, err := r.next(ctx)
		if err == nil {
			for i, m := range msgs {
				if want := r.pos.Seq + fact.Seq(i) + 1; m.Seq != want {
					return nil, fmt.Errorf("%w: sequence %d follows %d", eventlog.ErrGap, m.Seq, want-1)
				}
			}
			return msgs, nil
		}
		if _, misfit := errors.AsType[*MisfitError](err); misfit || eventlog.Final(err) || errors.Is(err, eventlog.ErrRefused) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.closeReader()
		if eventlog.Noteworthy(failures) {
			r.Logger.Warn("reading the log failed, trying again", "failures", failures+1, "error", err)
		}
		if err := r.wait(ctx, failures); err != nil {
			return nil, err
		}
	}
}

func (r *Runner) next(ctx context.Context) ([]eventlog.Message, error) {
	if r.reader == nil {
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
	}
	return r.reader.Next(ctx, maxTurn)
}

// lost returns errLost if the reader has lost its place: what was read since may not be in the log any more, and nothing
// that follows from it may be appended.
func (r *Runner) lost() error {
	if err := r.reader.Err(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

func (r *Runner) closeReader() {
	if r.reader != nil {
		r.reader.Close()
		r.reader = nil
	}
}

func (r *Runner) wait(ctx context.Context, failures int) error {
	timer := time.NewTimer(r.Backoff(failures))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Runner) advance(m eventlog.Message) {
	r.pos = m.Position(r.pos.Epoch)
}
