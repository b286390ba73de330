package notary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pinfold/internal/fact"
)

// How the list of keys is looked at (docs/design.md section 12, "Checkpoint keys"): each lookEvery, and sooner where it could not be
// looked at, or until the first checkpoint is in it. A question to it takes listTimeout at most.
const (
	lookEvery   = time.Minute
	lookAgain   = time.Second
	listTimeout = 5 * time.Second
)

// standing says whether a notary may sign, as it found when it last looked at the list.
type standing struct {
	signs  bool
	rank   rank
	differ []string // keys that signed another tree
	why    string   // it does not sign, or what else is to be said of the list; "" = nothing
}

// keepStanding holds the tree against what the other keys signed, before the first signature and each so often.
func (n *Notary) keepStanding(ctx context.Context) error {
	var own ownEntry
	failing := false
	for {
		err := n.look(ctx, &own)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that was the end of it
		}
		if final(err) {
			return err
		}
		n.tellUnseen(err, failing)
		failing = err != nil
		wait := lookEvery
		if now, _ := n.now(); failing || !now.signs && now.rank == undisputed || own.entry.Newest == "" {
			wait = lookAgain
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// tellUnseen says that the list could not be looked at, once for each time that this begins.
func (n *Notary) tellUnseen(err error, again bool) {
	if err == nil || again || errors.Is(err, ErrListChanged) {
		return
	}
	n.Logger.Warn("looking at the list of checkpoint keys failed, trying again", "error", err)
	if now, _ := n.now(); !now.signs && now.why == "" {
		n.change(func(s *state) {
			s.why = "no checkpoint is signed before the list of keys was looked at: " + err.Error()
		})
	}
}

// look reads the list, puts this notary's key in it where it is missing, decides whether it may sign, signs what is due,
// and puts its newest checkpoint in the list.
func (n *Notary) look(ctx context.Context, own *ownEntry) error {
	ctx, end := context.WithTimeout(ctx, lookEvery)
	defer end()
	all, err := n.list(ctx)
	if err != nil {
		return err
	}
	claims, err := n.claims(all, own)
	if err != nil {
		return err
	}
	if own.entry.Revision == 0 {
		if err := n.enlist(ctx, own); err != nil {
			return err
		}
	}
	if err := n.decide(ctx, own.claim, claims); errors.Is(err, context.DeadlineExceeded) {
		return nil // some of the list cannot be compared yet: look at it anew
	} else if err != nil {
		return err
	}
	if err := n.signNow(); err != nil {
		return err
	}
	return n.enlist(ctx, own)
}

func (n *Notary) list(ctx context.Context) ([]Listed, error) {
	ctx, end := context.WithTimeout(ctx, listTimeout)
	defer end()
	all, err := n.Keys.All(ctx)
	if err == nil {
		n.change(func(s *state) { s.listed = all })
	}
	return all, err
}

// ownEntry is what the list holds of the notary's own key.
type ownEntry struct {
	entry Listed   // as it was last seen or written; of revision 0 until then
	tried []string // checkpoints that were written since, and may be there though nobody answered
	claim *claim   // what it states
}

// claims returns what the other keys signed that are in the list and were not removed. The error is a *KeyError if the
// notary's own entry says that its key may not be used.
func (n *Notary) claims(all []Listed, own *ownEntry) (others []claim, err error) {
	entry := Listed{Public: n.public}
	for _, l := range all {
		name, err := l.Name()
		if err != nil {
			return nil, err
		}
		if name == n.name {
			entry = l
			continue
		}
		if l.Removed || l.Newest == "" {
			continue
		}
		c, err := n.openNote(l.Public, l.Newest)
		if err != nil {
			return nil, fmt.Errorf("the list of checkpoint keys: key %s: %w", name, err)
		}
		others = append(others, claim{name, c.Size, c.Root})
	}
	return others, n.recognise(entry, own)
}

// recognise returns a *KeyError unless the entry is one that this notary wrote: its key is in one place, or what it signs
// is held to nothing.
func (n *Notary) recognise(entry Listed, own *ownEntry) error {
	refuse := func(format string, args ...any) error { return &KeyError{n.name, fmt.Sprintf(format, args...)} }
	const twin = "another gateway uses the same key, or this folder is an older copy. Each gateway needs a key of its own: " +
		"move the folder of keys away and start with --join"
	if entry.Public != n.public {
		return refuse("another key of the same name is in the list: move the folder of keys away and start with --join")
	}
	if entry.Removed {
		return refuse("an operator removed it from the list: it signs nothing more. To go on with a new key, move the folder of keys away and start with --join")
	}
	if own.entry.Revision > 0 {
		if entry.Revision > own.entry.Revision && !slices.Contains(append(own.tried, own.entry.Newest), entry.Newest) {
			return refuse("its entry in the list was changed by another: %s", twin)
		}
		if entry.Revision > 0 && entry.Revision < own.entry.Revision {
			entry = own.entry // the list is older than what was written
		}
	}
	own.entry, own.claim = entry, nil
	if entry.Newest != "" {
		c, err := n.openNote(n.public, entry.Newest)
		if err != nil {
			return refuse("its entry in the list: %v: %s", err, twin)
		}
		newest, _, err := n.newest()
		if err != nil {
			return err
		}
		if c.Size > newest.Size {
			return refuse("it signed %d facts, as the list says, and only %d as this folder remembers: %s", c.Size, newest.Size, twin)
		}
		own.claim = &claim{n.name, c.Size, c.Root}
	}
	return nil
}

// enlist writes the key and its newest checkpoint into the list, unless they are there.
func (n *Notary) enlist(ctx context.Context, own *ownEntry) error {
	_, text, err := n.newest()
	if err != nil || own.entry.Revision != 0 && own.entry.Newest == text {
		return err
	}
	ctx, end := context.WithTimeout(ctx, listTimeout)
	defer end()
	own.tried = append(own.tried, text)
	entry := own.entry
	entry.Newest = text
	if entry.Revision, err = n.Keys.Put(ctx, entry); err != nil {
		return err
	}
	own.entry, own.tried = entry, nil
	n.change(func(s *state) { s.listed = with(s.listed, entry) })
	return nil
}

// with returns the list with one entry put in, or in the place of its old one.
func with(list []Listed, entry Listed) []Listed {
	all := slices.DeleteFunc(slices.Clone(list), func(l Listed) bool { return l.Public == entry.Public })
	all = append(all, entry)
	slices.SortFunc(all, func(a, b Listed) int { return strings.Compare(a.Public, b.Public) })
	return all
}

// decide sets the standing. It waits until the tree is large enough to be held against what the list says of the own key,
// and before the first signature against all that the others signed, for as long as the context.
func (n *Notary) decide(ctx context.Context, own *claim, others []claim) error {
	if own != nil {
		if err := n.compareOwn(ctx, *own); err != nil {
			return err
		}
	}
	for {
		v, err := judge(n.Size(), n.rootAt, others)
		if err != nil {
			return err
		}
		now, _ := n.now()
		signs := v.rank < tied && (now.signs || len(v.ahead) == 0)
		n.stand(standing{rank: v.rank, differ: v.differ, signs: signs, why: v.why(n.name)})
		if v.rank == minority {
			return &KeyError{n.name, v.why(n.name)}
		}
		if signs || len(v.ahead) == 0 {
			return nil
		}
		if err := n.Wait(ctx, v.ahead[0].size); err != nil {
			return err
		}
	}
}

// compareOwn holds the tree against what the list says of the own key.
func (n *Notary) compareOwn(ctx context.Context, own claim) error {
	if err := n.Wait(ctx, own.size); err != nil {
		return err
	}
	root, err := n.rootAt(own.size)
	if err == nil && root != own.root {
		err = &KeyError{n.name, fmt.Sprintf("it signed another tree of %d facts, as the list says: another gateway uses the same key, "+
			"or the log was rewritten", own.size)}
	}
	return err
}

// why says what is to be said of a verdict; "" = nothing.
func (v verdict) why(own string) string {
	keys := strings.Join(v.differ, ", ")
	switch {
	case v.rank == tied:
		return fmt.Sprintf("checkpoint keys %s and %s signed different trees, and nobody signs until an operator has found out which log is "+
			"the right one and removed the other key: pinfold checkpoint-keys remove", own, keys)
	case v.rank == majority:
		return fmt.Sprintf("checkpoint key %s signed another tree than this gateway and most others", keys)
	case v.rank == minority:
		return fmt.Sprintf("most gateways signed another tree than this one: keys %s. It signs nothing more: see which log they "+
			"read, and which this one", keys)
	case len(v.ahead) > 0:
		return fmt.Sprintf("checkpoint key %s signed %d facts, and this gateway does not hold as many yet", v.ahead[0].key, v.ahead[0].size)
	}
	return ""
}

// stand sets the standing, and says it where it says something new.
func (n *Notary) stand(s standing) {
	if now, _ := n.now(); s.rank != undisputed && s.why != now.why {
		n.Logger.Error(s.why)
	}
	n.change(func(state *state) {
		if s.signs && s.rank == undisputed {
			s.why = "" // what is ahead is compared later
		}
		state.standing = s
	})
}

// signNow signs what is due of the tree that is shown.
func (n *Notary) signNow() error {
	n.signing.Lock()
	defer n.signing.Unlock()
	newest, _, err := n.newest()
	if err != nil {
		return err
	}
	return n.signDue(newest, n.Size())
}

// Reasons returns what is to be said against the notary, a short text for each.
func (n *Notary) Reasons() (list []string) {
	now, _ := n.now()
	if now.paused != nil {
		list = append(list, "the Merkle tree cannot grow: "+now.paused.Error())
	}
	if now.unkept != nil {
		list = append(list, "no checkpoint is signed: it could not be kept: "+now.unkept.Error())
	}
	if now.why != "" {
		list = append(list, now.why)
	}
	return list
}

// Listed returns the list of keys as it was last seen, at most a minute ago while it can be read.
func (n *Notary) Listed() []Listed { now, _ := n.now(); return now.listed }

// Numbers are what is counted of a Notary.
type Numbers struct {
	At     fact.Seq // how many facts the tree holds
	Signed fact.Seq // of the newest checkpoint
	Differ int      // keys of the list that signed another tree
	Signs  bool     // what is due is signed
	Paused bool     // the tree cannot grow
}

// Numbers returns what is counted.
func (n *Notary) Numbers() Numbers {
	now, _ := n.now()
	return Numbers{
		At: now.at, Signed: now.signed, Differ: len(now.differ), Signs: now.signs && now.unkept == nil, Paused: now.paused != nil,
	}
}
