package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/merkle"
	"pinfold/internal/notary"
)

type checkpointKeysCommand struct {
	List   checkpointKeysListCommand   `cmd:"" help:"Show the keys of all gateways, and how many facts each signed for last."`
	Remove checkpointKeysRemoveCommand `cmd:"" help:"Remove a key: the gateway that has it signs nothing more and ends, and no other is held against it."`
}

// checkpointKey is a key in the list, for people.
type checkpointKey struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	Facts     uint64 `json:"facts"` // that its newest checkpoint covers; 0 = it signed none
	Newest    string `json:"newest_checkpoint,omitempty"`
	Removed   bool   `json:"removed,omitempty"`
}

// openList opens the list of keys that stands beside the log.
func (f logFlags) openList(s *session) (list *notary.Bucket, closeList func(), err error) {
	nc, closeList, err := f.connect(s)
	if err != nil {
		return nil, nil, err
	}
	list, err = notary.OpenBucket(s.ctx, nc, f.Games)
	if err != nil {
		closeList()
		return nil, nil, interrupted(err)
	}
	return list, closeList, nil
}

type checkpointKeysListCommand struct{ logFlags }

func (c *checkpointKeysListCommand) Run(s *session) error {
	list, closeList, err := c.openList(s)
	if err != nil {
		return err
	}
	defer closeList()
	all, err := list.All(s.ctx)
	if err != nil {
		return interrupted(err)
	}
	keys := make([]checkpointKey, len(all))
	for i, l := range all {
		if keys[i], err = describeKey(l, c.Games); err != nil {
			return err
		}
	}
	return s.printKeys(keys)
}

func describeKey(l notary.Listed, games string) (k checkpointKey, err error) {
	k = checkpointKey{PublicKey: l.Public, Newest: l.Newest, Removed: l.Removed}
	if k.Name, err = l.Name(); err != nil || l.Newest == "" {
		return k, err
	}
	verifier, err := merkle.NewVerifier(l.Public, games)
	if err != nil {
		return k, err
	}
	c, err := merkle.OpenCheckpoint(l.Newest, games, note.VerifierList(verifier))
	if err != nil {
		return k, fmt.Errorf("checkpoint key %s: %w", k.Name, err)
	}
	k.Facts = uint64(c.Size)
	return k, nil
}

func (s *session) printKeys(keys []checkpointKey) error {
	if s.output == "json" {
		return s.answer(map[string][]checkpointKey{"keys": keys})
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tfacts\tremoved\tpublic key")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", k.Name, k.Facts, yesNo(k.Removed), k.PublicKey)
	}
	return w.Flush()
}

type checkpointKeysRemoveCommand struct {
	logFlags
	Name string `arg:"" help:"Name of the key: the 8 hex digits that 'list' shows."`
}

func (c *checkpointKeysRemoveCommand) Run(s *session) error {
	list, closeList, err := c.openList(s)
	if err != nil {
		return err
	}
	defer closeList()
	err = notary.Remove(s.ctx, list, c.Name)
	if errors.Is(err, notary.ErrListChanged) { // its gateway was writing its newest checkpoint
		err = notary.Remove(s.ctx, list, c.Name)
	}
	return interrupted(err)
}
