package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// The verdicts.
const (
	Clean  = "clean"
	Broken = "broken"
)

// Report is what Verify found. The numbers count what stands in the log.
type Report struct {
	Verdict     string    `json:"verdict"` // Clean or Broken
	Facts       uint64    `json:"facts"`
	Halves      uint64    `json:"halves"`      // HalfReported
	Friendships uint64    `json:"friendships"` // FriendshipFormed
	Medals      uint64    `json:"medals"`      // MedalAwarded
	Backgrounds uint64    `json:"backgrounds"` // BackgroundUnlocked
	Findings    []Finding `json:"findings"`    // by sequence, at most MaxFindings; never null
	// LeftOut is how many findings there were beyond these.
	LeftOut uint64 `json:"findings_left_out,omitempty"`
	// Outstanding is how many derived facts an unfinished log lacks at its end; see Options.
	Outstanding uint64 `json:"outstanding,omitempty"`
}

// Options change what Verify does. The zero value is good.
type Options struct {
	// Workers is how many signatures are verified at a time; 0 = as many as there are processors.
	Workers int
	// Factory holds the key of every pin that was made. With it, any other pin that is registered is a finding. Without
	// it, nobody can tell whether an operator registered pins that were never made.
	Factory map[fact.PinID]fact.PublicKey
	// Unfinished says that the log was, or may have been, read while services still had facts to derive. Those that are
	// missing at its end are then counted and are no finding. A log that was cut there looks the same.
	Unfinished bool
	// Progress is called now and then, by one goroutine, with the number of facts that were checked so far.
	Progress func(facts uint64)
}

// Verify replays the log of the Games and reports everything that does not hold. It trusts neither the operators nor the
// services, only the keys of the pins and the rules that the log adopts:
//
//  1. The sequences go up by one from 1, every message can be decoded, and the first two are RulesAdopted and
//     TimePassed.
//  2. Every half, every step report and every proof of a pairing is signed with the key that was registered before it
//     for its pin. The challenge of the proof was made for that wearer of these Games. A half of a pin that was never
//     registered cannot be verified and must have been refused. A step report of such a pin has no effect, and none is
//     asked for.
//  3. No pin used one counter for two different statements.
//  4. Each of the three folds, run over the recorded facts of its input families in log order, derives the recorded
//     facts of its family, one for one and in that order. That holds the roster, the rules and the time to account.
//  5. The states that the folds end with hold together, and every half has one outcome.
//
// It goes over the messages once. Signatures are verified, and messages decoded, by as many workers as Options says; each
// fold has a goroutine of its own. In memory are the states of the folds and the counters, which grow with the log by
// some hundred bytes for each statement and friendship.
//
// Where the messages end with an error, the report covers what came before, with a finding of kind Unreadable. It is
// returned as an error too unless it lies in what was read: a *eventlog.DecodeError, or an archive that is cut or
// damaged. The other errors are those of the context and of games that cannot be.
func Verify(ctx context.Context, games string, messages iter.Seq2[eventlog.Message, error], o Options) (Report, error) {
	if err := eventlog.CheckGames(games); err != nil {
		return Report{Verdict: Broken, Findings: []Finding{}}, err
	}
	v := newVerifier(games, o)
	err := v.run(ctx, messages)
	if ctx.Err() == nil {
		v.end(err != nil)
	}
	report := v.report(err)
	if inLog(err) {
		err = nil
	}
	return report, err
}

// inLog reports whether what was read is at fault, and not the reading.
func inLog(err error) bool {
	_, decode := errors.AsType[*eventlog.DecodeError](err)
	return decode || errors.Is(err, ErrTruncated) || errors.Is(err, ErrChecksum) || errors.Is(err, ErrFormat)
}

// verifier holds what one Verify knows.
type verifier struct {
	games string
	Options
	out findings

	tap, rewards, steps *refold
	counters            counters

	// Of the ordered stage.
	counts       Report
	last         fact.Seq
	read         uint64
	keys         map[fact.PinID]*fact.PublicKey
	rosterBroken bool // a fact of the roster was not decoded: keys may be unknown for no fault of the statements
	unverifiable map[fact.Seq]keyless
}

// keyless is a statement of a pin that was not registered.
type keyless struct {
	pin     fact.PinID
	pairing bool // a half otherwise
}

func newVerifier(games string, o Options) *verifier {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verifier{
		games: games, Options: o, counters: counters{seen: map[counted]use{}},
		keys: map[fact.PinID]*fact.PublicKey{}, unverifiable: map[fact.Seq]keyless{},
	}
	v.tap, v.rewards, v.steps = newRefold(tap.Core{}, &v.out), newRefold(rewards.Core{}, &v.out), newRefold(steps.Core{}, &v.out)
	return v
}

func (v *verifier) folds() []*refold { return []*refold{v.tap, v.rewards, v.steps} }

// run lets the messages go through the stages: decoded by the pool; put in order; signatures verified by the pool, while
// each fold goes over them; and at last the counters, in order again. Every queue is bounded.
func (v *verifier) run(ctx context.Context, messages iter.Seq2[eventlog.Message, error]) error {
	var pool errgroup.Group
	pool.SetLimit(v.Workers)
	stages, ctx := errgroup.WithContext(ctx)
	decoding, signing := make(chan *run, 2*v.Workers), make(chan *run, 2*v.Workers)
	folding := make([]chan *run, len(v.folds()))
	for i, f := range v.folds() {
		folding[i] = make(chan *run, 2)
		stages.Go(func() error { return f.run(folding[i]) })
	}
	stages.Go(func() error { return v.order(ctx, &pool, decoding, append(slices.Clone(folding), signing)) })
	stages.Go(func() error { return v.collect(ctx, signing) })
	readErr := v.readAll(ctx, &pool, messages, decoding)
	close(decoding)
	err := stages.Wait()
	_ = pool.Wait() // its functions return nil
	return errors.Join(err, readErr)
}

// readAll cuts the messages into runs. It keeps copies of their payloads: a reader may use its buffers again.
func (v *verifier) readAll(ctx context.Context, pool *errgroup.Group, messages iter.Seq2[eventlog.Message, error], to chan<- *run) error {
	held := make([]eventlog.Message, 0, runSize)
	flush := func() error {
		if len(held) == 0 {
			return nil
		}
		c := newRun(held)
		held = make([]eventlog.Message, 0, runSize)
		pool.Go(func() error { c.decode(); return nil })
		return send(ctx, to, c)
	}
	for m, err := range messages {
		if err != nil {
			return errors.Join(flush(), err)
		}
		m.Payload = bytes.Clone(m.Payload)
		if held = append(held, m); len(held) == runSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func send(ctx context.Context, to chan<- *run, c *run) error {
	select {
	case to <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// order is the stage that sees all facts in their order. It looks up the keys for the signatures.
func (v *verifier) order(ctx context.Context, pool *errgroup.Group, from <-chan *run, to []chan *run) error {
	defer func() {
		for _, ch := range to {
			close(ch)
		}
	}()
	for c := range from {
		<-c.decoded
		for i := range c.messages {
			v.enter(c, i)
		}
		pool.Go(func() error { c.verify(v.games, &v.out); return nil })
		for _, ch := range to {
			if err := send(ctx, ch, c); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// collect is the last stage.
func (v *verifier) collect(ctx context.Context, from <-chan *run) error {
	var facts uint64
	for c := range from {
		<-c.signed
		v.counters.check(c, &v.out)
		facts += uint64(len(c.messages))
		if v.Progress != nil {
			v.Progress(facts)
		}
	}
	return ctx.Err()
}

// enter checks the place of a message, and what can be said of its fact by those before it.
func (v *verifier) enter(c *run, i int) {
	m := c.messages[i]
	v.read++
	v.counts.Facts++
	if next := v.last + 1; m.Seq < next {
		v.out.add(m.Seq, Sequence, "sequence "+next.String(), "sequence "+m.Seq.String()+" again or too late, of family "+string(m.Family))
		c.skip[i] = true
		return
	} else if m.Seq > next {
		v.out.add(next, Sequence, "sequence "+next.String(), "sequence "+m.Seq.String())
	}
	v.last = m.Seq
	v.checkBeginning(m.Seq, c.entries[i].Fact)
	if err := c.errs[i]; err != nil {
		v.out.add(m.Seq, Undecodable, "a fact of family "+string(m.Family), err.Error())
		v.rosterBroken = v.rosterBroken || m.Family == fact.Roster
		return
	}
	v.count(c.entries[i])
	c.keys[i] = v.keyFor(c.entries[i])
}

func (v *verifier) checkBeginning(seq fact.Seq, f fact.Fact) {
	var ok bool
	var expected string
	switch v.read {
	case 1:
		_, ok = f.(fact.RulesAdopted)
		expected = "RulesAdopted"
	case 2:
		_, ok = f.(fact.TimePassed)
		expected = "TimePassed"
	default:
		return
	}
	if !ok {
		v.out.add(seq, Beginning, expected, fmt.Sprintf("%T", f))
	}
}

// count counts the fact, and takes note of keys and refusals.
func (v *verifier) count(e fact.Entry) {
	switch f := e.Fact.(type) {
	case fact.HalfReported:
		v.counts.Halves++
	case fact.FriendshipFormed:
		v.counts.Friendships++
	case fact.MedalAwarded:
		v.counts.Medals++
	case fact.BackgroundUnlocked:
		v.counts.Backgrounds++
	case fact.HalfRefused:
		delete(v.unverifiable, f.Half)
	case fact.PinRegistered:
		v.register(e.Seq, f.Key)
	}
}

// register takes note of a pin's key. The first in the log wins, as in the roster.
func (v *verifier) register(seq fact.Seq, key fact.PublicKey) {
	id := key.PinID()
	if _, known := v.keys[id]; !known {
		v.keys[id] = &key
	}
	if weak(key) {
		v.out.add(seq, WeakKey, "a key for which only the pin can sign", "one of small order: pin "+id.String())
	}
	if made, known := v.Factory[id]; v.Factory != nil && (!known || made != key) {
		v.out.add(seq, InventedPin, "a pin of the factory's list", "another: pin "+id.String())
	}
}

// keyFor returns the key with which the fact is to be signed, or nil.
func (v *verifier) keyFor(e fact.Entry) *fact.PublicKey {
	var s keyless
	switch f := e.Fact.(type) {
	case fact.StepsReported:
		return v.keys[f.Report.Pin]
	case fact.HalfReported:
		s = keyless{pin: f.Half.Pin}
	case fact.PinPaired:
		s = keyless{pin: f.Proof.Pin, pairing: true}
	default:
		return nil
	}
	key := v.keys[s.pin]
	if key == nil && !v.rosterBroken {
		v.unverifiable[e.Seq] = s
	}
	return key
}

// end reports what can be said only behind the last fact. A log that could not be read to its end is unfinished.
func (v *verifier) end(cut bool) {
	if v.read < 2 && !cut {
		v.out.add(fact.Seq(v.read+1), Beginning, "RulesAdopted and TimePassed", fmt.Sprintf("a log of %d facts", v.read))
	}
	unfinished := v.Unfinished || cut
	checks := []func(view.Reader) error{
		v.checkTap, func(r view.Reader) error { return rewards.Check(r) }, func(r view.Reader) error { return steps.Check(r) },
	}
	for i, f := range v.folds() {
		missing, outstanding := f.missing(unfinished)
		f.end(v.last, missing, checks[i])
		v.counts.Outstanding += uint64(outstanding)
		if f == v.tap {
			v.endUnverifiable(missing)
		}
	}
}

// endUnverifiable reports the statements that have neither a key nor the refusal that the tap fold gives them.
func (v *verifier) endUnverifiable(missing []fact.Record) {
	unrefused := map[fact.Seq]bool{}
	for _, want := range missing {
		if f, ok := want.Fact.(fact.HalfRefused); ok {
			unrefused[f.Half] = true
		}
	}
	for seq, s := range v.unverifiable {
		if s.pairing || v.tap.done || unrefused[seq] {
			v.out.add(seq, Unverifiable, "a pin that was registered before, or a refusal", "neither: pin "+s.pin.String())
		}
	}
}

// checkTap checks the state of the tap fold, and that its outcomes add up to the halves that were read.
func (v *verifier) checkTap(r view.Reader) error {
	err := tap.Check(r)
	if t := tap.Totals(r); !v.tap.done && (t.Halves != t.Outcomes() || t.Halves != v.counts.Halves) {
		err = errors.Join(err, fmt.Errorf("tap: %d halves in the log, %d folded, %d with an outcome", v.counts.Halves, t.Halves, t.Outcomes()))
	}
	return err
}

// report returns the report of what was read until err.
func (v *verifier) report(err error) Report {
	if decode, ok := errors.AsType[*eventlog.DecodeError](err); ok {
		v.out.add(decode.Seq, Unreadable, "a message of a known family", err.Error())
	} else if err != nil {
		v.out.add(v.last+1, Unreadable, "the rest of the log", err.Error())
	}
	r := v.counts
	r.Findings, r.LeftOut = v.out.sorted()
	r.Verdict = Clean
	if len(r.Findings) > 0 {
		r.Verdict = Broken
	} else {
		r.Findings = []Finding{}
	}
	return r
}
