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
	"pinfold/internal/fold"
	"pinfold/internal/merkle"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// The verdicts.
const (
	// Clean: nothing was found.
	Clean = "clean"
	// Suspect: all that was found is what owners of pins can bring about within the rules of the log.
	Suspect = "suspect"
	// Broken: something was found that a correct gateway and correct services can never have written, or a checkpoint that
	// does not hold.
	Broken = "broken"
)

// Report is what Verify found. The numbers count what stands in the log. It is the same for the same log and options.
type Report struct {
	Verdict     string `json:"verdict"` // Clean, Suspect or Broken
	Facts       uint64 `json:"facts"`
	Halves      uint64 `json:"halves"`      // HalfReported
	Friendships uint64 `json:"friendships"` // FriendshipFormed
	Medals      uint64 `json:"medals"`      // MedalAwarded
	Backgrounds uint64 `json:"backgrounds"` // BackgroundUnlocked
	// RulesAdopted is how many times rules were adopted: once, where they never changed.
	RulesAdopted uint64 `json:"rules_adopted"`
	// Size and Root are what a checkpoint of this log says: how many facts were read, as they stand, and the root of their
	// tree, in JSON as base64; see package merkle.
	Size fact.Seq    `json:"size"`
	Root merkle.Hash `json:"root"`
	// Checkpoints is how many of the kept checkpoints hold, Views how many views of services are what the log folds to.
	Checkpoints uint64    `json:"checkpoints_hold,omitempty"`
	Views       uint64    `json:"views_equal,omitempty"`
	Findings    []Finding `json:"findings"` // those that break the log first, each by sequence; at most MaxFindings; never null
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
	// Rules are those that were published. With them, any others that the log adopts are a finding. Without them, an operator
	// can adopt others for as long as it takes to give an award.
	Rules []fact.Rules
	// Unfinished says that the log was, or may have been, read while services still had facts to derive. Those that are
	// missing at its end are then counted and are no finding. A log that was cut there looks the same.
	Unfinished bool
	// Epoch and Kept are what the archive, or the stream, says of the log: see Header. Without an epoch, the facts Restored
	// are held to the log alone.
	Epoch uint32
	Kept  fact.Seq
	// Checkpoints are those that the auditor kept, in any order. They must be of these Games.
	Checkpoints []merkle.Checkpoint
	// Views are what views of services were, any number of each, at sequences of this log.
	Views []ViewDigest
	// Scratch is the folder of temporary files; "" = that of os.TempDir. It should be on a disk: where it is in memory, so
	// are they.
	Scratch string
	// Progress is called now and then, by one goroutine, with the number of facts that were checked so far.
	Progress func(facts uint64)
}

// Verify replays the log of the Games and reports everything that does not hold. It trusts neither the operators nor the
// services, only the keys of the pins and the rules of Options, or else those that the log adopts:
//
//  1. The sequences go up by one from 1, every message can be decoded and holds nothing but its fact, and the first two are
//     RulesAdopted and TimePassed.
//  2. Every half, every step report and every proof of a pairing is signed with the key that was registered before it
//     for its pin. The challenge of the proof was made for that wearer of these Games. A half of a pin that was never
//     registered cannot be verified and must have been refused. A step report of such a pin has no effect, and none is
//     asked for.
//  3. No pin used one counter for two different statements.
//  4. Each of the three folds, run over the recorded facts of its input families in log order, derives the recorded
//     facts of its family, one for one and in that order. That holds the roster, the rules and the time to account.
//  5. The states that the folds end with hold together, and every half has one outcome.
//  6. The log begins with what each of the checkpoints was signed for, and is no shorter. These were signed for one log.
//  7. A restored log says so in one fact, behind what it kept, with the root of the tree over that; so did each log that
//     it was restored from.
//  8. The views of services were what the log folds to, up to their sequences.
//
// It goes over the messages once. Signatures are verified, and messages decoded, by as many workers as Options says; each
// fold has a goroutine of its own.
//
// The memory it takes does not grow with the log: some 100 MiB, and some 10 MiB for each worker. It grows by some hundred
// bytes for each pin, for each time that rules were adopted which were not published, and for each fact that services were
// still to derive at the worst point of the log; and by the findings, which are bounded. The states of the folds and the
// counters of the statements are in temporary files, some hundred bytes for each fact.
//
// Where the messages end with an error, the report covers what came before, with a finding of kind Unreadable. It is
// returned as an error too unless it lies in what was read: a *eventlog.DecodeError, or an archive that is cut or
// damaged. With the other errors, which are those of the context, of options and games that cannot be, and of temporary
// files, there is no report, only the zero one, without a verdict.
func Verify(ctx context.Context, games string, messages iter.Seq2[eventlog.Message, error], o Options) (Report, error) {
	v, err := newVerifier(games, o)
	if err != nil {
		return Report{}, err
	}
	defer v.close()
	readErr, err := v.run(ctx, messages)
	if err == nil {
		err = v.end(readErr != nil)
	}
	if err != nil {
		return Report{}, err
	}
	report := v.report(readErr)
	if InLog(readErr) {
		readErr = nil
	}
	return report, readErr
}

// InLog reports whether the error says that the log or archive that was read is at fault, and not the reading. A file that
// is no archive is not at fault.
func InLog(err error) bool {
	_, decode := errors.AsType[*eventlog.DecodeError](err)
	return decode || !errors.Is(err, ErrNoArchive) && (errors.Is(err, ErrTruncated) || errors.Is(err, ErrChecksum) || errors.Is(err, ErrFormat))
}

// verifier holds what one Verify knows.
type verifier struct {
	games string
	Options
	out findings

	tap      *refold
	folds    []*refold // tap's is the first
	counters counters

	// Of the ordered stage.
	tree         merkle.Edge
	kept         kept
	counts       Report
	last         fact.Seq
	read         uint64
	lastStored   fact.UnixMilli // the latest at which a fact was stored
	unpublished  []unpublished
	restored     uint32 // the epoch of the last Restored
	keys         map[fact.PinID]*fact.PublicKey
	rosterBroken bool                    // a fact of the roster was not decoded: keys may be unknown for no fault of the statements
	unverifiable map[fact.Seq]fact.PinID // halves of pins that were not registered, until they are refused
}

// newVerifier opens the scratch files, which close closes.
func newVerifier(games string, o Options) (*verifier, error) {
	if err := eventlog.CheckGames(games); err != nil {
		return nil, err
	}
	if err := checkServices(o.Views); err != nil {
		return nil, err
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verifier{
		games: games, Options: o, counters: counters{dir: o.Scratch, max: maxHeldUses},
		keys: map[fact.PinID]*fact.PublicKey{}, unverifiable: map[fact.Seq]fact.PinID{},
	}
	var err error
	if v.kept, err = newKept(games, o.Checkpoints, &v.out); err != nil {
		return nil, err
	}
	if err := v.openFolds(); err != nil {
		v.close()
		return nil, err
	}
	v.tap = v.folds[0]
	return v, nil
}

// openFolds opens the refolds: of every fold that derives something, and of the gateway's if a view of it is compared.
func (v *verifier) openFolds() error {
	cores := []struct {
		core  fold.Core
		check func(view.Reader) error
	}{
		{tap.Core{}, v.checkTap},
		{rewards.Core{}, func(r view.Reader) error { return rewards.Check(r) }},
		{steps.Core{}, func(r view.Reader) error { return steps.Check(r) }},
		{gateway.Core{}, nil},
	}
	for _, c := range cores {
		if c.core.Derives() == "" && len(viewsOf(c.core.Name(), v.Views)) == 0 {
			continue
		}
		r, err := newRefold(c.core, v.Options, c.check, &v.out)
		if err != nil {
			return err
		}
		v.folds = append(v.folds, r)
	}
	return nil
}

// close removes the scratch files. What cannot be removed is left to the system.
func (v *verifier) close() {
	for _, f := range v.folds {
		_ = f.view.Close()
	}
	_ = v.counters.close()
}

// run lets the messages go through the stages: decoded by the pool; put in order; signatures verified by the pool, while
// each fold goes over them; and at last the counters, in order again. Every queue is bounded. The first error is that of
// the messages, the other one the context's or that of a temporary file.
func (v *verifier) run(parent context.Context, messages iter.Seq2[eventlog.Message, error]) (readErr, err error) {
	var pool errgroup.Group
	pool.SetLimit(v.Workers)
	stages, ctx := errgroup.WithContext(parent)
	decoding, signing := make(chan *run, 2*v.Workers), make(chan *run, 2*v.Workers)
	folding := make([]chan *run, len(v.folds))
	for i, f := range v.folds {
		folding[i] = make(chan *run, 2)
		stages.Go(func() error { return f.run(folding[i]) })
	}
	stages.Go(func() error { return v.order(ctx, &pool, decoding, append(slices.Clone(folding), signing)) })
	stages.Go(func() error { return v.collect(ctx, signing) })
	readErr = v.readAll(ctx, &pool, messages, decoding)
	close(decoding)
	err = stages.Wait()
	_ = pool.Wait() // its functions return nil
	if err == nil {
		err = parent.Err()
	}
	return readErr, err
}

// readAll cuts the messages into runs. It keeps copies of their payloads: a reader may use its buffers again.
func (v *verifier) readAll(ctx context.Context, pool *errgroup.Group, messages iter.Seq2[eventlog.Message, error], to chan<- *run) error {
	held, bytesHeld := make([]eventlog.Message, 0, runSize), 0
	flush := func() error {
		if len(held) == 0 {
			return nil
		}
		c := newRun(held)
		held, bytesHeld = make([]eventlog.Message, 0, runSize), 0
		pool.Go(func() error { c.decode(); return nil })
		return send(ctx, to, c)
	}
	for m, err := range messages {
		if err != nil {
			return errors.Join(flush(), err)
		}
		m.Payload = bytes.Clone(m.Payload)
		bytesHeld += len(m.Payload)
		if held = append(held, m); len(held) == runSize || bytesHeld >= runBytes {
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
	v.kept.compare(&v.tree)
	for c := range from {
		<-c.decoded
		for i := range c.messages {
			v.checkRestored(c.messages[i].Seq, c.entries[i].Fact)
			v.tree.Add(c.leaves[i])
			v.kept.compare(&v.tree)
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
		if err := v.counters.add(c); err != nil {
			return err
		}
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
	v.lastStored = max(v.lastStored, m.Stored)
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
	if n := c.surplus[i]; n != 0 {
		v.out.add(m.Seq, Surplus, "a message that holds its fact and nothing else", fmt.Sprintf("%d bytes more", n))
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

// checkRestored holds the fact, the next one behind the tree so far, to where a Restored is to stand.
func (v *verifier) checkRestored(seq fact.Seq, f fact.Fact) {
	here := v.Kept != 0 && seq == v.Kept+1
	r, is := f.(fact.Restored)
	if !is {
		if here {
			v.out.add(seq, RestoredDiffers, v.restoredHere(v.Kept), fmt.Sprintf("%T", f))
		}
		return
	}
	switch {
	case r.Kept+1 != seq || merkle.Hash(r.Root) != v.tree.Root():
		v.out.add(seq, RestoredDiffers, v.restoredHere(seq-1), describe(r))
	case here && r.Epoch != v.Epoch:
		v.out.add(seq, RestoredDiffers, fmt.Sprintf("epoch %d", v.Epoch), fmt.Sprintf("epoch %d", r.Epoch))
	case v.Epoch != 0 && (seq > v.Kept+1 || !here && r.Epoch >= v.Epoch):
		v.out.add(seq, RestoredDiffers, fmt.Sprintf("no Restored here: the log is epoch %d and kept %d facts", v.Epoch, v.Kept), describe(r))
	case r.Epoch <= v.restored:
		v.out.add(seq, RestoredDiffers, fmt.Sprintf("an epoch above %d", v.restored), fmt.Sprintf("epoch %d", r.Epoch))
	}
	v.restored = max(v.restored, r.Epoch)
}

// restoredHere says what Restored is to stand behind so many facts, those of the tree.
func (v *verifier) restoredHere(kept fact.Seq) string {
	return fmt.Sprintf("Restored of %d facts with the root %v", kept, v.tree.Root())
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
	case fact.RulesAdopted:
		v.adopt(e.Seq, f.Rules)
	}
}

// register takes note of a pin's key. The first in the log wins, as in the roster.
func (v *verifier) register(seq fact.Seq, key fact.PublicKey) {
	id := key.PinID()
	if _, known := v.keys[id]; !known {
		v.keys[id] = &key
	}
	if statement.SmallOrder(key) {
		v.out.add(seq, WeakKey, "a key for which only the pin can sign", "one of small order: pin "+id.String())
	}
	if made, known := v.Factory[id]; v.Factory != nil && (!known || made != key) {
		v.out.add(seq, InventedPin, "a pin of the factory's list", "another: pin "+id.String())
	}
}

// unpublished are rules that were adopted at a sequence, and are no published ones for a log that comes up to an instant.
type unpublished struct {
	adopted fact.Seq
	from    fact.UnixMilli
	differ  string // in what
}

// adopt takes note of rules. Whether a zone differs is known at the end of the log: see rules.Same.
func (v *verifier) adopt(seq fact.Seq, r fact.Rules) {
	v.counts.RulesAdopted++
	var other unpublished
	for _, p := range v.Rules {
		from, differ := rules.DifferFrom(p, r)
		if !differ {
			return
		}
		if other.adopted == 0 || from >= other.from { // of several, those that are published for longest, or last
			other = unpublished{seq, from, differing(p, r)}
		}
	}
	if other.adopted != 0 {
		v.unpublished = append(v.unpublished, other)
	}
}

func (v *verifier) endRules() {
	for _, o := range v.unpublished {
		if v.lastStored >= o.from {
			v.out.add(o.adopted, OtherRules, "rules that were published", "others: "+o.differ)
		}
	}
}

// maxUnverifiable bounds how many halves without a key are remembered until they are refused. Of the others, a refusal that
// never comes is found missing.
const maxUnverifiable = 50_000

// keyFor returns the key with which the fact is to be signed, or nil.
func (v *verifier) keyFor(e fact.Entry) *fact.PublicKey {
	switch f := e.Fact.(type) {
	case fact.StepsReported:
		return v.keys[f.Report.Pin]
	case fact.HalfReported:
		key := v.keys[f.Half.Pin]
		if key == nil && !v.rosterBroken && len(v.unverifiable) < maxUnverifiable {
			v.unverifiable[e.Seq] = f.Half.Pin
		}
		return key
	case fact.PinPaired:
		key := v.keys[f.Proof.Pin]
		if key == nil && !v.rosterBroken {
			v.reportUnverifiable(e.Seq, f.Proof.Pin)
		}
		return key
	}
	return nil
}

func (v *verifier) reportUnverifiable(seq fact.Seq, pin fact.PinID) {
	v.out.add(seq, Unverifiable, "a pin that was registered before, or a refusal", "neither: pin "+pin.String())
}

// end reports what can be said only behind the last fact. A log that could not be read to its end is unfinished. The error
// is that of a temporary file.
func (v *verifier) end(cut bool) error {
	if v.read < 2 && !cut {
		v.out.add(fact.Seq(v.read+1), Beginning, "RulesAdopted and TimePassed", fmt.Sprintf("a log of %d facts", v.read))
	}
	if v.Epoch > 1 && v.Kept == 0 {
		v.out.add(1, RestoredDiffers, "how many facts it kept, of a log of a later epoch than the first", "none")
	}
	if v.Kept != 0 && v.last <= v.Kept && !cut {
		v.out.add(v.last+1, RestoredDiffers, v.restoredHere(v.Kept), fmt.Sprintf("the end of the log at sequence %d", v.last))
	}
	v.endRules()
	v.kept.end(&v.tree, cut)
	for _, f := range v.folds {
		missing, outstanding := f.missing(v.Unfinished || cut)
		v.counts.Outstanding += uint64(outstanding)
		if f == v.tap {
			v.endUnverifiable(missing)
		}
		if err := errors.Join(f.endViews(v.last, cut), f.end(v.last, missing)); err != nil {
			return fmt.Errorf("audit: %s: %w", f.core.Name(), err)
		}
		v.counts.Views += f.equal
	}
	return v.counters.report(&v.out)
}

// endUnverifiable reports the halves that have neither a key nor the refusal that the tap fold gives them.
func (v *verifier) endUnverifiable(missing []fact.Record) {
	unrefused := map[fact.Seq]bool{}
	for _, want := range missing {
		if f, ok := want.Fact.(fact.HalfRefused); ok {
			unrefused[f.Half] = true
		}
	}
	for seq, pin := range v.unverifiable {
		if v.tap.done || unrefused[seq] {
			v.reportUnverifiable(seq, pin)
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
	r.Size, r.Root, r.Checkpoints = v.tree.Size(), v.tree.Root(), v.kept.hold
	r.Findings, r.LeftOut = v.out.sorted()
	if r.Verdict = Clean; len(r.Findings) > 0 {
		r.Verdict = r.Findings[0].Verdict
	} else {
		r.Findings = []Finding{}
	}
	return r
}
