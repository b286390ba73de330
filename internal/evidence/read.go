package evidence

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
)

// assemble makes evidence of the messages, which are everything that the award at the given sequence rests on, and nothing
// else, in ascending order. It trusts nothing but that the messages stand in the log, and that every half and proof is
// signed; those are for Check. An *Error says what does not hold of:
//
//  1. The award's fact gives what is claimed to the wearer.
//  2. Its cause is a FriendshipFormed or FriendshipEnded of the wearer, or a pairing of the wearer's.
//  3. There is one RulesAdopted, before the cause. It gives the award for as many friends as the fact has. Of backgrounds
//     at least as many are due as the sport has places up to its own: they are given in the order of the rules.
//  4. There are as many FriendshipFormed as the fact has friends, each of the wearer and another one, at or before the
//     cause. A FriendshipEnded that is the cause ends none of them.
//  5. The cause and the mate of each are the halves of its tap: each names the other's pin and nonce.
//  6. The pin of each half was registered, then paired with the wearer of its side, then named in the half. A
//     pin is registered once and paired once.
//  7. There is no other message.
func assemble(w fact.WearerID, what Award, award fact.Seq, messages []eventlog.Message) (*Evidence, error) {
	rd := reader{ev: &Evidence{Wearer: w, What: what, messages: messages}}
	steps := []func() error{
		func() error { return rd.decode(messages) },
		func() error { return rd.readAward(award) },
		rd.readPins,
		rd.readRules,
		rd.readCause,
		rd.readFriendships,
		rd.checkCause,
		rd.checkThreshold,
		rd.checkUsed,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return rd.ev, nil
}

// readAward is rule 1, which is all that the short form of a certificate shows.
func readAward(w fact.WearerID, what Award, e fact.Entry) (friends uint32, err error) {
	to, got, friends, ok := given(e.Fact)
	switch {
	case !ok:
		return 0, flaw(BadAward, e.Seq, "a %T gives no award", e.Fact)
	case to != w:
		return 0, flaw(BadAward, e.Seq, "it is of wearer %v: want %v", to, w)
	case got != what:
		return 0, flaw(BadAward, e.Seq, "it gives %v: want %v", got, what)
	case e.Derivation.Cause >= e.Seq:
		return 0, flaw(BadOrder, e.Seq, "its cause, %d, does not stand before it", e.Derivation.Cause)
	}
	return friends, nil
}

// reader holds what assemble knows so far.
type reader struct {
	ev         *Evidence
	entries    []fact.Entry // by sequence
	used       []bool       // of entries
	registered map[fact.PinID]Placed[fact.PinRegistered]
	paired     map[fact.PinID]Placed[fact.PinPaired]
}

func (rd *reader) decode(messages []eventlog.Message) error {
	var last fact.Seq
	for _, m := range messages {
		if m.Seq <= last {
			return flaw(BadOrder, m.Seq, "it comes behind sequence %d", last)
		}
		last = m.Seq
		e, err := m.Decode()
		if err != nil {
			return &Error{Rule: Unreadable, Seq: m.Seq, Err: err}
		}
		rd.entries = append(rd.entries, e)
	}
	rd.used = make([]bool, len(rd.entries))
	return nil
}

// entry returns the fact at the sequence, which from then on counts as used.
func (rd *reader) entry(seq fact.Seq, what string) (fact.Entry, error) {
	i, ok := slices.BinarySearchFunc(rd.entries, seq, func(e fact.Entry, seq fact.Seq) int {
		return cmp.Compare(e.Seq, seq)
	})
	if !ok {
		return fact.Entry{}, flaw(Missing, seq, "no fact: want %s", what)
	}
	rd.used[i] = true
	return rd.entries[i], nil
}

// placed returns the fact at the sequence, if it is a T.
func placed[T fact.Fact](rd *reader, seq fact.Seq, what string) (Placed[T], error) {
	e, err := rd.entry(seq, what)
	if err != nil {
		return Placed[T]{}, err
	}
	f, ok := e.Fact.(T)
	if !ok {
		return Placed[T]{}, flaw(Unreadable, seq, "a %T: want a %T, %s", e.Fact, f, what)
	}
	return Placed[T]{Seq: e.Seq, Stored: e.Stored, Fact: f}, nil
}

func (rd *reader) readAward(seq fact.Seq) (err error) {
	if rd.ev.Award, err = rd.entry(seq, "the award"); err != nil {
		return err
	}
	rd.ev.Friends, err = readAward(rd.ev.Wearer, rd.ev.What, rd.ev.Award)
	return err
}

// readPins enters who registered and paired what. These facts count as used where a half or the cause needs them.
func (rd *reader) readPins() error {
	rd.registered = map[fact.PinID]Placed[fact.PinRegistered]{}
	rd.paired = map[fact.PinID]Placed[fact.PinPaired]{}
	for _, e := range rd.entries {
		switch f := e.Fact.(type) {
		case fact.PinRegistered:
			pin := f.Key.PinID()
			if first, twice := rd.registered[pin]; twice {
				return flaw(BadPin, e.Seq, "pin %v is registered twice, first at %d", pin, first.Seq)
			}
			rd.registered[pin] = Placed[fact.PinRegistered]{Seq: e.Seq, Stored: e.Stored, Fact: f}
		case fact.PinPaired:
			pin := f.Proof.Pin
			if first, twice := rd.paired[pin]; twice {
				return flaw(BadPin, e.Seq, "pin %v is paired twice, first at %d", pin, first.Seq)
			}
			rd.paired[pin] = Placed[fact.PinPaired]{Seq: e.Seq, Stored: e.Stored, Fact: f}
		}
	}
	return nil
}

// pin returns the pin, which has to be the wearer's, for the fact at the sequence that needs it.
func (rd *reader) pin(id fact.PinID, w fact.WearerID, needs fact.Seq) (p Pin, err error) {
	registered, ok := rd.registered[id]
	if !ok {
		return Pin{}, flaw(Missing, needs, "the PinRegistered of its pin, %v", id)
	}
	paired, ok := rd.paired[id]
	if !ok {
		return Pin{}, flaw(Missing, needs, "the PinPaired of its pin, %v", id)
	}
	for _, seq := range []fact.Seq{registered.Seq, paired.Seq} {
		if _, err := rd.entry(seq, "a pin"); err != nil {
			return Pin{}, err
		}
	}
	switch {
	case paired.Fact.Wearer != w:
		return Pin{}, flaw(BadPin, needs, "its pin, %v, is paired with wearer %v: want %v", id, paired.Fact.Wearer, w)
	case registered.Seq >= paired.Seq:
		return Pin{}, flaw(BadOrder, paired.Seq, "pin %v is paired before it is registered, at %d", id, registered.Seq)
	case paired.Seq > needs:
		return Pin{}, flaw(BadOrder, needs, "its pin, %v, is paired only later, at %d", id, paired.Seq)
	}
	return Pin{Registered: registered, Paired: paired}, nil
}

func (rd *reader) readRules() (err error) {
	cause := rd.ev.Award.Derivation.Cause
	i := slices.IndexFunc(rd.entries, func(e fact.Entry) bool { _, ok := e.Fact.(fact.RulesAdopted); return ok })
	if i < 0 {
		return flaw(Missing, 0, "the RulesAdopted by which the award was given")
	}
	if rd.ev.Rules, err = placed[fact.RulesAdopted](rd, rd.entries[i].Seq, "the rules"); err != nil {
		return err
	}
	if rd.ev.Rules.Seq >= cause {
		return flaw(BadOrder, rd.ev.Rules.Seq, "the rules do not stand before the award's cause, %d", cause)
	}
	return nil
}

// readCause is rule 2, so far as it needs no friendships.
func (rd *reader) readCause() (err error) {
	ev := rd.ev
	if ev.Cause, err = rd.entry(ev.Award.Derivation.Cause, "the award's cause"); err != nil {
		return err
	}
	switch f := ev.Cause.Fact.(type) {
	case fact.FriendshipFormed: // one of those that are counted, or it is superfluous
	case fact.FriendshipEnded:
		if f.Lo != ev.Wearer && f.Hi != ev.Wearer {
			return flaw(BadAward, ev.Cause.Seq, "the award's cause is about other wearers, %v and %v", f.Lo, f.Hi)
		}
	case fact.PinPaired:
		p, err := rd.pin(f.Proof.Pin, ev.Wearer, ev.Cause.Seq)
		ev.paired = &p
		return err
	default:
		return flaw(BadAward, ev.Cause.Seq, "the award's cause is a %T: want a FriendshipFormed, a FriendshipEnded or a PinPaired", f)
	}
	return nil
}

// readFriendships is rules 4 to 6.
func (rd *reader) readFriendships() error {
	ev := rd.ev
	met := map[fact.WearerID]fact.Seq{}
	for _, e := range rd.entries {
		if _, ok := e.Fact.(fact.FriendshipFormed); !ok {
			continue
		}
		f, err := rd.readFriendship(e)
		if err != nil {
			return err
		}
		if first, twice := met[f.Other]; twice {
			return flaw(BadFriendship, e.Seq, "a second friendship with %v, after that at %d", f.Other, first)
		}
		met[f.Other] = e.Seq
		ev.Friendships = append(ev.Friendships, f)
	}
	if len(ev.Friendships) != int(ev.Friends) {
		return flaw(BadCount, ev.Award.Seq, "%d friendships: want %d, as the award counts", len(ev.Friendships), ev.Friends)
	}
	return nil
}

func (rd *reader) readFriendship(e fact.Entry) (f Friendship, err error) {
	if f.Formed, err = placed[fact.FriendshipFormed](rd, e.Seq, "a friendship"); err != nil {
		return f, err
	}
	formed, w, cause := f.Formed.Fact, rd.ev.Wearer, rd.ev.Award.Derivation.Cause
	switch {
	case bytes.Compare(formed.Lo[:], formed.Hi[:]) >= 0:
		return f, flaw(BadFriendship, e.Seq, "wearers %v and %v: want them in ascending order", formed.Lo, formed.Hi)
	case formed.Lo == w:
		f.Other = formed.Hi
	case formed.Hi == w:
		f.Other = formed.Lo
	default:
		return f, flaw(BadFriendship, e.Seq, "it is of %v and %v: want one of %v", formed.Lo, formed.Hi, w)
	}
	later := e.Derivation.Cause
	switch {
	case e.Seq > cause:
		return f, flaw(BadOrder, e.Seq, "the friendship is formed after the award's cause, %d", cause)
	case later >= e.Seq:
		return f, flaw(BadOrder, e.Seq, "its later half, %d, does not stand before it", later)
	case formed.Mate >= later:
		return f, flaw(BadOrder, e.Seq, "its first half, %d, does not stand before the later one, %d", formed.Mate, later)
	}
	return f, rd.readTap(&f, formed.Mate, later)
}

// readTap reads the two halves, decides which is whose, and checks that they meet.
func (rd *reader) readTap(f *Friendship, mate, later fact.Seq) (err error) {
	if f.First.Placed, err = placed[fact.HalfReported](rd, mate, "the first half of a friendship"); err != nil {
		return err
	}
	if f.Later.Placed, err = placed[fact.HalfReported](rd, later, "the later half of a friendship"); err != nil {
		return err
	}
	a, b := f.First.Fact.Half, f.Later.Fact.Half
	switch {
	case statement.TapID(a) != f.Formed.Fact.Tap:
		return flaw(BadTap, mate, "the half of tap %v: want %v, that of the friendship at %d", statement.TapID(a), f.Formed.Fact.Tap, f.Formed.Seq)
	case a.Pin != b.Peer || a.Peer != b.Pin:
		return flaw(BadTap, later, "pin %v met %v: want %v and %v, as in the half at %d", b.Pin, b.Peer, a.Peer, a.Pin, mate)
	case a.Nonce != b.PeerNonce || a.PeerNonce != b.Nonce:
		return flaw(BadTap, later, "its nonces are not those of the half at %d", mate)
	}
	first, second := rd.ev.Wearer, f.Other
	if p, ok := rd.paired[a.Pin]; ok && p.Fact.Wearer == second {
		first, second = second, first
	}
	if f.First.Pin, err = rd.pin(a.Pin, first, mate); err != nil {
		return err
	}
	f.Later.Pin, err = rd.pin(b.Pin, second, later)
	return err
}

// checkCause is the part of rule 4 that links the cause with the friendships.
func (rd *reader) checkCause() error {
	ended, ok := rd.ev.Cause.Fact.(fact.FriendshipEnded)
	if !ok {
		return nil
	}
	for _, f := range rd.ev.Friendships {
		if f.Later.Seq == ended.Friendship {
			return flaw(BadFriendship, f.Formed.Seq, "the award's cause, %d, is its end", rd.ev.Cause.Seq)
		}
	}
	return nil
}

// checkThreshold is the rest of rule 3.
func (rd *reader) checkThreshold() error {
	r, what, friends, seq := rd.ev.Rules.Fact.Rules, rd.ev.What, rd.ev.Friends, rd.ev.Award.Seq
	if what.Medal != 0 {
		if !rules.MedalDue(r, what.Medal, friends) {
			return flaw(Threshold, seq, "%d friends: %v takes %d", friends, what.Medal, rules.Needed(r, what.Medal))
		}
		return nil
	}
	place := placeOf(r, what.Background)
	if place == 0 {
		return flaw(Threshold, seq, "background %.80q: the rules have no such sport", what.Background)
	}
	if due := rules.BackgroundsDue(r, friends); due < place {
		return flaw(Threshold, seq, "%d friends: %d backgrounds are due, and %.80q is number %d", friends, due, what.Background, place)
	}
	return nil
}

// placeOf returns the place of the sport in the order of the rules, from 1; 0 if they have none.
func placeOf(r fact.Rules, background string) int {
	return 1 + slices.IndexFunc(r.Sports, func(s fact.Sport) bool { return s.ID == background })
}

func (rd *reader) checkUsed() error {
	if i := slices.Index(rd.used, false); i >= 0 {
		return &Error{Rule: Superfluous, Seq: rd.entries[i].Seq, Err: errors.New("the award does not rest on this fact")}
	}
	return nil
}
