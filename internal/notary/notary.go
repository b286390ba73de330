// Package notary keeps the Merkle tree of a log as it grows, signs checkpoints of it, and knows where the evidence of
// each award stands in it.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

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
	// Tree keeps the tree and the index of the evidence. It is a cache of the log: it can be deleted and is rebuilt.
	Tree view.Store
	// Signed keeps what was signed. It is no cache: without it, nothing holds this notary to what it once said.
	Signed view.Store
	// Key is the private key, as merkle.GenerateKey makes one.
	Key string
	// Every is how many facts there are from one checkpoint that is signed unasked to the next; at least 1.
	Every fact.Seq
}

// Notary follows one log. Any number of them, with a key each or one key for all, may follow the same log: they come to
// the same tree.
//
// It holds itself to what it signed: the newest checkpoint is durable in Signed before anybody sees it. A log that does
// not begin with the facts of that checkpoint, because it was rewritten, or restored from a copy that is older, is a
// *fold.MisfitError, and nothing is signed of it.
type Notary struct {
	Config
	signer note.Signer
	public string

	signing sync.Mutex // held while a checkpoint is signed and kept: the newest one never goes back

	at eventlog.Position // of the last fact that the tree and the index hold; of Open, and then of Run

	shownAt atomic.Uint64 // at, for others

	mu    sync.Mutex
	size  fact.Seq // how many of them are shown: none before they fit what was signed
	moved chan struct{}

	hurry chan struct{} // holds one token while somebody waits
}

// Open checks that the tree and what was signed fit the log.
func Open(ctx context.Context, c Config) (*Notary, error) {
	signer, public, err := merkle.NewSigner(c.Key, c.Games)
	if err != nil {
		return nil, err
	}
	if c.Every == 0 {
		return nil, errors.New("notary: a checkpoint every 0 facts: want 1 or more")
	}
	n := &Notary{Config: c, signer: signer, public: public, moved: make(chan struct{}), hurry: make(chan struct{}, 1)}
	if err := n.fits(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// PublicKey returns the key that checkpoints are signed with, as package note writes one.
func (n *Notary) PublicKey() string { return n.public }

// Size returns how many facts the tree holds; 0 until it is known to fit what was signed.
func (n *Notary) Size() fact.Seq {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.size
}

// At returns how many facts the tree holds, shown or not.
func (n *Notary) At() fact.Seq { return fact.Seq(n.shownAt.Load()) }

// View runs f on the tree and the index of the evidence.
func (n *Notary) View(f func(kv.Reader) error) error {
	return n.Tree.View(func(r view.Reader) error { return f(r) })
}

// Wait hurries the notary, and returns when the tree holds that many facts and fits what was signed, or with the context's error.
func (n *Notary) Wait(ctx context.Context, size fact.Seq) error {
	for {
		n.mu.Lock()
		reached, moved := n.size >= size, n.moved
		n.mu.Unlock()
		if reached {
			return nil
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

// How the log is read. Facts that come within a pause go into the tree with one write of the file, unless they are very
// many or somebody waits for them: the disk is the log's. A failed reading is tried again after a pause that doubles up to
// the longest.
const (
	maxRead      = 8192 // facts
	pause        = time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
)

// Run follows the log until the context ends, which is no error, or until the log cannot be followed any more: a fact
// cannot be understood, the log was replaced, or it is not the one that was signed for.
func (n *Notary) Run(ctx context.Context) error {
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		before := n.at.Seq
		err := n.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that was the end of it
		}
		if fatal(err) {
			return fmt.Errorf("notary: %w", err)
		}
		if n.at.Seq > before {
			wait = firstPause
		}
		n.Logger.Warn("following the log for the Merkle tree failed, trying again", "error", err)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// fatal reports whether trying again would not help, or make it worse.
func fatal(err error) bool {
	_, misfit := errors.AsType[*fold.MisfitError](err)
	return misfit || eventlog.Final(err) || errors.Is(err, errView)
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
	reader, err := n.Log.Read(ctx, n.at)
	if rewritten, ok := errors.AsType[*eventlog.RewrittenError](err); ok {
		return misfit("%s", rewritten.Reason)
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		messages, err := n.gather(ctx, reader)
		if err != nil {
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
	messages, err := reader.Next(ctx, maxRead)
	if err != nil {
		return nil, err
	}
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

// errView is wrapped by the errors of the files that the notary keeps.
var errView = errors.New("its files")

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
	var bad error
	err := n.Tree.Update(func(tx kv.Tx) error {
		for _, m := range messages {
			if bad = evidence.Enter(tx, m); bad != nil {
				return bad
			}
		}
		return merkle.Append(tx, leaves...)
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errView, err)
	}
	n.at = messages[len(messages)-1].Position(n.at.Epoch)
	n.shownAt.Store(uint64(n.at.Seq))
	return n.settle(n.at.Seq)
}

func (n *Notary) publish(size fact.Seq) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.size = size
	close(n.moved)
	n.moved = make(chan struct{})
}
