package notary

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// The file of what was signed. Sizes are 8 bytes, big-endian.
//
//	unasked  size          a checkpoint, as a signed note: one each Every facts
//	newest   "checkpoint"  the newest checkpoint of all
//	newest   "unasked"     size of the last one that was signed unasked
const (
	bucketUnasked = "unasked"
	bucketNewest  = "newest"
)

var (
	keyNewest  = []byte("checkpoint")
	keyUnasked = []byte("unasked")
)

// errSigned is wrapped by the errors of reading what was signed.
var errSigned = errors.New("what was signed")

func sizeKey(size fact.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(size)) }

func misfit(format string, args ...any) error {
	return &fold.MisfitError{Core: "notary", Reason: fmt.Sprintf(format, args...)}
}

// remember compares what was signed with where the log ends.
func (n *Notary) remember(ctx context.Context) error {
	newest, _, err := n.newest()
	if err != nil {
		return err
	}
	for said := false; ; said = true {
		head, err := n.Log.Head(ctx)
		if err != nil {
			return err
		}
		if n.epoch = head.Epoch; newest.Size <= head.Last {
			n.change(func(s *state) { s.signed = newest.Size })
			return nil
		}
		if said {
			return misfit("a checkpoint of %d facts was signed, and the log ends at sequence %d", newest.Size, head.Last)
		}
		if !sleep(ctx, n.Confirm) {
			return ctx.Err()
		}
	}
}

// newest returns the newest checkpoint that was signed, and its note; the zero one if none was.
func (n *Notary) newest() (c merkle.Checkpoint, text string, err error) {
	if err := n.Signed.View(func(r view.Reader) error {
		text = string(r.Get(bucketNewest, keyNewest))
		return nil
	}); err != nil {
		return c, "", fmt.Errorf("%w: %w", errSigned, err)
	}
	if text == "" {
		return c, "", nil
	}
	if c, err = n.openNote(n.public, text); err != nil {
		return c, "", fmt.Errorf("%w: %w (was the key replaced?)", errSigned, err)
	}
	return c, text, nil
}

// openNote returns the checkpoint of the note, which the key has signed.
func (n *Notary) openNote(public, text string) (merkle.Checkpoint, error) {
	verifier, err := merkle.NewVerifier(public, n.Games)
	if err != nil {
		return merkle.Checkpoint{}, err
	}
	return merkle.OpenCheckpoint(text, n.Games, note.VerifierList(verifier))
}

// settle compares the tree, now of that size, with the newest checkpoint that was signed, signs those that are due, and
// shows the tree. One that is being rebuilt is compared once it is as large, and nothing of it is signed or shown before.
func (n *Notary) settle(size fact.Seq) error {
	n.change(func(s *state) { s.at, s.paused = size, nil })
	n.signing.Lock()
	defer n.signing.Unlock()
	newest, _, err := n.newest()
	if err != nil {
		return err
	}
	if size < newest.Size || size == 0 {
		return nil
	}
	if newest.Size > n.Size() { // it was not compared before
		root, err := n.rootAt(newest.Size)
		if err != nil {
			return err
		}
		if root != newest.Root {
			return misfit("the facts up to sequence %d are not those for which a checkpoint was signed", newest.Size)
		}
	}
	if err := n.signDue(newest, size); err != nil {
		return err
	}
	n.change(func(s *state) { s.size = size })
	return nil
}

// rootAt returns the root that the tree had at that size.
func (n *Notary) rootAt(size fact.Seq) (root merkle.Hash, err error) {
	err = n.View(func(r kv.Reader) (err error) {
		root, err = merkle.Root(r, size)
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w: %w", errTree, err)
	}
	return root, err
}

// signDue signs what is due of a tree of that size, if this notary may sign: the first checkpoint of all, so that it is held
// to the log from then on, and one each Every facts. The caller holds n.signing.
func (n *Notary) signDue(newest merkle.Checkpoint, size fact.Seq) error {
	if now, _ := n.now(); !now.signs || size == 0 {
		return nil
	}
	list, err := n.due(size)
	if err != nil {
		return err
	}
	var first []merkle.Checkpoint
	if newest.Size == 0 && len(list) == 0 {
		root, err := n.rootAt(size)
		if err != nil {
			return err
		}
		first = []merkle.Checkpoint{{Games: n.Games, Size: size, Root: root}}
	}
	if len(list)+len(first) == 0 {
		return nil
	}
	n.tellUnkept(n.keep(newest.Size, first, list))
	return nil
}

// tellUnkept says whether what was signed could be kept: while it cannot, nothing is signed, and all else goes on.
func (n *Notary) tellUnkept(err error) {
	if now, _ := n.now(); err != nil && now.unkept == nil {
		n.Logger.Error("no checkpoint is signed: it could not be kept", "error", err)
	}
	n.change(func(s *state) { s.unkept = err })
}

// due returns the checkpoints up to the size that are to be signed unasked.
func (n *Notary) due(size fact.Seq) (list []merkle.Checkpoint, err error) {
	var last fact.Seq
	if err := n.Signed.View(func(r view.Reader) error {
		if v := r.Get(bucketNewest, keyUnasked); v != nil {
			last = fact.Seq(binary.BigEndian.Uint64(v))
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("%w: %w", errSigned, err)
	}
	for next := last - last%n.Every + n.Every; next <= size; next += n.Every {
		root, err := n.rootAt(next)
		if err != nil {
			return nil, err
		}
		list = append(list, merkle.Checkpoint{Games: n.Games, Size: next, Root: root})
	}
	return list, nil
}

// keep signs the checkpoints and keeps them, all or none: some that were asked for, and then some unasked, each in ascending
// order.
func (n *Notary) keep(newest fact.Seq, asked, unasked []merkle.Checkpoint) error {
	size := newest
	if err := n.Signed.Update(func(tx kv.Tx) error {
		for i, c := range append(asked[:len(asked):len(asked)], unasked...) {
			text, err := c.Sign(n.signer)
			if err != nil {
				return err
			}
			if c.Size > size {
				tx.Put(bucketNewest, keyNewest, []byte(text))
				size = c.Size
			}
			if i >= len(asked) {
				tx.Put(bucketUnasked, sizeKey(c.Size), []byte(text))
				tx.Put(bucketNewest, keyUnasked, sizeKey(c.Size))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	n.change(func(s *state) { s.signed = size })
	return nil
}

// Checkpoint returns the signed checkpoint of the first size facts. A new one is durable before it is returned. It is a
// *PausedError where nothing is signed now, or the tree does not hold as many: it may be being rebuilt.
func (n *Notary) Checkpoint(ctx context.Context, size fact.Seq) (string, error) {
	if has := n.Size(); size == 0 || size > has {
		return "", &PausedError{Reason: fmt.Sprintf("a checkpoint of %d facts: the Merkle tree holds 1 to %d", size, has)}
	}
	if err := n.maySign(ctx); err != nil {
		return "", err
	}
	n.signing.Lock()
	defer n.signing.Unlock()
	newest, text, err := n.newest()
	if err != nil || newest.Size == size {
		return text, err
	}
	root, err := n.rootAt(size)
	if err != nil {
		return "", &PausedError{Reason: err.Error()}
	}
	c := merkle.Checkpoint{Games: n.Games, Size: size, Root: root}
	if size > newest.Size { // an older one says nothing that the newest one does not commit to
		if err := n.keep(newest.Size, []merkle.Checkpoint{c}, nil); err != nil {
			n.tellUnkept(err)
			return "", &PausedError{Reason: fmt.Sprintf("nothing is signed: it could not be kept: %v", err)}
		}
	}
	return c.Sign(n.signer)
}

// undecided is how long who asks for a checkpoint waits for a notary that is about to look whether it may sign.
const undecided = 2 * time.Second

// maySign returns nil once this notary may sign, and a *PausedError if it may not for now.
func (n *Notary) maySign(ctx context.Context) error {
	waiting, end := context.WithTimeout(ctx, undecided)
	defer end()
	for {
		now, moved := n.now()
		switch {
		case now.signs:
			return nil
		case now.rank >= tied, waiting.Err() != nil:
			return &PausedError{Reason: "nothing is signed: " + cmp.Or(now.why, "the list of checkpoint keys is being looked at")}
		}
		select {
		case <-moved:
		case <-waiting.Done():
		}
	}
}

// Signed is a checkpoint that was signed.
type Signed struct {
	Size fact.Seq
	Note string
}

// Unasked returns checkpoints that were signed unasked, of more than so many facts, by size, at most limit.
func (n *Notary) Unasked(after fact.Seq, limit int) (list []Signed, err error) {
	return Unasked(n.Signed, after, limit)
}

// Unasked returns what a Notary that keeps this file returns.
func Unasked(signed view.Store, after fact.Seq, limit int) (list []Signed, err error) {
	err = signed.View(func(r view.Reader) error {
		for k, v := range r.Scan(bucketUnasked, nil, sizeKey(after+1)) {
			if len(list) == limit {
				return nil
			}
			list = append(list, Signed{Size: fact.Seq(binary.BigEndian.Uint64(k)), Note: string(v)})
		}
		return nil
	})
	return list, err
}
