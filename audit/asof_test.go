package audit_test

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// past is a dumb model of what was known at a sequence: it reads the recorded facts, all of them, and takes those that
// follow from what stands up to there.
type past struct {
	t       testing.TB
	entries []fact.Entry
	at      fact.Seq
}

func pastOf(t testing.TB, messages []eventlog.Message, at fact.Seq) past {
	p := past{t: t, at: at}
	for _, m := range messages {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		p.entries = append(p.entries, e)
	}
	return p
}

func (p past) stored(seq fact.Seq) string { return p.entries[seq-1].Stored.String() }

// counts returns the friends of each wearer by the recorded friendships, and the most that there ever were.
func (p past) counts() (now, most map[fact.WearerID]uint32) {
	now, most = map[fact.WearerID]uint32{}, map[fact.WearerID]uint32{}
	for _, e := range p.entries[:p.at] {
		switch f := e.Fact.(type) {
		case fact.FriendshipFormed:
			now[f.Lo]++
			now[f.Hi]++
			most[f.Lo], most[f.Hi] = max(most[f.Lo], now[f.Lo]), max(most[f.Hi], now[f.Hi])
		case fact.FriendshipEnded:
			now[f.Lo]--
			now[f.Hi]--
		}
	}
	return now, most
}

// leaderboard ranks by verifyRules.
func (p past) leaderboard() []audit.LeaderPlace {
	list := []audit.LeaderPlace{}
	now, most := p.counts()
	for w, n := range now {
		if n == 0 {
			continue
		}
		place := audit.LeaderPlace{Rank: 1, Wearer: w.String(), Friends: n, Backgrounds: int(most[w] / 2)}
		for _, other := range now {
			if other > n {
				place.Rank++
			}
		}
		for i, medal := range []string{"bronze", "silver", "gold"} {
			if most[w] >= uint32(2+i) {
				place.Medal = medal
			}
		}
		list = append(list, place)
	}
	slices.SortFunc(list, func(a, b audit.LeaderPlace) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), compareWearers(p.t, a.Wearer, b.Wearer))
	})
	return list
}

// wearer returns all but the days; ok is false before the pairing.
func (p past) wearer(w fact.WearerID) (s audit.WearerState, ok bool) {
	s = audit.WearerState{
		At: audit.Place{Seq: p.at, Stored: p.stored(p.at)}, Wearer: w.String(),
		FriendList: []audit.Since{}, Medals: []audit.Given{}, Backgrounds: []audit.Given{}, Days: []audit.StepsDone{},
	}
	for _, e := range p.entries {
		if paired, is := e.Fact.(fact.PinPaired); is && paired.Wearer == w && e.Seq <= p.at {
			ok = true
		}
		cause := e.Derivation.Cause
		if cause == 0 || e.Fact.Family() == fact.Friendship && cause > p.at || e.Fact.Family() == fact.Award && cause > p.at {
			continue
		}
		given := audit.Given{}
		if e.Seq <= p.at {
			given.Seq, given.Given = e.Seq, e.Stored.String()
		}
		switch f := e.Fact.(type) {
		case fact.FriendshipFormed:
			other := f.Lo
			if f.Lo == w {
				other = f.Hi
			}
			if f.Lo == w || f.Hi == w {
				s.FriendList = append(s.FriendList, audit.Since{Wearer: other.String(), Friendship: cause, Formed: p.stored(cause)})
			}
		case fact.FriendshipEnded:
			s.FriendList = slices.DeleteFunc(s.FriendList, func(f2 audit.Since) bool { return f2.Friendship == f.Friendship })
		case fact.MedalAwarded:
			if given.Award, given.Friends = f.Medal.String(), f.Friends; f.Wearer == w {
				s.Medals = append(s.Medals, given)
			}
		case fact.BackgroundUnlocked:
			if given.Award, given.Friends = f.Background, f.Friends; f.Wearer == w {
				s.Backgrounds = append(s.Backgrounds, given)
			}
		}
	}
	slices.SortFunc(s.FriendList, func(a, b audit.Since) int { return cmp.Compare(b.Friendship, a.Friendship) })
	s.Friends = uint32(len(s.FriendList))
	for _, place := range p.leaderboard() {
		if place.Wearer == s.Wearer {
			s.Rank = place.Rank
		}
	}
	return s, ok
}

func moment(t testing.TB, text string) audit.Moment {
	t.Helper()
	m, err := audit.ParseMoment(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLeaderboardAt(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	for at := fact.Seq(1); int(at) <= len(messages); at++ {
		p := pastOf(t, messages, at)
		want := audit.Leaderboard{At: audit.Place{Seq: at, Stored: p.stored(at)}, Places: p.leaderboard()}
		got, err := audit.LeaderboardAt(context.Background(), each(messages, nil), moment(t, at.String()), 100)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("at %d: error %v, got\n%+v, want\n%+v", at, err, got, want)
		}
		if at%20 != 0 {
			continue
		}
		top, err := audit.LeaderboardAt(context.Background(), each(messages, nil), moment(t, at.String()), 2)
		if err != nil || !reflect.DeepEqual(top.Places, want.Places[:min(2, len(want.Places))]) {
			t.Fatalf("at %d: error %v, the first two are %+v, want of %+v", at, err, top.Places, want.Places)
		}
	}
	end, err := audit.LeaderboardAt(context.Background(), each(messages, nil), audit.Moment{}, 100)
	if want := pastOf(t, messages, fact.Seq(len(messages))).leaderboard(); err != nil || !reflect.DeepEqual(end.Places, want) || int(end.At.Seq) != len(messages) {
		t.Errorf("at the end: error %v, got\n%+v, want\n%+v", err, end, want)
	}
}

func TestWearerAt(t *testing.T) {
	w, all := cleanWorld(t)
	messages := w.messages()
	_, walked := find[fact.StepsReported](t, messages, 5)
	report := slices.IndexFunc(messages, func(m eventlog.Message) bool {
		e, _ := m.Decode()
		s, ok := e.Fact.(fact.StepsReported)
		return ok && s.Report.Pin == walked.Report.Pin
	}) + 1
	for at := fact.Seq(1); int(at) <= len(messages); at++ {
		p := pastOf(t, messages, at)
		for i, pin := range []*client.Pin{all[0], all[5]} {
			want, paired := p.wearer(wearerOf(pin))
			got, err := audit.WearerAt(context.Background(), each(messages, nil), moment(t, at.String()), wearerOf(pin))
			if !paired {
				if err == nil || !strings.Contains(err.Error(), "was paired with no pin up to sequence "+at.String()) {
					t.Fatalf("at %d, before the pairing: error %v", at, err)
				}
				continue
			}
			if i == 1 && int(at) >= report { // all[5] walks 2500 steps, of 1000
				want.Days = []audit.StepsDone{{Day: "2020-09-13", Steps: 2500, GoalReached: true}}
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("at %d: error %v, got\n%+v, want\n%+v", at, err, got, want)
			}
		}
	}
}

// TestWearerAtChanges has what cleanWorld does not: a choice, revoked awards, an erasure.
func TestWearerAtChanges(t *testing.T) {
	w := newVerifyWorld(t)
	all := w.crowdOf(5)
	a := wearerOf(all[0])
	before := w.add(fact.BackgroundChosen{Wearer: a, Background: "archery"})
	w.add(awardOf(t, w, a, "aquatics"))
	w.add(awardOf(t, w, a, "gold"))
	w.add(fact.WearerErased{Wearer: a})
	names := func(list []audit.Given) (names []string) {
		for _, g := range list {
			names = append(names, g.Award)
		}
		return names
	}
	for at, want := range map[fact.Seq]struct {
		medals, backgrounds []string
		chosen              string
		erased              bool
		rank                uint32
	}{
		before - 1: {[]string{"bronze", "silver", "gold"}, []string{"aquatics", "archery"}, "", false, 1},
		before:     {[]string{"bronze", "silver", "gold"}, []string{"aquatics", "archery"}, "archery", false, 1},
		before + 2: {[]string{"bronze", "silver"}, []string{"archery"}, "archery", false, 1},
		before + 3: {[]string{"bronze", "silver"}, []string{"archery"}, "archery", true, 0},
	} {
		got, err := audit.WearerAt(context.Background(), each(w.messages(), nil), moment(t, at.String()), a)
		if err != nil || !slices.Equal(names(got.Medals), want.medals) || !slices.Equal(names(got.Backgrounds), want.backgrounds) ||
			got.Chosen != want.chosen || got.Erased != want.erased || got.Rank != want.rank || got.Friends != 4 {
			t.Errorf("at %d: error %v, got %+v, want %+v", at, err, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	for i, m := range messages {
		// The last of those that were stored at once.
		want := m.Seq
		for _, later := range messages[i:] {
			if later.Stored == m.Stored {
				want = later.Seq
			}
		}
		for _, text := range []string{m.Stored.String(), m.Stored.Add(999e6).String()} {
			got, err := audit.LeaderboardAt(context.Background(), each(messages, nil), moment(t, text), 1)
			if err != nil || got.At.Seq != want {
				t.Fatalf("at %s: error %v, sequence %d, want %d", text, err, got.At.Seq, want)
			}
		}
	}
}

// TestMomentsOfAWrongClock asks for instants in a log whose own clock was ahead for a while, and was set back.
func TestMomentsOfAWrongClock(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := slices.Clone(w.messages())
	ahead := fact.UnixMilli(0).Add(15 * 365 * 24 * time.Hour)
	for i := 9; i < 15; i++ {
		messages[i].Stored += ahead
	}
	for text, want := range map[string]fact.Seq{
		messages[8].Stored.String():                  9,
		messages[8].Stored.Add(999e6).String():       9,
		messages[20].Stored.String():                 21, // not 9: the jump hides nothing that was stored by then
		messages[11].Stored.String():                 fact.Seq(len(messages)),
		messages[9].Stored.Add(-time.Hour).String():  fact.Seq(len(messages)),
		messages[40].Stored.Add(999e6).String():      41,
		messages[len(messages)-1].Stored.String():    fact.Seq(len(messages)),
		(messages[8].Stored + ahead + 2000).String(): fact.Seq(len(messages)),
	} {
		for i := range messages { // of those that were stored at once, the last
			if messages[i].Seq > want && messages[i].Stored == messages[want-1].Stored {
				want = messages[i].Seq
			}
		}
		got, err := audit.LeaderboardAt(context.Background(), each(messages, nil), moment(t, text), 1)
		if err != nil || got.At.Seq != want {
			t.Errorf("at %s: error %v, sequence %d, want %d", text, err, got.At.Seq, want)
		}
	}
}

func TestAsOfErrors(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	for _, text := range []string{"", "0", "-1", "1.5", "noon", "2021-07-23", "1969-01-01T00:00:00Z", "18446744073709551616"} {
		if _, err := audit.ParseMoment(text); err == nil || !strings.Contains(err.Error(), "must be a sequence") {
			t.Errorf("%q: error %v", text, err)
		}
	}
	undecodable := slices.Clone(messages)
	undecodable[1].Payload = []byte{0xff} // a time, which rewards does not act on, and tap does
	for name, tt := range map[string]struct {
		cut      bool // the context is
		messages []eventlog.Message
		err      error
		at       audit.Moment
		want     [2]string // of the leaderboard, of the wearer
	}{
		"beyond the end": {false, messages, nil, moment(t, "100000"), [2]string{"moment 100000: the log ends at", "moment 100000: the log ends at"}},
		"too early":      {false, messages, nil, moment(t, "2001-01-01T00:00:00Z"), [2]string{"no fact was stored by then", "no fact was stored by then"}},
		"a part":         {false, messages[1:], nil, audit.Moment{}, [2]string{"log: sequence 2 stands where 1 must", "log: sequence 2 stands where 1 must"}},
		"empty":          {false, nil, nil, audit.Moment{}, [2]string{"the log is empty", "the log is empty"}},
		"not to be read": {false, undecodable, nil, audit.Moment{}, [2]string{"", "log: sequence 2"}},
		"reading fails":  {false, messages, errors.New("lost"), audit.Moment{}, [2]string{"lost", "lost"}},
		"read far enough": {
			false, messages, errors.New("lost"), moment(t, fact.Seq(len(messages)-1).String()), [2]string{"", ""},
		},
		"interrupted": {true, messages, nil, audit.Moment{}, [2]string{"context canceled", "context canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if tt.cut {
				cancel()
			}
			_, board := audit.LeaderboardAt(ctx, each(tt.messages, tt.err), tt.at, 1)
			_, wearer := audit.WearerAt(ctx, each(tt.messages, tt.err), tt.at, wearerOf(w.pins[0]))
			for i, err := range []error{board, wearer} {
				if got := errorText(err); !strings.Contains(got, tt.want[i]) || (tt.want[i] == "") != (err == nil) {
					t.Errorf("error %q, want %q", got, tt.want[i])
				}
			}
		})
	}
}
