package server

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/serve/servetest"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
)

const (
	people = 30 // with a pin each
	walked = 40 // days on which wearer 0 has steps, up to today
)

// today is the local day that it is in these tests, and noon of it in Tokyo.
var (
	noon  = time.Date(2021, 7, 24, 12, 0, 0, 0, time.FixedZone("JST", 9*3600))
	today = fact.Day(noon.Add(9*time.Hour).Unix() / (24 * 3600))
)

// noonOf returns the slot that begins at noon of a day in Tokyo.
func noonOf(day fact.Day) fact.Slot {
	return fact.Slot(noon.Unix()/int64(fact.SlotLength.Seconds())) - fact.Slot(today-day)*96
}

func wearer(i int) (w fact.WearerID) {
	binary.BigEndian.PutUint64(w[:], uint64(i)*0x9e3779b97f4a7c15)
	return w
}

func key(i int) fact.PublicKey { return fact.PublicKey{1, byte(i)} }

// walk returns the report of a wearer's steps at noon of a day.
func walk(i int, day fact.Day, steps uint16) fact.Fact {
	return fact.StepsReported{Report: fact.StepReport{Pin: key(i).PinID(), FirstSlot: noonOf(day), Steps: []uint16{steps}}}
}

// world is a steps service over what 30 wearers walked.
type world struct {
	*servetest.Service
	api  stepsv1.StepsServiceClient
	seq  uint64           // of the last fact that the test appended
	days []*stepsv1.Day   // of wearer 0, newest first
	want []*stepsv1.Place // the ranking of today, by a dumb model
	rank map[int]int      // index in want, by wearer
}

// newWorld lets wearer 0 walk on 40 days, and most of the others today, some of them equally far.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Service: servetest.Start(t, Run), rank: map[int]int{}}
	w.api = stepsv1.NewStepsServiceClient(w.Conn)
	facts := []fact.Fact{fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: fact.UnixMilli(noon.UnixMilli())}}
	for i := range people {
		facts = append(facts, fact.PinRegistered{Key: key(i)}, fact.PinPaired{Wearer: wearer(i), Proof: fact.Proof{Pin: key(i).PinID()}})
	}
	for i := range walked {
		day, n := today-fact.Day(i), uint16(100+10*i)
		if i == 5 {
			n = 12_000 // past the goal
		}
		facts = append(facts, walk(0, day, n))
		w.days = append(w.days, stepsv1.Day_builder{Day: day.String(), Steps: uint32(n), GoalReached: i == 5}.Build())
	}
	steps := map[int]uint32{0: 100}
	for i := 1; i < people-3; i++ {
		steps[i] = uint32(50 * (1 + i%7))
		facts = append(facts, walk(i, today, uint16(steps[i])))
	}
	w.seq = w.Append(t, servetest.Reported(facts...)...)
	var order []int
	for i := range steps {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int {
		wa, wb := wearer(a), wearer(b)
		return cmp.Or(cmp.Compare(steps[b], steps[a]), slices.Compare(wa[:], wb[:]))
	})
	for place, i := range order {
		rank := uint32(place + 1)
		if place > 0 && steps[order[place-1]] == steps[i] {
			rank = w.want[place-1].GetRank()
		}
		w.rank[i] = place
		w.want = append(w.want, stepsv1.Place_builder{Rank: rank, Wearer: wearer(i).String(), Steps: steps[i]}.Build())
	}
	return w
}

// wantAll checks a list of messages.
func wantAll[M proto.Message](t *testing.T, what string, got, want []M) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b M) bool { return proto.Equal(a, b) }) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestDays reads the days of a wearer in pages of every size: they are all days with steps, newest first.
func TestDays(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int32{1, 3, walked - 1, walked, walked + 1, 500} {
		got := servetest.Walk(t, size, func(size int32, token string) ([]*stepsv1.Day, string, error) {
			r, err := w.api.ListDays(t.Context(), stepsv1.ListDaysRequest_builder{
				Wearer: wearer(0).String(), MinSeq: w.seq, PageSize: size, PageToken: token,
			}.Build())
			if err == nil && r.GetSeq() < w.seq {
				t.Errorf("got the sequence %d, asked for %d", r.GetSeq(), w.seq)
			}
			return r.GetDays(), r.GetNextPageToken(), err
		})
		wantAll(t, fmt.Sprintf("page size %d", size), got, w.days)
	}
	r, err := w.api.ListDays(t.Context(), stepsv1.ListDaysRequest_builder{Wearer: wearer(people - 1).String()}.Build())
	if err != nil || len(r.GetDays()) != 0 || r.GetNextPageToken() != "" {
		t.Errorf("a wearer without steps: got %v, %v", r, err)
	}
}

// TestDay: a day that is asked for, or today; one without steps too.
func TestDay(t *testing.T) {
	w := newWorld(t)
	for day, want := range map[string]*stepsv1.Day{
		"":                            w.days[0],
		today.String():                w.days[0],
		(today - 5).String():          w.days[5],
		(today - walked).String():     stepsv1.Day_builder{Day: (today - walked).String()}.Build(),
		(today + 1).String():          stepsv1.Day_builder{Day: (today + 1).String()}.Build(),
		"1970-01-01":                  stepsv1.Day_builder{Day: "1970-01-01"}.Build(),
		(today - walked + 1).String(): w.days[walked-1],
	} {
		r, err := w.api.GetDay(t.Context(), stepsv1.GetDayRequest_builder{Wearer: wearer(0).String(), Day: day, MinSeq: w.seq}.Build())
		if err != nil || !proto.Equal(r.GetDay(), want) || r.GetGoal() != 10_000 || r.GetSeq() < w.seq {
			t.Errorf("day %q: got %v, %v, want %v with the goal 10000 at %d", day, r, err, want, w.seq)
		}
	}
}

// TestLeaderboard reads the ranking of today in pages of every size, and that of another day.
func TestLeaderboard(t *testing.T) {
	w := newWorld(t)
	list := func(day string) func(int32, string) ([]*stepsv1.Place, string, error) {
		return func(size int32, token string) ([]*stepsv1.Place, string, error) {
			r, err := w.api.ListLeaderboard(t.Context(), stepsv1.ListLeaderboardRequest_builder{
				Day: day, MinSeq: w.seq, PageSize: size, PageToken: token,
			}.Build())
			if want := cmp.Or(day, today.String()); err == nil && (r.GetDay() != want || r.GetSeq() < w.seq) {
				t.Errorf("got the day %s at %d, want %s at %d", r.GetDay(), r.GetSeq(), want, w.seq)
			}
			return r.GetPlaces(), r.GetNextPageToken(), err
		}
	}
	for _, size := range []int32{1, 2, 7, int32(len(w.want)) - 1, int32(len(w.want)), int32(len(w.want)) + 1, 500} {
		wantAll(t, fmt.Sprintf("page size %d", size), servetest.Walk(t, size, list("")), w.want)
	}
	wantAll(t, "today by its date", servetest.Walk(t, 4, list(today.String())), w.want)
	wantAll(t, "five days ago", servetest.Walk(t, 4, list((today-5).String())), []*stepsv1.Place{
		stepsv1.Place_builder{Rank: 1, Wearer: wearer(0).String(), Steps: 12_000}.Build(),
	})
	wantAll(t, "tomorrow", servetest.Walk(t, 4, list((today+1).String())), nil)
}

// TestStanding: each wearer's rank, and the neighbours in the order of the ranking, as many as there are.
func TestStanding(t *testing.T) {
	w := newWorld(t)
	ask := func(i int, day string, neighbours int32) *stepsv1.GetStandingResponse {
		r, err := w.api.GetStanding(t.Context(), stepsv1.GetStandingRequest_builder{
			Wearer: wearer(i).String(), Day: day, MinSeq: w.seq, Neighbours: neighbours,
		}.Build())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i, at := range w.rank {
		const n = 3
		r := ask(i, "", n)
		if r.GetRank() != w.want[at].GetRank() || r.GetSteps() != w.want[at].GetSteps() || r.GetDay() != today.String() || r.GetSeq() < w.seq {
			t.Errorf("wearer %d: got %v, want the place %v of today at %d", i, r, w.want[at], w.seq)
		}
		wantAll(t, fmt.Sprintf("around wearer %d", i), r.GetPlaces(), w.want[max(0, at-n):min(len(w.want), at+n+1)])
	}
	wantAll(t, "alone", ask(0, "", 0).GetPlaces(), w.want[w.rank[0]:w.rank[0]+1])
	if r := ask(0, (today - 5).String(), 3); r.GetRank() != 1 || r.GetSteps() != 12_000 || len(r.GetPlaces()) != 1 {
		t.Errorf("five days ago: got %v, want the only place", r)
	}
	if r := ask(people-1, "", 3); r.GetRank() != 0 || r.GetSteps() != 0 || len(r.GetPlaces()) != 0 {
		t.Errorf("a wearer without steps: got %v, want no rank", r)
	}
}

// TestRefused: each call says which field is wrong, and what is not there yet in time for the caller to hear it.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	ctx, errorOf, someone := t.Context(), servetest.ErrorOf, wearer(0).String()
	for name, err := range map[string]error{
		"day of nobody":           errorOf(w.api.GetDay(ctx, &stepsv1.GetDayRequest{})),
		"day, no date":            errorOf(w.api.GetDay(ctx, stepsv1.GetDayRequest_builder{Wearer: someone, Day: "2021-02-30"}.Build())),
		"day, too early":          errorOf(w.api.GetDay(ctx, stepsv1.GetDayRequest_builder{Wearer: someone, Day: "1969-12-31"}.Build())),
		"days of nobody":          errorOf(w.api.ListDays(ctx, stepsv1.ListDaysRequest_builder{Wearer: "x"}.Build())),
		"days, too large":         errorOf(w.api.ListDays(ctx, stepsv1.ListDaysRequest_builder{Wearer: someone, PageSize: 501}.Build())),
		"days, its token":         errorOf(w.api.ListDays(ctx, stepsv1.ListDaysRequest_builder{Wearer: someone, PageToken: "7"}.Build())),
		"leaderboard, no date":    errorOf(w.api.ListLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{Day: "today"}.Build())),
		"leaderboard, below 0":    errorOf(w.api.ListLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{PageSize: -1}.Build())),
		"leaderboard, its token":  errorOf(w.api.ListLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{PageToken: "7"}.Build())),
		"standing of nobody":      errorOf(w.api.GetStanding(ctx, stepsv1.GetStandingRequest_builder{Wearer: "x"}.Build())),
		"standing, no date":       errorOf(w.api.GetStanding(ctx, stepsv1.GetStandingRequest_builder{Wearer: someone, Day: "24.7.2021"}.Build())),
		"standing, too many":      errorOf(w.api.GetStanding(ctx, stepsv1.GetStandingRequest_builder{Wearer: someone, Neighbours: 51}.Build())),
		"standing, fewer than no": errorOf(w.api.GetStanding(ctx, stepsv1.GetStandingRequest_builder{Wearer: someone, Neighbours: -1}.Build())),
	} {
		t.Run(name, func(t *testing.T) { servetest.WantError(t, err, codes.InvalidArgument, "MALFORMED") })
	}
	later := w.seq + 1000
	for name, call := range map[string]func(context.Context) error{
		"day": func(ctx context.Context) error {
			return errorOf(w.api.GetDay(ctx, stepsv1.GetDayRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
		"days": func(ctx context.Context) error {
			return errorOf(w.api.ListDays(ctx, stepsv1.ListDaysRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
		"leaderboard": func(ctx context.Context) error {
			return errorOf(w.api.ListLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{MinSeq: later}.Build()))
		},
		"standing": func(ctx context.Context) error {
			return errorOf(w.api.GetStanding(ctx, stepsv1.GetStandingRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
	} {
		t.Run(name+" later", func(t *testing.T) { servetest.WantNotReached(t, call) })
	}
}
