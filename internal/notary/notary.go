// Package notary keeps the Merkle tree of a log as it grows, signs checkpoints of it, and knows where the evidence of
// each award stands in it.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// Config says what a Notary keeps, and where.
type Config struct {
	Games  string
	Log    eventlog.Log
	Logger *slog.Logger
	// Tree opens the tree and the index of the evidence, which the notary closes. They are a cache of the log: they can be
	// deleted and are rebuilt. It is called again as long as it fails.
	Tree func() (view.Store, error)
	// Signed keeps what was signed. It is no cache: without it, nothing holds this notary to what it once said.
	Signed view.Store
	// Keys is the list of the keys of all notaries of the log.
	Keys List
	// Key is the private key, as merkle.GenerateKey makes one. No other notary has the same.
	Key string
	// Every is how many facts there are from one checkpoint that is signed unasked to the next; at least 1.
	Every fact.Seq
	// Confirm is how far apart the log must have said twice that it ends before what was signed.
	Confirm time.Duration
}

// Notary follows one log. Any number of them, with a key for each, may follow the same log: they come to the same tree, and
// hold theirs against what the others signed.
//
// It holds itself to what it signed: the newest checkpoint is durable in Signed before anybody sees it. A log that does
// not begin with the facts of that checkpoint, because it was rewritten, or restored from a copy that is older, is a
// *fold.MisfitError, and nothing is signed of it.
type Notary struct {
	Config
	signer note.Signer
	public string
	name   string // of the key in the list
	epoch  uint32 // of the log

	signing sync.Mutex // held while a checkpoint is signed and kept: the newest one never goes back

	at eventlog.Position // of the last fact that the tree and the index hold; of follow

	opened sync.RWMutex // held for reading while the tree is looked at
	tree   view.Store   // nil = it is not open

	mu    sync.Mutex
	state state
	moved chan struct{} // closed and replaced when the state changes
	hurry chan struct{} // holds one token while somebody waits
}

// state is what others see of a Notary.
type state struct {
	at     fact.Seq // how many facts the tree holds
	size   fact.Seq // how many of them are shown: none before they fit what was signed
	signed fact.Seq // of the newest checkpoint
	paused error    // why the tree cannot grow; nil = it can
	unkept error    // why what is due was not signed; nil = it was
	standing
	listed []Listed
}

// Open checks that what was signed fits the log.
func Open(ctx context.Context, c Config) (*Notary, error) {
	signer, public, err := merkle.NewSigner(c.Key, c.Games)
	if err != nil {
		return nil, err
	}
	name, err := merkle.KeyName(public)
	if err != nil {
		return nil, err
	}
	if c.Every == 0 {
		return nil, errors.New("notary: a checkpoint every 0 facts: want 1 or more")
	}
	n := &Notary{
		Config: c, signer: signer, public: public, name: name, moved: make(chan struct{}), hurry: make(chan struct{}, 1),
	}
	return n, n.remember(ctx)
}

// PublicKey returns the key that checkpoints are signed with, as package note writes one.
func (n *Notary) PublicKey() string { return n.public }

// Close closes the tree of a Notary that does not run any more.
func (n *Notary) Close() error {
	n.opened.Lock()
	defer n.opened.Unlock()
	if n.tree == nil {
		return nil
	}
	tree := n.tree
	n.tree = nil
	return tree.Close()
}

// now returns the state, and what is closed when there is another.
func (n *Notary) now() (state, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state, n.moved
}

func (n *Notary) change(f func(s *state)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.state)
	close(n.moved)
	n.moved = make(chan struct{})
}

// Size returns how many facts the tree holds; 0 until it is known to fit what was signed.
func (n *Notary) Size() fact.Seq { s, _ := n.now(); return s.size }

// At returns how many facts the tree holds, shown or not.
func (n *Notary) At() fact.Seq { s, _ := n.now(); return s.at }

// PausedError says that the tree cannot be asked, cannot grow, or that nothing is signed, for now.
type PausedError struct {
	Reason string
}

func (e *PausedError) Error() string { return e.Reason }

// View runs f on the tree and the index of the evidence. It is a *PausedError while they are not open.
func (n *Notary) View(f func(kv.Reader) error) error {
	n.opened.RLock()
	defer n.opened.RUnlock()
	if n.tree == nil {
		return &PausedError{Reason: "the Merkle tree is not open"}
	}
	return n.tree.View(func(r view.Reader) error { return f(r) })
}

// Wait hurries the notary, and returns when the tree holds that many facts and fits what was signed, with a *PausedError
// if it cannot grow so far now, or with the context's error.
func (n *Notary) Wait(ctx context.Context, size fact.Seq) error {
	for {
		now, moved := n.now()
		switch {
		case now.size >= size:
			return nil
		case now.paused != nil:
			return &PausedError{Reason: fmt.Sprintf("the Merkle tree holds %d facts, of the %d that are asked for, and cannot grow: %v", now.at, size, now.paused)}
		}
		select {
		case n.hurry <- struct{}{}:
		default: // it knows
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run follows the log and the list of keys until the context ends, which is no error, or until it must not go on: a fact
// cannot be understood, the log was replaced, it is not the one that was signed for (*fold.MisfitError), or the key may not
// be used (*KeyError).
func (n *Notary) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.keepTree(ctx) })
	group.Go(func() error { return n.keepStanding(ctx) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	return nil
}

// How the log is read. Facts that come within a pause go into the tree with one write of the file, unless they are very
// many or somebody waits for them: the disk is the log's. A failed reading is tried again after a pause that doubles up to
// the longest.
const (
	maxRead      = 8192 // facts
	pause        = time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
)

// keepTree lets the tree grow with the log. While its file fails, which is a cache, the tree is paused and all else goes on.
func (n *Notary) keepTree(ctx context.Context) error {
	for failures := 0; ; failures++ {
		before := n.at.Seq
		err := n.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that was the end of it
		}
		if final(err) {
			return err
		}
		if n.at.Seq > before {
			failures = 0
		}
		if damaged, ok := errors.AsType[*view.DamagedError](err); ok {
			err = errors.Join(err, n.dropTree(damaged))
		}
		n.tellPaused(err, failures)
		if !sleep(ctx, min(firstPause<<min(failures, 10), longestPause)) {
			return nil
		}
	}
}

// tellPaused says why the tree does not grow: of its file once for each time that it stops.
func (n *Notary) tellPaused(err error, failures int) {
	if !errors.Is(err, errTree) {
		if eventlog.Noteworthy(failures) {
			n.Logger.Warn("following the log for the Merkle tree failed, trying again", "failures", failures+1, "error", err)
		}
		return
	}
	if now, _ := n.now(); now.paused == nil {
		n.Logger.Error("the Merkle tree cannot grow, trying again", "error", err)
	}
	n.change(func(s *state) { s.paused = err })
}

// final reports whether trying again would not help, or make it worse.
func final(err error) bool {
	_, misfit := errors.AsType[*fold.MisfitError](err)
	_, key := errors.AsType[*KeyError](err)
	return misfit || key || eventlog.Final(err) || errors.Is(err, errSigned)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *Notary) follow(ctx context.Context) error {
	if err := n.resume(); err != nil {
		return err
	}
	reader, err := n.Log.Read(ctx, n.at)
	if rewritten, ok := errors.AsType[*eventlog.RewrittenError](err); ok {
		return misfit("%s", rewritten.Reason)
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := n.settle(n.at.Seq); err != nil {
		return err
	}
	for {
		messages, err := n.gather(ctx, reader)
		if err != nil {
			return err
		}
		if err := reader.Err(); err != nil { // the log may have lost them since
			return err
		}
		if err := n.enter(messages); err != nil {
			return err
		}
	}
}

// gather returns the facts that come within a pause after the next one: at most maxRead of them, and sooner once somebody
// waits. Behind a backlog these are maxRead, at once.
func (n *Notary) gather(ctx context.Context, reader eventlog.Reader) ([]eventlog.Message, error) {
	first, err := reader.Next(ctx, maxRead)
	if err != nil {
		return nil, err
	}
	messages := slices.Clip(first) // what is behind it may be the reader's
	gathering, end := context.WithTimeout(ctx, pause)
	defer end()
	go func() {
		select {
		case <-n.hurry:
			end()
		case <-gathering.Done():
		}
	}()
	for len(messages) < maxRead {
		more, err := reader.Next(gathering, maxRead-len(messages))
		if err != nil {
			return messages, ctx.Err() // one of the reader's comes again at the next call
		}
		messages = append(messages, more...)
	}
	return messages, nil
}

// enter adds the facts to the tree and the index, and signs the checkpoints that are due.
func (n *Notary) enter(messages []eventlog.Message) error {
	leaves := make([]merkle.Hash, len(messages))
	for i, m := range messages {
		if want := n.at.Seq + fact.Seq(i) + 1; m.Seq != want {
			return fmt.Errorf("%w: sequence %d follows %d", eventlog.ErrGap, m.Seq, want-1)
		}
		leaf, err := merkle.Leaf(m)
		if err != nil {
			return err
		}
		leaves[i] = leaf
	}
	at := messages[len(messages)-1].Position(n.epoch)
	var bad error
	err := n.tree.Update(func(tx kv.Tx) error {
		for _, m := range messages {
			if bad = evidence.Enter(tx, m); bad != nil {
				return bad
			}
		}
		putPosition(tx, at)
		return merkle.Append(tx, leaves...)
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errTree, err)
	}
	n.at = at
	return n.settle(n.at.Seq)
}
