package tap

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// model is the fold again, as dumb as can be: it remembers everything, in slices, and looks through all of it each
// time. It shares no code with the core but the names of facts.
type model struct {
	most     int // expiries of one fact
	now      fact.UnixMilli
	lastTime fact.Seq // the last TimeCorrected
	rules    *fact.Rules
	pins     []*modelPin
	erased   []fact.WearerID
	records  []*modelRecord
	ships    []*modelFriendship
	halves   []modelHalf          // all that were ever told
	commands []modelCommand       // the Unfriended, Blocked and Unblocked that took effect
	outcomes map[fact.Seq]outcome // of every half
}

type modelPin struct {
	id      fact.PinID
	wearer  *fact.WearerID
	paired  fact.Seq
	retired bool
}

type modelRecord struct {
	half     fact.Half
	seq      fact.Seq
	deadline fact.UnixMilli
	limits   []fact.UnixMilli // of the corrections since
	overdue  bool             // at one of these corrections, and so for good
	era      fact.Seq         // the last correction before
	done     bool
}

// late reports whether the record does not count any more.
func (m *model) late(r *modelRecord) bool {
	deadline := r.deadline
	for _, limit := range r.limits {
		deadline = min(deadline, limit)
	}
	return r.overdue || deadline <= m.now
}

type modelHalf struct {
	seq     fact.Seq
	pin     fact.PinID
	counter fact.Counter
}

type modelFriendship struct {
	lo, hi      fact.WearerID
	cause, mate fact.Seq
	ended       fact.Seq
	how         fact.Ending
}

type modelCommand struct {
	kind      string // unfriend, block, unblock
	by, other fact.WearerID
	pin       fact.PinID // and counter: what it gives
	counter   fact.Counter
	seq       fact.Seq
}

// outcome is a word of invariant 4, or the name of a refusal.
type outcome string

func newModel(most int) *model { return &model{most: most, outcomes: map[fact.Seq]outcome{}} }

func (m *model) fold(e fact.Entry) []fact.Fact {
	switch f := e.Fact.(type) {
	case fact.TimePassed:
		m.now = max(m.now, min(f.Time, e.Stored))
	case fact.TimeCorrected:
		m.correct(e.Seq, f.Time, e.Stored)
	}
	derived := m.expire()
	switch f := e.Fact.(type) {
	case fact.RulesAdopted:
		m.rules = &f.Rules
	case fact.PinRegistered:
		if m.pin(f.Key.PinID()) == nil {
			m.pins = append(m.pins, &modelPin{id: f.Key.PinID()})
		}
	case fact.PinPaired:
		if p := m.pin(f.Proof.Pin); p != nil && p.wearer == nil && !p.retired && !slices.Contains(m.erased, f.Wearer) {
			p.wearer, p.paired = &f.Wearer, e.Seq
		}
	case fact.PinRetired:
		if p := m.pin(f.Pin); p != nil {
			p.retired = true
		}
	case fact.WearerErased:
		m.erased = append(m.erased, f.Wearer)
	case fact.HalfReported:
		m.halves = append(m.halves, modelHalf{e.Seq, f.Half.Pin, f.Half.Counter})
		derived = append(derived, m.report(e.Seq, f.Half)...)
	case fact.Unfriended:
		ship := m.current(func(s *modelFriendship) bool { return s.cause == f.Friendship })
		if ship != nil && (ship.lo == f.Wearer || ship.hi == f.Wearer) && m.has(f.Wearer, f.Pin) {
			other := ship.lo
			if ship.lo == f.Wearer {
				other = ship.hi
			}
			m.commands = append(m.commands, modelCommand{"unfriend", f.Wearer, other, f.Pin, f.Counter, e.Seq})
			derived = append(derived, ship.end(e.Seq, fact.EndedUnfriended))
		}
	case fact.Blocked:
		last, _ := m.lastBlock(f.Wearer, f.Other)
		known := slices.ContainsFunc(m.pins, func(p *modelPin) bool { return p.wearer != nil && *p.wearer == f.Other })
		if f.Wearer != f.Other && m.has(f.Wearer, f.Pin) && f.After == last && known {
			m.commands = append(m.commands, modelCommand{"block", f.Wearer, f.Other, f.Pin, f.Counter, e.Seq})
			if ship := m.between(f.Wearer, f.Other); ship != nil {
				derived = append(derived, ship.end(e.Seq, fact.EndedBlocked))
			}
		}
	case fact.Unblocked:
		if last, blocked := m.lastBlock(f.Wearer, f.Other); blocked && f.After == last {
			m.commands = append(m.commands, modelCommand{kind: "unblock", by: f.Wearer, other: f.Other, seq: e.Seq})
		}
	case fact.FriendshipRevoked:
		if ship := m.current(func(s *modelFriendship) bool { return s.cause == f.Friendship }); ship != nil {
			derived = append(derived, ship.end(e.Seq, fact.EndedRevoked))
		}
	}
	return derived
}

func (m *model) correct(seq fact.Seq, to, stored fact.UnixMilli) {
	for _, r := range m.records {
		r.overdue = m.late(r)
		r.limits = append(r.limits, stored+fact.UnixMilli(m.pendingFor().Milliseconds()))
	}
	m.now, m.lastTime = max(0, min(to, stored)), seq
}

func (m *model) pendingFor() time.Duration {
	if m.rules == nil {
		return 0
	}
	return m.rules.PendingFor
}

func (m *model) expire() []fact.Fact {
	slices.SortFunc(m.records, func(a, b *modelRecord) int {
		return cmp.Or(cmp.Compare(a.era, b.era), cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.seq, b.seq))
	})
	var derived []fact.Fact
	for range m.most {
		i := slices.IndexFunc(m.records, m.late)
		if i < 0 {
			break
		}
		derived = append(derived, m.drop(i)...)
	}
	return derived
}

// lastBlock returns the last Blocked or Unblocked of the one against the other, and whether it was a Blocked.
func (m *model) lastBlock(by, other fact.WearerID) (fact.Seq, bool) {
	for _, c := range slices.Backward(m.commands) {
		if c.by == by && c.other == other && c.kind != "unfriend" {
			return c.seq, c.kind == "block"
		}
	}
	return 0, false
}

func (m *model) blocks(by, other fact.WearerID) bool {
	_, blocked := m.lastBlock(by, other)
	return blocked
}

func (m *model) drop(i int) []fact.Fact {
	rec := m.records[i]
	m.records = slices.Delete(m.records, i, i+1)
	if rec.done {
		return nil
	}
	m.outcomes[rec.seq] = "expired"
	return []fact.Fact{fact.HalfRefused{Half: rec.seq, Refusal: fact.RefusedExpired}}
}

func (m *model) report(seq fact.Seq, h fact.Half) []fact.Fact {
	var derived []fact.Fact
	refuse := func(r fact.Refusal, halves ...fact.Seq) []fact.Fact {
		for _, seq := range halves {
			m.outcomes[seq] = outcome(r.String())
			derived = append(derived, fact.HalfRefused{Half: seq, Refusal: r})
		}
		return derived
	}
	same := func(r *modelRecord) bool {
		return r.half.Pin == h.Pin && r.half.Peer == h.Peer && r.half.Nonce == h.Nonce && r.half.PeerNonce == h.PeerNonce
	}
	if i := slices.IndexFunc(m.records, same); i >= 0 && m.late(m.records[i]) {
		derived = m.drop(i)
	}
	if slices.ContainsFunc(m.records, same) {
		m.outcomes[seq] = "duplicate"
		return derived
	}
	pin := m.pin(h.Pin)
	if pin == nil || pin.wearer == nil {
		return refuse(fact.RefusedUnpairedPin, seq)
	}
	if pin.retired || slices.Contains(m.erased, *pin.wearer) {
		return refuse(fact.RefusedRetiredPin, seq)
	}
	if !m.open() {
		return refuse(fact.RefusedClosed, seq)
	}
	own := &modelRecord{half: h, seq: seq, deadline: m.now.Add(m.rules.PendingFor), era: m.lastTime}
	i := slices.IndexFunc(m.records, func(r *modelRecord) bool {
		return r.half.Pin == h.Peer && r.half.Peer == h.Pin && r.half.Nonce == h.PeerNonce && r.half.PeerNonce == h.Nonce &&
			!r.done && !m.late(r)
	})
	if i < 0 {
		m.outcomes[seq] = "pending"
		m.records = append(m.records, own)
		return derived
	}
	mate := m.records[i]
	m.records = append(m.records, own)
	mate.done, own.done = true, true
	a, b := *m.pin(mate.half.Pin).wearer, *pin.wearer
	switch {
	case slices.Contains(m.erased, a):
		return refuse(fact.RefusedRetiredPin, mate.seq, seq)
	case a == b:
		return refuse(fact.RefusedSameWearer, mate.seq, seq)
	case m.blocks(a, b) || m.blocks(b, a):
		return refuse(fact.RefusedBlocked, mate.seq, seq)
	case m.between(a, b) != nil:
		m.outcomes[mate.seq], m.outcomes[seq] = "already friends", "already friends"
		return derived
	case slices.ContainsFunc(m.ships, func(s *modelFriendship) bool { return s.joins(a, b) && s.how == fact.EndedRevoked }):
		return refuse(fact.RefusedRevoked, mate.seq, seq)
	case !m.higher(a, b, mate.half) || !m.higher(b, a, h):
		return refuse(fact.RefusedUnfriended, mate.seq, seq)
	}
	m.outcomes[mate.seq], m.outcomes[seq] = "matched", "matched"
	lo, hi := a, b
	if bytes.Compare(lo[:], hi[:]) > 0 {
		lo, hi = hi, lo
	}
	m.ships = append(m.ships, &modelFriendship{lo: lo, hi: hi, cause: seq, mate: mate.seq})
	return append(derived, fact.FriendshipFormed{Lo: lo, Hi: hi, Tap: statement.TapID(h), Mate: mate.seq})
}

func (m *model) open() bool {
	r := m.rules
	return r != nil && r.PendingFor >= time.Millisecond && m.now >= r.Opens &&
		(r.Closes == 0 || m.now <= r.Closes.Add(r.UploadGrace))
}

// higher reports whether the half of wearer by was signed after by's last command against the other: with a counter above
// all that the commands gave for its pin and all halves of it that stood before the last one that the pin could see.
func (m *model) higher(by, other fact.WearerID, h fact.Half) bool {
	var last fact.Seq
	var mark fact.Counter
	for _, c := range m.commands {
		if c.by != by || c.other != other {
			continue
		}
		last = c.seq
		if c.seq < m.pin(h.Pin).paired {
			continue
		}
		if c.pin == h.Pin {
			mark = max(mark, c.counter)
		}
		for _, told := range m.halves {
			if told.pin == h.Pin && told.seq < c.seq {
				mark = max(mark, told.counter)
			}
		}
	}
	return last == 0 || h.Counter > mark || m.pin(h.Pin).paired > last
}

func (m *model) pin(id fact.PinID) *modelPin {
	for _, p := range m.pins {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (m *model) has(w fact.WearerID, id fact.PinID) bool {
	p := m.pin(id)
	return p != nil && p.wearer != nil && *p.wearer == w
}

func (m *model) current(is func(*modelFriendship) bool) *modelFriendship {
	for _, s := range m.ships {
		if s.ended == 0 && is(s) {
			return s
		}
	}
	return nil
}

func (m *model) between(a, b fact.WearerID) *modelFriendship {
	return m.current(func(s *modelFriendship) bool { return s.joins(a, b) })
}

func (s *modelFriendship) joins(a, b fact.WearerID) bool {
	return s.lo == a && s.hi == b || s.lo == b && s.hi == a
}

func (s *modelFriendship) end(seq fact.Seq, how fact.Ending) fact.Fact {
	s.ended, s.how = seq, how
	return fact.FriendshipEnded{Lo: s.lo, Hi: s.hi, Friendship: s.cause, Ending: how}
}

// friends returns the wearer's friends, newest first.
func (m *model) friends(w fact.WearerID) []Friend {
	var list []Friend
	for _, s := range slices.Backward(m.ships) {
		if s.ended == 0 && s.lo == w {
			list = append(list, Friend{s.hi, s.cause})
		}
		if s.ended == 0 && s.hi == w {
			list = append(list, Friend{s.lo, s.cause})
		}
	}
	return list
}

func (m *model) tally() Tally {
	t := Tally{Halves: uint64(len(m.outcomes)), FriendshipsFormed: uint64(len(m.ships))}
	for seq, o := range m.outcomes {
		switch o {
		case "matched":
			t.Matched++
		case "already friends":
			t.AlreadyFriends++
		case "duplicate":
			t.Duplicate++
		case "expired":
			t.Expired++
		case "pending":
			t.Pending++
		default:
			i := slices.IndexFunc(fact.Refusals(), func(r fact.Refusal) bool { return r.String() == string(o) })
			if i < 0 {
				panic(fmt.Sprintf("half %v has the outcome %q", seq, o))
			}
			t.Refused[fact.Refusals()[i]]++
		}
	}
	for _, s := range m.ships {
		if s.ended == 0 {
			t.Friendships++
		}
	}
	return t
}
