package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/statement"
)

// Checked is what a certificate proves to who trusts the key of its checkpoint.
type Checked struct {
	Games   string         `json:"games"`
	Short   bool           `json:"short"`
	Wearer  string         `json:"wearer"`
	Award   string         `json:"award"`
	Friends uint32         `json:"friends"`   // as the award's fact says
	Seq     fact.Seq       `json:"seq"`       // of the award's fact
	Stored  fact.UnixMilli `json:"stored_ms"` // when the log stored it
	Size    fact.Seq       `json:"size"`      // facts that the checkpoint covers
	Root    merkle.Hash    `json:"root"`      // of the checkpoint's tree

	Proven    []string `json:"proven"`     // in words
	NotProven []string `json:"not_proven"` // what could be otherwise all the same, in words

	// Story is how the award was earned; nil in the short form.
	Story *Story `json:"story,omitempty"`
}

// Check verifies the certificate offline, against the keys that its reader trusts:
//
//  1. A known key of the Games has signed the checkpoint, which covers the award.
//  2. Each fact stands in the log at its sequence, in a message that holds nothing else, and there are no other hashes than
//     those that show it.
//  3. The short form is the award's fact, which gives what is claimed. The full form is everything that the award rests
//     on and nothing else, see assemble.
//  4. Each half and each proof is signed with its pin's key, which is none for which anybody can sign, and each proof is for the wearer and these Games.
//
// An *Error says what does not hold.
func (c *Certificate) Check(known note.Verifiers) (Checked, error) {
	cp, err := merkle.OpenCheckpoint(c.Checkpoint, c.Games, known)
	if err != nil {
		return Checked{}, &Error{Rule: BadCheckpoint, Err: err}
	}
	if err := c.checkInclusion(cp); err != nil {
		return Checked{}, err
	}
	checked := Checked{
		Games: c.Games, Short: c.Short, Wearer: c.Wearer.String(), Award: c.What.String(), Seq: c.Award, Size: cp.Size, Root: cp.Root,
	}
	check := c.checkFull
	if c.Short {
		check = c.checkShort
	}
	if err := check(&checked); err != nil {
		return Checked{}, err
	}
	return checked, nil
}

// checkInclusion is rule 2.
func (c *Certificate) checkInclusion(cp merkle.Checkpoint) error {
	indexes, err := c.indexes(cp.Size)
	if err != nil {
		return err
	}
	if len(c.Hashes) != len(indexes) {
		return flaw(NotInLog, 0, "%d hashes: want %d for these facts and a checkpoint of size %d", len(c.Hashes), len(indexes), cp.Size)
	}
	nodes := make(map[int64]merkle.Hash, len(indexes))
	for i, index := range indexes {
		nodes[index] = c.Hashes[i]
	}
	for _, m := range c.Facts {
		leaf, err := merkle.Leaf(m)
		if err != nil {
			return &Error{Rule: Unreadable, Seq: m.Seq, Err: err}
		}
		if err := merkle.CheckNodes(nodes, cp.Size, cp.Root, m.Seq, leaf); err != nil {
			return &Error{Rule: NotInLog, Seq: m.Seq, Err: err}
		}
		if err := checkPlain(m); err != nil {
			return err
		}
	}
	return nil
}

// checkPlain returns an error unless the message is a fact, and holds nothing else.
func checkPlain(m eventlog.Message) error {
	e, err := m.Decode()
	if err != nil {
		return &Error{Rule: Unreadable, Seq: m.Seq, Err: err}
	}
	if n := eventlog.Surplus(m.Payload, e.Record); n != 0 {
		return flaw(Superfluous, m.Seq, "the message holds %d bytes more than its fact takes", n)
	}
	return nil
}

func (c *Certificate) checkShort(checked *Checked) error {
	if len(c.Facts) != 1 || c.Facts[0].Seq != c.Award {
		return flaw(Superfluous, 0, "%d facts: want the award at %d alone, in the short form", len(c.Facts), c.Award)
	}
	e, err := c.Facts[0].Decode()
	if err != nil {
		return &Error{Rule: Unreadable, Seq: c.Award, Err: err}
	}
	friends, err := readAward(c.Wearer, c.What, e)
	if err != nil {
		return err
	}
	checked.Friends, checked.Stored = friends, e.Stored
	checked.Proven = []string{
		fmt.Sprintf("the log of %s, as the checkpoint of its first %d facts has it, says at sequence %d that %s was given to wearer %s, for %d friends",
			c.Games, checked.Size, c.Award, c.What.inWords(), c.Wearer, friends),
	}
	checked.NotProven = []string{"how it was earned: only the full form shows that"}
	return nil
}

func (c *Certificate) checkFull(checked *Checked) error {
	ev, err := assemble(c.Wearer, c.What, c.Award, c.Facts)
	if err != nil {
		return err
	}
	if err := ev.checkSignatures(c.Games); err != nil {
		return err
	}
	story := Explain(ev)
	checked.Friends, checked.Stored, checked.Story = ev.Friends, ev.Award.Stored, &story
	checked.Proven = []string{
		fmt.Sprintf("all %d facts of the certificate stand in the log of %s, as the checkpoint of its first %d facts has it", len(c.Facts), c.Games, checked.Size),
		fmt.Sprintf("one of them, at sequence %d, gives %s to wearer %s, for %d friends", c.Award, c.What.inWords(), c.Wearer, ev.Friends),
		fmt.Sprintf("that many friendships, with as many other wearers, were formed before, each by a tap of which two pins signed a half each (%d signatures)", 2*len(ev.Friendships)),
		"each of these pins was registered, then proved to be there when it was paired with its wearer, then tapped",
		fmt.Sprintf("the rules adopted at sequence %d give the award: %s", ev.Rules.Seq, story.Rule),
	}
	checked.NotProven = []string{
		"that nothing else in the log speaks against it: that no friendship had ended before, no pin was retired or paired with another wearer before, and no other rules were adopted in between; only the whole log shows that",
		"that these rules are those that were published: compare them",
		"that the pins were made by the factory, and worn by people: an operator can register invented pins",
		"that the award was not revoked since",
	}
	return nil
}

// checkSignatures is rule 4.
func (ev *Evidence) checkSignatures(games string) error {
	proved := map[fact.PinID]bool{}
	for _, p := range ev.pins() {
		id := p.Paired.Fact.Proof.Pin
		if proved[id] {
			continue
		}
		proved[id] = true
		if statement.SmallOrder(p.Registered.Fact.Key) {
			return flaw(BadPin, p.Registered.Seq, "the key of pin %v is one for which signatures can be made up", id)
		}
		if err := p.checkProof(games); err != nil {
			return err
		}
	}
	for _, f := range ev.Friendships {
		for _, h := range []Half{f.First, f.Later} {
			if !statement.Verify(h.Pin.Registered.Fact.Key, statement.AppendHalf(nil, h.Fact.Half), h.Fact.Signature) {
				return flaw(BadSignature, h.Seq, "not that of pin %v over this half", h.Fact.Half.Pin)
			}
		}
	}
	return nil
}

// pins returns who signed, the same pin more than once.
func (ev *Evidence) pins() []Pin {
	var pins []Pin
	if ev.paired != nil {
		pins = append(pins, *ev.paired)
	}
	for _, f := range ev.Friendships {
		pins = append(pins, f.First.Pin, f.Later.Pin)
	}
	return pins
}

func (p Pin) checkProof(games string) error {
	f, seq := p.Paired.Fact, p.Paired.Seq
	if f.Proof.Challenge != statement.Challenge(games, f.Wearer, f.Random) {
		return flaw(BadProof, seq, "the proof of pin %v is for another challenge than that of wearer %v of the Games %s", f.Proof.Pin, f.Wearer, games)
	}
	if !statement.Verify(p.Registered.Fact.Key, statement.AppendProof(nil, f.Proof), f.Signature) {
		return flaw(BadSignature, seq, "not that of pin %v over its proof", f.Proof.Pin)
	}
	return nil
}
