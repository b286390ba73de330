package notary

import (
	"encoding/binary"
	"errors"
	"fmt"

	"pinfold/internal/eventlog"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// The tree's file holds, beside the tree and the index of the evidence:
//
//	notary  "position"  the epoch of the log, 4 bytes, big-endian, and the SHA-256 of the last payload in the tree
const bucketNotary = "notary"

var keyPosition = []byte("position")

// errTree is wrapped by the errors of the tree's file.
var errTree = errors.New("the Merkle tree")

// resume opens the tree unless it is open, and goes on where it ends. What a write that failed has stored all the same
// is found so.
func (n *Notary) resume() error {
	if n.tree == nil {
		tree, err := n.Tree()
		if err != nil {
			return fmt.Errorf("%w: %w", errTree, err)
		}
		n.opened.Lock()
		n.tree = tree
		n.opened.Unlock()
	}
	var bad error
	err := n.tree.View(func(r view.Reader) error {
		n.at, bad = positionOf(r, n.epoch)
		return bad
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errTree, err)
	}
	return nil
}

// dropTree closes a tree that is damaged and sets it aside, so that it is rebuilt.
func (n *Notary) dropTree(damaged *view.DamagedError) error {
	err := n.Close()
	n.change(func(s *state) { s.at, s.size = 0, 0 })
	if damaged.Aside != "" {
		return err
	}
	_, asideErr := view.SetAside(damaged.Path)
	return errors.Join(err, asideErr)
}

// positionOf returns where the tree ends, in a log of that epoch.
func positionOf(r kv.Reader, epoch uint32) (at eventlog.Position, err error) {
	at.Seq = merkle.Size(r)
	if at.Seq == 0 {
		at.Epoch = epoch
		return at, nil
	}
	kept := r.Get(bucketNotary, keyPosition)
	if len(kept) != 4+len(at.Hash) {
		return at, misfit("the tree does not say of which log it is")
	}
	at.Epoch = binary.BigEndian.Uint32(kept)
	copy(at.Hash[:], kept[4:])
	return at, nil
}

func putPosition(tx kv.Tx, at eventlog.Position) {
	tx.Put(bucketNotary, keyPosition, append(binary.BigEndian.AppendUint32(nil, at.Epoch), at.Hash[:]...))
}
