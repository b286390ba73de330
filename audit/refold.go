package audit

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// refold runs one core again over the recorded facts of its input families, and compares what it derives with what is
// recorded. Recorded facts go on being the input, so one tampered fact is found once and not in all that rests on it.
//
// The view of the core is a scratch file. In memory is what is outstanding, and up to maxHeld of what is wrong.
type refold struct {
	core  fold.Core
	acts  map[fact.Family]bool
	view  *view.Bolt
	check func(view.Reader) error // of the state at the end; nil = none
	out   *findings
	done  bool         // it was stopped
	views []ViewDigest // yet to be compared, by sequence
	equal uint64       // how many were

	// Derived and not met yet, in ascending order of (cause, index). They are met after the shift was taken off.
	queue []fact.Record
	shift fact.Seq                              // what recorded causes are too high by, modulo 2^64
	late  map[fact.Derivation]fact.Record       // passed over: missing, unless they still come
	early map[fact.Derivation][sha256.Size]byte // recorded before their causes: the hash of what was, which may be long
}

// maxHeld bounds how many facts are remembered that came too late or too early, each of which is a finding.
const maxHeld = 50_000

// maxFolded is how many facts a core steps over in one transaction: the more there are, the fewer pages are written
// twice, and the more of them are in memory until then.
const maxFolded = 2048

// maxSearch bounds how far behind the next expected fact one is looked for that says the same with another cause, so
// that a log that is wrong all over does not take for ever.
const maxSearch = 256

// newRefold opens the scratch file of a core in the folder.
func newRefold(core fold.Core, o Options, check func(view.Reader) error, out *findings) (*refold, error) {
	store, err := view.OpenScratch(o.Scratch)
	if err != nil {
		return nil, err
	}
	r := &refold{
		core: core, acts: map[fact.Family]bool{}, view: store, check: check, out: out, views: viewsOf(core.Name(), o.Views),
		late: map[fact.Derivation]fact.Record{}, early: map[fact.Derivation][sha256.Size]byte{},
	}
	for _, f := range core.ActsOn() {
		r.acts[f] = true
	}
	return r, nil
}

// inlet hands out the messages of runs one by one, without those that are out of place.
type inlet struct {
	runs <-chan *run
	run  *run
	i    int
}

// peek finds the next message, which is the i-th of the run, and reports whether there is one.
func (in *inlet) peek() bool {
	for {
		if in.run != nil {
			for ; in.i < len(in.run.messages); in.i++ {
				if !in.run.skip[in.i] {
					return true
				}
			}
		}
		in.run, in.i = <-in.runs, 0
		if in.run == nil {
			return false
		}
	}
}

func (in *inlet) seq() fact.Seq { return in.run.messages[in.i].Seq }

// run folds the runs of messages that come, and compares views in between. The error is the scratch file's.
func (r *refold) run(runs <-chan *run) error {
	in := inlet{runs: runs}
	for in.peek() {
		err := r.compareViews(in.seq())
		if err == nil {
			err = r.view.Update(func(tx kv.Tx) error { r.transact(tx, &in); return nil })
		}
		if err != nil {
			return fmt.Errorf("audit: %s: %w", r.core.Name(), err)
		}
	}
	return nil
}

// transact folds the next messages, as many as a transaction holds, or up to the next view that is to be compared.
func (r *refold) transact(tx kv.Tx, in *inlet) {
	for folded := 0; folded < maxFolded && in.peek(); in.i++ {
		if len(r.views) > 0 && r.views[0].Seq < in.seq() {
			return
		}
		if r.fold(tx, in.run, in.i) {
			folded++
		}
	}
}

// fold meets or steps over a message, and reports whether the core acted on it.
func (r *refold) fold(tx kv.Tx, c *run, i int) bool {
	m := c.messages[i]
	own, acts := m.Family == r.core.Derives(), r.acts[m.Family]
	switch {
	case r.done || !own && !acts:
		return false
	case c.errs[i] != nil && acts:
		r.done = true
		r.out.add(m.Seq, FoldStopped, "facts of family "+string(m.Family)+" that can be decoded",
			"one that cannot: what "+r.core.Name()+" derived was not checked from here on")
		return false
	case c.errs[i] != nil:
		r.forgive()
		return false
	}
	if own {
		r.compare(c.entries[i])
	}
	if acts {
		r.derive(m.Seq, r.core.Step(tx, c.entries[i]))
	}
	return acts
}

// derive expects the facts that follow from the cause, but for those that stood in the log before it.
func (r *refold) derive(cause fact.Seq, facts []fact.Fact) {
	for i, f := range facts {
		d := fact.Derivation{Cause: cause, Index: uint32(i), Count: uint32(len(facts))}
		record := fact.Record{Fact: f, Derivation: d}
		if before, found := r.early[d]; found && before == hashOf(f) {
			delete(r.early, d) // a finding already
			continue
		}
		r.queue = append(r.queue, record)
	}
}

// hashOf returns a hash that tells facts apart.
func hashOf(f fact.Fact) [sha256.Size]byte { return sha256.Sum256([]byte(describe(f))) }

// forgive lets the fact that is expected next be the one that cannot be decoded, which is a finding already.
func (r *refold) forgive() {
	if len(r.queue) > 0 {
		r.queue = r.queue[1:]
	}
}

// compare meets a recorded fact. The cases are tried in this order, from the one that blames least:
//
//  1. It is the one expected next, or one further behind: those between are late.
//  2. It is one that is late: it was moved.
//  3. It says what an expected one says, with another cause: facts were taken out or put in before it.
//  4. An expected or late one has its derivation: it was changed.
//  5. Nothing led to it.
func (r *refold) compare(e fact.Entry) {
	got := r.shifted(e.Record)
	if len(r.queue) > 0 && r.queue[0] == got {
		r.queue = r.queue[1:]
		return
	}
	i, expected := r.search(got.Derivation)
	if expected && r.queue[i] == got {
		r.pass(i)
		return
	}
	if want, late := r.late[got.Derivation]; late && want == got {
		delete(r.late, got.Derivation)
		r.out.add(e.Seq, Moved, describeRecord(want)+", further ahead", "it here")
		return
	}
	window := r.queue[:min(len(r.queue), maxSearch)]
	if j := slices.IndexFunc(window, func(want fact.Record) bool { return alike(want, e.Record) }); j >= 0 {
		r.adjust(e, window[j])
		r.pass(j)
		return
	}
	if expected { // those before it may still come: what is forged need not stand in its place
		r.out.add(e.Seq, Changed, describeRecord(r.queue[i]), describeRecord(e.Record))
		r.queue = slices.Delete(r.queue, i, i+1)
		return
	}
	r.unexpected(e, got)
}

// search returns where in the queue the fact of that cause and index stands, and whether it does.
func (r *refold) search(d fact.Derivation) (int, bool) {
	return slices.BinarySearchFunc(r.queue, d, func(want fact.Record, d fact.Derivation) int {
		return cmp.Or(cmp.Compare(want.Derivation.Cause, d.Cause), cmp.Compare(want.Derivation.Index, d.Index))
	})
}

// pass meets the i-th of the expected facts. Those before it are late.
func (r *refold) pass(i int) {
	for _, want := range r.queue[:i] {
		if len(r.late) >= maxHeld {
			r.giveUp()
		}
		r.late[want.Derivation] = want
	}
	r.queue = r.queue[i+1:]
}

// giveUp takes those that are late as missing. One that still comes is then taken as extra.
func (r *refold) giveUp() {
	for _, want := range r.late {
		r.reportMissing(want)
	}
	clear(r.late)
}

func (r *refold) reportMissing(want fact.Record) {
	r.out.add(want.Derivation.Cause, Missing, describeRecord(want), "it nowhere")
}

// adjust takes note of a new shift.
func (r *refold) adjust(e fact.Entry, want fact.Record) {
	r.shift = e.Derivation.Cause - want.Derivation.Cause
	r.out.add(e.Seq, Shifted, describeRecord(want), fmt.Sprintf("it with cause %d, %+d off, as it will be from here on",
		e.Derivation.Cause, int64(r.shift)))
}

// unexpected reports a fact that is not expected.
func (r *refold) unexpected(e fact.Entry, got fact.Record) {
	if want, found := r.late[got.Derivation]; found {
		delete(r.late, got.Derivation)
		r.out.add(e.Seq, Changed, describeRecord(want)+", further ahead", describeRecord(e.Record))
		return
	}
	expected := fmt.Sprintf("only what sequence %d leads to, once", e.Derivation.Cause)
	if got.Derivation.Cause >= e.Seq {
		expected = "only facts whose causes stand before them"
		if len(r.early) < maxHeld { // of the others, what their causes lead to is found missing
			r.early[got.Derivation] = hashOf(got.Fact)
		}
	}
	r.out.add(e.Seq, Extra, expected, describeRecord(e.Record))
}

// shifted returns the record as it would be without the shift. What a fact says of earlier sequences is shifted only if
// it is behind the place where the shift began, which the expected fact tells.
func (r *refold) shifted(got fact.Record) fact.Record {
	if r.shift == 0 {
		return got
	}
	plain := got
	plain.Derivation.Cause -= r.shift
	if i, expected := r.search(plain.Derivation); expected && alike(r.queue[i], got) {
		return r.queue[i]
	}
	return plain
}

// alike reports whether two records differ in nothing but sequences, and those by what their causes differ, or not.
func alike(want, got fact.Record) bool {
	shift := got.Derivation.Cause - want.Derivation.Cause
	if got.Derivation.Index != want.Derivation.Index || got.Derivation.Count != want.Derivation.Count {
		return false
	}
	near := func(want fact.Seq, got *fact.Seq) {
		if *got == want+shift {
			*got = want
		}
	}
	switch w := want.Fact.(type) {
	case fact.FriendshipFormed:
		if g, ok := got.Fact.(fact.FriendshipFormed); ok {
			near(w.Mate, &g.Mate)
			return g == w
		}
	case fact.FriendshipEnded:
		if g, ok := got.Fact.(fact.FriendshipEnded); ok {
			near(w.Friendship, &g.Friendship)
			return g == w
		}
	case fact.HalfRefused:
		if g, ok := got.Fact.(fact.HalfRefused); ok {
			near(w.Half, &g.Half)
			return g == w
		}
	}
	return got.Fact == want.Fact
}

// missing returns what was derived and never came. Where the log is unfinished, what stands behind the last recorded fact
// of the family may still come, and is outstanding. Of a fold that was stopped, nobody knows what would have come.
func (r *refold) missing(unfinished bool) (missing []fact.Record, outstanding int) {
	missing = slices.Collect(maps.Values(r.late))
	switch {
	case r.done:
		return missing, 0
	case unfinished:
		return missing, len(r.queue)
	}
	return append(missing, r.queue...), 0
}

// end reports what is missing, and checks the state. The error is the scratch file's.
func (r *refold) end(last fact.Seq, missing []fact.Record) error {
	for _, want := range missing {
		r.reportMissing(want)
	}
	if r.check == nil {
		return nil
	}
	return r.view.View(func(at view.Reader) error {
		for _, err := range errorsOf(r.check(at)) {
			r.out.add(last, Inconsistent, "a state of "+r.core.Name()+" that holds together", err.Error())
		}
		return nil
	})
}

// errorsOf takes joined errors apart.
func errorsOf(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, errorsOf(e)...)
	}
	return all
}
