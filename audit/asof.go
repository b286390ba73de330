package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// Moment says up to where a log is folded: up to a sequence, or up to the last fact that was stored by an instant. Where the
// log's clock was wrong for a while, stored times go back, and facts before that one may bear a later time: only the order of
// the log says what was known when. The zero Moment is the end of the log.
type Moment struct {
	seq     fact.Seq
	instant fact.UnixMilli
	text    string
}

// ParseMoment reads a sequence, from 1, or an instant in RFC 3339.
func ParseMoment(text string) (Moment, error) {
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil && seq > 0 {
		return Moment{seq: fact.Seq(seq), text: text}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.UnixMilli() <= 0 {
		return Moment{}, fmt.Errorf(`moment %.80q: must be a sequence from 1, or an instant after 1970 in RFC 3339 such as "2021-07-23T20:00:00+09:00"`, text)
	}
	return Moment{instant: fact.UnixMilli(t.UnixMilli()), text: text}, nil
}

// in returns the moment as a sequence of the log, which is read for that where it is an instant.
func (m Moment) in(ctx context.Context, messages iter.Seq2[eventlog.Message, error]) (Moment, error) {
	if m.instant == 0 {
		return m, nil
	}
	for next, err := range messages {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return m, err
		}
		if next.Stored <= m.instant {
			m.seq = next.Seq
		}
	}
	if m.seq == 0 {
		return m, fmt.Errorf("moment %s: no fact was stored by then", m.text)
	}
	return m, nil
}

func (m Moment) before(next eventlog.Message) bool { return m.seq > 0 && next.Seq > m.seq }

// Place is where a state stands in the log: the last fact that was folded.
type Place struct {
	Seq    fact.Seq `json:"seq"`
	Stored string   `json:"stored"` // when, in RFC 3339
}

// recorded folds recorded facts up to a moment. What a core derives is not folded, but as the log has it.
type recorded struct {
	until  Moment
	at     Place
	cores  []fold.Core
	stores []view.Store
	acts   map[fact.Family]bool
	// saw is called for each fact that was folded or is of a wanted family, with what the cores derived from it.
	saw func(e fact.Entry, derived []fact.Fact)
}

// newRecorded also shows facts of the wanted families to saw.
func newRecorded(until Moment, cores []fold.Core, wanted ...fact.Family) *recorded {
	r := &recorded{until: until, cores: cores, acts: map[fact.Family]bool{}, saw: func(fact.Entry, []fact.Fact) {}}
	for _, core := range cores {
		r.stores = append(r.stores, view.NewMemory())
		wanted = append(wanted, core.ActsOn()...)
	}
	for _, f := range wanted {
		r.acts[f] = true
	}
	return r
}

// run goes through the messages, twice where the moment is an instant.
func (r *recorded) run(ctx context.Context, messages iter.Seq2[eventlog.Message, error]) error {
	var err error
	if r.until, err = r.until.in(ctx, messages); err != nil {
		return err
	}
	if err := replay(ctx, messages, r.stores, r.take); err != nil {
		return err
	}
	switch {
	case r.at.Seq == 0:
		return errors.New("the log is empty")
	case r.at.Seq < r.until.seq:
		return fmt.Errorf("moment %s: the log ends at sequence %d", r.until.text, r.at.Seq)
	}
	return nil
}

func (r *recorded) take(txs []kv.Tx, m eventlog.Message) (bool, error) {
	if r.until.before(m) {
		return false, nil
	}
	r.at = Place{Seq: m.Seq, Stored: m.Stored.String()}
	if !r.acts[m.Family] {
		return true, nil
	}
	e, err := m.Decode()
	if err != nil {
		return false, err
	}
	var derived []fact.Fact
	for i, core := range r.cores {
		derived = append(derived, feed(core, txs[i], e)...)
	}
	r.saw(e, derived)
	return true, nil
}

// Leaderboard is the ranking as rewards had it at a moment.
type Leaderboard struct {
	At     Place         `json:"at"`
	Places []LeaderPlace `json:"places"` // never null
}

// LeaderPlace is one wearer's place.
type LeaderPlace struct {
	Rank        uint32 `json:"rank"` // equal counts share one: 1, 2, 2, 4
	Wearer      string `json:"wearer"`
	Friends     uint32 `json:"friends"`
	Medal       string `json:"medal,omitempty"` // the highest held
	Backgrounds int    `json:"backgrounds"`     // held
}

// LeaderboardAt returns the first places, at most limit, of the ranking at a moment, by folding the recorded facts up to
// there. The messages are gone through from the first one, and where the moment is an instant a second time. The errors are
// theirs, an *eventlog.DecodeError, the context's, and that of a moment outside the log.
func LeaderboardAt(ctx context.Context, messages iter.Seq2[eventlog.Message, error], until Moment, limit int) (Leaderboard, error) {
	r := newRecorded(until, []fold.Core{rewards.Core{}})
	if err := r.run(ctx, messages); err != nil {
		return Leaderboard{}, err
	}
	board := Leaderboard{At: r.at, Places: []LeaderPlace{}}
	err := viewAll(r.stores, nil, func(views []view.Reader) {
		for _, p := range rewards.Leaderboard(views[0], rewards.Place{}, limit) {
			awards := rewards.AwardsOf(views[0], p.Wearer)
			line := LeaderPlace{Rank: p.Rank, Wearer: p.Wearer.String(), Friends: p.Score, Backgrounds: len(backgroundsHeld(awards))}
			for _, m := range medalsHeld(awards) {
				line.Medal = m // they ascend
			}
			board.Places = append(board.Places, line)
		}
	})
	return board, err
}

// WearerState is what the services knew of a wearer at a moment.
type WearerState struct {
	At          Place       `json:"at"`
	Wearer      string      `json:"wearer"`
	Erased      bool        `json:"erased,omitempty"`
	Friends     uint32      `json:"friends"`        // as tap has it
	Rank        uint32      `json:"rank,omitempty"` // as rewards has it, which follows tap; 0 = not ranked
	FriendList  []Since     `json:"friend_list"`    // newest first; never null, as the other lists
	Medals      []Given     `json:"medals"`         // held, in the order given
	Backgrounds []Given     `json:"backgrounds"`    // held, in the order given
	Chosen      string      `json:"chosen,omitempty"`
	Days        []StepsDone `json:"days"` // with steps, newest first
}

// Since is a friend of a wearer.
type Since struct {
	Wearer     string   `json:"wearer"`
	Friendship fact.Seq `json:"friendship"` // its cause, the half that came second
	Formed     string   `json:"formed"`     // when that was stored, in RFC 3339
}

// Given is an award of a wearer.
type Given struct {
	Award   string   `json:"award"`           // medal or sport id
	Friends uint32   `json:"friends"`         // the count that led to it
	Seq     fact.Seq `json:"seq,omitempty"`   // of its fact; 0 = it was not recorded yet
	Given   string   `json:"given,omitempty"` // when that was stored, in RFC 3339
}

// StepsDone is a day of a wearer.
type StepsDone struct {
	Day         string `json:"day"`
	Steps       uint32 `json:"steps"`
	GoalReached bool   `json:"goal_reached"`
}

// WearerAt returns what there was of a wearer at a moment, by folding the recorded facts up to there. Messages and errors are
// as LeaderboardAt has them, and that of a wearer who was not paired with a pin by then.
func WearerAt(ctx context.Context, messages iter.Seq2[eventlog.Message, error], until Moment, w fact.WearerID) (WearerState, error) {
	r := newRecorded(until, []fold.Core{tap.Core{}, rewards.Core{}, steps.Core{}}, fact.Award)
	m := memory{wearer: w, formed: map[fact.Seq]fact.UnixMilli{}, given: map[rewards.AwardID]Given{}}
	r.saw = m.note
	if err := r.run(ctx, messages); err != nil {
		return WearerState{}, err
	}
	if !m.paired {
		return WearerState{}, fmt.Errorf("wearer %v: was paired with no pin up to sequence %d", w, r.at.Seq)
	}
	var s WearerState
	err := viewAll(r.stores, nil, func(views []view.Reader) {
		s = m.state(views[0], views[1], views[2])
	})
	s.At = r.at
	return s, err
}

// memory is what the views do not keep of a wearer: when things came.
type memory struct {
	wearer fact.WearerID
	paired bool
	formed map[fact.Seq]fact.UnixMilli // by cause: when that was stored
	given  map[rewards.AwardID]Given
}

// note takes note of a fact and of what was derived from it.
func (m *memory) note(e fact.Entry, derived []fact.Fact) {
	if f, ok := e.Fact.(fact.PinPaired); ok && f.Wearer == m.wearer {
		m.paired = true
	}
	if e.Fact.Family() == fact.Award {
		id := rewards.AwardID{Cause: e.Derivation.Cause, Index: e.Derivation.Index}
		if g, mine := m.given[id]; mine {
			g.Seq, g.Given = e.Seq, e.Stored.String()
			m.given[id] = g
		}
		return
	}
	var index uint32 // among the awards: rewards is the one core that derives them
	for _, f := range derived {
		switch f := f.(type) {
		case fact.FriendshipFormed:
			if f.Lo == m.wearer || f.Hi == m.wearer {
				m.formed[e.Seq] = e.Stored
			}
		case fact.BackgroundUnlocked:
			m.give(e.Seq, index, f.Wearer, f.Background, f.Friends)
			index++
		case fact.MedalAwarded:
			m.give(e.Seq, index, f.Wearer, f.Medal.String(), f.Friends)
			index++
		}
	}
}

func (m *memory) give(cause fact.Seq, index uint32, w fact.WearerID, award string, friends uint32) {
	if w == m.wearer {
		m.given[rewards.AwardID{Cause: cause, Index: index}] = Given{Award: award, Friends: friends}
	}
}

func (m *memory) state(taps, given, walked kv.Reader) WearerState {
	awards := rewards.AwardsOf(given, m.wearer)
	place, _ := rewards.Rank(given, m.wearer)
	s := WearerState{
		Wearer: m.wearer.String(), Erased: roster.Erased(given, m.wearer), Friends: tap.FriendCount(taps, m.wearer),
		Rank: place.Rank, Chosen: awards.Chosen,
		FriendList: []Since{}, Medals: []Given{}, Backgrounds: []Given{}, Days: []StepsDone{},
	}
	for _, f := range tap.Friends(taps, m.wearer, 0, math.MaxInt) {
		s.FriendList = append(s.FriendList, Since{Wearer: f.Wearer.String(), Friendship: f.Friendship, Formed: m.formed[f.Friendship].String()})
	}
	for _, medal := range awards.Medals {
		s.Medals = append(s.Medals, m.given[medal.Award])
	}
	for _, b := range awards.Backgrounds {
		if !b.Revoked {
			s.Backgrounds = append(s.Backgrounds, m.given[b.Award])
		}
	}
	for _, d := range allDays(walked, m.wearer) {
		s.Days = append(s.Days, StepsDone{Day: d.Day.String(), Steps: d.Steps, GoalReached: d.GoalReached})
	}
	return s
}

// allDays returns the days of a wearer that have steps, newest first.
func allDays(r kv.Reader, w fact.WearerID) []steps.Day {
	return steps.Days(r, w, steps.Latest, math.MaxInt)
}
