package notary

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// The buckets. Sizes are 8 bytes, big-endian.
//
//	Tree    "notary"   "epoch"       the epoch of the log, 4 bytes, big-endian
//	Signed  "unasked"  size          a checkpoint, as a signed note: one each Every facts
//	Signed  "newest"   "checkpoint"  the newest checkpoint of all
//	Signed  "newest"   "unasked"     size of the last one that was signed unasked
const (
	bucketNotary  = "notary"
	bucketUnasked = "unasked"
	bucketNewest  = "newest"
)

var (
	keyEpoch   = []byte("epoch")
	keyNewest  = []byte("checkpoint")
	keyUnasked = []byte("unasked")
)

func sizeKey(size fact.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(size)) }

func misfit(format string, args ...any) error {
	return &fold.MisfitError{Core: "notary", Reason: fmt.Sprintf(format, args...)}
}

// fits compares the tree with the log, and both with what was signed, and goes on where the tree ends.
func (n *Notary) fits(ctx context.Context) error {
	head, err := n.Log.Head(ctx)
	if err != nil {
		return err
	}
	newest, _, err := n.newest()
	if err != nil {
		return err
	}
	if newest.Size > head.Last {
		return misfit("a checkpoint of %d facts was signed, and the log ends at sequence %d", newest.Size, head.Last)
	}
	var size fact.Seq
	var last merkle.Hash
	if err := n.Tree.Update(func(tx kv.Tx) (err error) {
		epoch := binary.BigEndian.AppendUint32(nil, head.Epoch)
		if size = merkle.Size(tx); size == 0 {
			tx.Put(bucketNotary, keyEpoch, epoch)
			return nil
		}
		if kept := tx.Get(bucketNotary, keyEpoch); string(kept) != string(epoch) {
			return misfit("the tree is of epoch %d, the log of epoch %d", binary.BigEndian.Uint32(kept), head.Epoch)
		}
		last, err = merkle.LeafAt(tx, size)
		return err
	}); err != nil {
		return err
	}
	if size > head.Last {
		return misfit("the tree is at sequence %d, the log ends at %d", size, head.Last)
	}
	n.at = eventlog.Position{Epoch: head.Epoch}
	if size > 0 {
		if n.at, err = n.sameFact(ctx, head.Epoch, size, last); err != nil {
			return err
		}
	}
	n.shownAt.Store(uint64(size))
	return n.settle(size)
}

// sameFact returns the position of the fact at the sequence, and an error unless that is the fact with that leaf.
func (n *Notary) sameFact(ctx context.Context, epoch uint32, seq fact.Seq, want merkle.Hash) (eventlog.Position, error) {
	m, found, err := n.Log.At(ctx, seq)
	if err != nil {
		return eventlog.Position{}, err
	}
	got, err := merkle.Leaf(m)
	if !found || err != nil || got != want {
		return eventlog.Position{}, misfit("the fact at sequence %d is not the one in the tree", seq)
	}
	return m.Position(epoch), nil
}

// newest returns the newest checkpoint that was signed, and its note; the zero one if none was.
func (n *Notary) newest() (c merkle.Checkpoint, text string, err error) {
	if err := n.Signed.View(func(r view.Reader) error {
		text = string(r.Get(bucketNewest, keyNewest))
		return nil
	}); err != nil || text == "" {
		return c, "", err
	}
	verifier, err := merkle.NewVerifier(n.public, n.Games)
	if err != nil {
		return c, "", err
	}
	if c, err = merkle.OpenCheckpoint(text, n.Games, note.VerifierList(verifier)); err != nil {
		return c, "", fmt.Errorf("notary: the newest checkpoint that was signed: %w (was the key replaced?)", err)
	}
	return c, text, nil
}

// settle compares the tree, now of that size, with the newest checkpoint that was signed, signs those that are due, and
// shows the tree. One that is being rebuilt is compared once it is as large, and nothing of it is signed or shown before.
func (n *Notary) settle(size fact.Seq) error {
	n.signing.Lock()
	defer n.signing.Unlock()
	newest, _, err := n.newest()
	if err != nil {
		return fmt.Errorf("%w: %w", errView, err)
	}
	if size < newest.Size || size == 0 {
		return nil
	}
	var list []merkle.Checkpoint
	if err := n.Tree.View(func(r view.Reader) error {
		if newest.Size > n.Size() { // it was not compared before
			root, err := merkle.Root(r, newest.Size)
			if err != nil {
				return err
			}
			if root != newest.Root {
				return misfit("the facts up to sequence %d are not those for which a checkpoint was signed", newest.Size)
			}
		}
		list, err = n.due(r, size)
		return err
	}); err != nil {
		return err
	}
	if err := n.keepUnasked(newest.Size, list); err != nil {
		return err
	}
	n.publish(size)
	return nil
}

// due returns the checkpoints up to the size that are to be signed unasked.
func (n *Notary) due(r kv.Reader, size fact.Seq) (list []merkle.Checkpoint, err error) {
	var last fact.Seq
	if err := n.Signed.View(func(r view.Reader) error {
		if v := r.Get(bucketNewest, keyUnasked); v != nil {
			last = fact.Seq(binary.BigEndian.Uint64(v))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for next := last - last%n.Every + n.Every; next <= size; next += n.Every {
		c, err := n.checkpointAt(r, next)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (n *Notary) checkpointAt(r kv.Reader, size fact.Seq) (merkle.Checkpoint, error) {
	root, err := merkle.Root(r, size)
	return merkle.Checkpoint{Games: n.Games, Size: size, Root: root}, err
}

// keepUnasked signs the checkpoints and keeps them, in ascending order, all or none.
func (n *Notary) keepUnasked(newest fact.Seq, list []merkle.Checkpoint) error {
	if len(list) == 0 {
		return nil
	}
	var text string
	err := n.Signed.Update(func(tx kv.Tx) (err error) {
		for _, c := range list {
			if text, err = c.Sign(n.signer); err != nil {
				return err
			}
			tx.Put(bucketUnasked, sizeKey(c.Size), []byte(text))
		}
		last := list[len(list)-1].Size
		tx.Put(bucketNewest, keyUnasked, sizeKey(last))
		if last > newest {
			tx.Put(bucketNewest, keyNewest, []byte(text))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errView, err)
	}
	return nil
}

// Checkpoint returns the signed checkpoint of the first size facts, which the tree must hold. A new one is durable
// before it is returned.
func (n *Notary) Checkpoint(size fact.Seq) (string, error) {
	if has := n.Size(); size == 0 || size > has {
		return "", fmt.Errorf("a checkpoint of %d facts: the tree holds 1 to %d", size, has)
	}
	n.signing.Lock()
	defer n.signing.Unlock()
	newest, text, err := n.newest()
	if err != nil || newest.Size == size {
		return text, err
	}
	var c merkle.Checkpoint
	if err := n.View(func(r kv.Reader) (err error) {
		c, err = n.checkpointAt(r, size)
		return err
	}); err != nil {
		return "", err
	}
	if text, err = c.Sign(n.signer); err != nil || size < newest.Size {
		return text, err // an older one says nothing that the newest one does not commit to
	}
	if err := n.Signed.Update(func(tx kv.Tx) error {
		tx.Put(bucketNewest, keyNewest, []byte(text))
		return nil
	}); err != nil {
		return "", err
	}
	return text, nil
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
