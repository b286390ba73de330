package server

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/serve/servetest"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// people is how many wearers meet in these tests.
const people = 60

// wearer returns the i-th wearer. Their order is not that of their numbers.
func wearer(i int) (w fact.WearerID) {
	binary.BigEndian.PutUint64(w[:], uint64(i)*0x9e3779b97f4a7c15)
	return w
}

// friends returns the record of a friendship of two wearers.
func friends(cause, a, b int) fact.Record {
	lo, hi := wearer(a), wearer(b)
	if slices.Compare(lo[:], hi[:]) > 0 {
		lo, hi = hi, lo
	}
	return fact.Record{
		Fact:       fact.FriendshipFormed{Lo: lo, Hi: hi, Mate: 1},
		Derivation: fact.Derivation{Cause: fact.Seq(cause), Count: 1},
	}
}

// world is a rewards service over what 60 wearers earned.
type world struct {
	*servetest.Service
	api  rewardsv1.RewardsServiceClient
	seq  uint64             // of the last fact that the test appended
	want []*rewardsv1.Place // the ranking, by a dumb model
	of   map[int]uint32     // friends, by wearer
	rank map[int]int        // index in want, by wearer
}

// newWorld lets wearer 0 befriend 52 others, and some of these each other; 7 have no friend.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Service: servetest.Start(t, Run), of: map[int]uint32{}, rank: map[int]int{}}
	w.api = rewardsv1.NewRewardsServiceClient(w.Conn)
	records := servetest.Reported(fact.RulesAdopted{Rules: rules.Tokyo2020()})
	meet := func(a, b int) {
		records = append(records, friends(100+len(records), a, b))
		w.of[a]++
		w.of[b]++
	}
	for i := 1; i <= 52; i++ {
		meet(0, i)
		for j := 1; j < i%5; j++ {
			meet(i, i-j)
		}
	}
	w.seq = w.Append(t, records...)
	var order []int
	for i := range w.of {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int {
		wa, wb := wearer(a), wearer(b)
		return cmp.Or(cmp.Compare(w.of[b], w.of[a]), slices.Compare(wa[:], wb[:]))
	})
	for place, i := range order {
		rank := uint32(place + 1)
		if place > 0 && w.of[order[place-1]] == w.of[i] {
			rank = w.want[place-1].GetRank()
		}
		w.rank[i] = place
		w.want = append(w.want, rewardsv1.Place_builder{Rank: rank, Wearer: wearer(i).String(), Friends: w.of[i]}.Build())
	}
	return w
}

func wantPlaces(t *testing.T, what string, got, want []*rewardsv1.Place) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b *rewardsv1.Place) bool { return proto.Equal(a, b) }) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestLeaderboard reads the ranking in pages of every size: they are the ranking, whole and in order.
func TestLeaderboard(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int32{1, 2, 7, int32(len(w.want)) - 1, int32(len(w.want)), int32(len(w.want)) + 1, 500} {
		got := servetest.Walk(t, size, func(size int32, token string) ([]*rewardsv1.Place, string, error) {
			r, err := w.api.ListLeaderboard(t.Context(), rewardsv1.ListLeaderboardRequest_builder{MinSeq: w.seq, PageSize: size, PageToken: token}.Build())
			if err == nil && r.GetSeq() < w.seq {
				t.Errorf("got the sequence %d, asked for %d", r.GetSeq(), w.seq)
			}
			return r.GetPlaces(), r.GetNextPageToken(), err
		})
		wantPlaces(t, fmt.Sprintf("page size %d", size), got, w.want)
	}
	r, err := w.api.ListLeaderboard(t.Context(), &rewardsv1.ListLeaderboardRequest{})
	if err != nil || len(r.GetPlaces()) != 50 || r.GetNextPageToken() == "" {
		t.Errorf("by default: got %d places, the token %q, %v, want 50 and more", len(r.GetPlaces()), r.GetNextPageToken(), err)
	}
}

// TestStanding: each wearer's rank, and the neighbours in the order of the ranking, as many as there are.
func TestStanding(t *testing.T) {
	w := newWorld(t)
	ask := func(i int, neighbours int32) *rewardsv1.GetStandingResponse {
		r, err := w.api.GetStanding(t.Context(), rewardsv1.GetStandingRequest_builder{
			Wearer: wearer(i).String(), MinSeq: w.seq, Neighbours: neighbours,
		}.Build())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i, at := range w.rank {
		const n = 3
		r := ask(i, n)
		if r.GetRank() != w.want[at].GetRank() || r.GetFriends() != w.of[i] || r.GetSeq() < w.seq {
			t.Errorf("wearer %d: got %v, want the place %v at %d", i, r, w.want[at], w.seq)
		}
		wantPlaces(t, fmt.Sprintf("around wearer %d", i), r.GetPlaces(), w.want[max(0, at-n):min(len(w.want), at+n+1)])
	}
	wantPlaces(t, "alone", ask(0, 0).GetPlaces(), w.want[w.rank[0]:w.rank[0]+1])
	if r := ask(people-1, 3); r.GetRank() != 0 || r.GetFriends() != 0 || len(r.GetPlaces()) != 0 {
		t.Errorf("a wearer without friends: got %v, want no rank", r)
	}
}

// TestAwards follows one wearer through all that can become of awards.
func TestAwards(t *testing.T) {
	w := newWorld(t)
	awards := func(i int) *rewardsv1.GetAwardsResponse {
		r, err := w.api.GetAwards(t.Context(), rewardsv1.GetAwardsRequest_builder{Wearer: wearer(i).String(), MinSeq: w.seq}.Build())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got := awards(0)
	sports := rules.Tokyo2020().Sports
	if got.GetFriends() != 52 || len(got.GetBackgrounds()) != 10 || len(got.GetMedals()) != 1 || got.GetSeq() < w.seq || got.GetChosen() != "" {
		t.Fatalf("got %v, want 52 friends, 10 backgrounds and a medal at %d", got, w.seq)
	}
	for i, b := range got.GetBackgrounds() {
		if b.GetBackground() != sports[i].ID || b.GetAward().GetCause() == 0 || b.GetRevoked() {
			t.Errorf("background %d: got %v, want that of %s", i, b, sports[i].ID)
		}
	}
	if m := got.GetMedals()[0]; m.GetMedal() != logv1.Medal_MEDAL_BRONZE || m.GetAward().GetCause() != got.GetBackgrounds()[9].GetAward().GetCause() || m.GetAward().GetIndex() != 1 {
		t.Errorf("got the medal %v, want bronze by the cause of the tenth background, as its second award", m)
	}
	if n := got.GetNextBackground(); n.GetBackground() != sports[10].ID || n.GetFriendsMore() != 3 {
		t.Errorf("got %v next, want %s in 3 friends", n, sports[10].ID)
	}
	if n := got.GetNextMedal(); n.GetMedal() != logv1.Medal_MEDAL_SILVER || n.GetFriendsMore() != 48 {
		t.Errorf("got the medal %v next, want silver in 48 friends", n)
	}
	// One is chosen, and then revoked.
	first := got.GetBackgrounds()[0].GetAward()
	w.seq = w.Append(t, servetest.Reported(fact.BackgroundChosen{Wearer: wearer(0), Background: sports[0].ID})...)
	if got := awards(0).GetChosen(); got != sports[0].ID {
		t.Errorf("got %q chosen, want %s", got, sports[0].ID)
	}
	w.seq = w.Append(t, servetest.Reported(fact.AwardRevoked{Cause: fact.Seq(first.GetCause()), Index: first.GetIndex(), Reason: fact.RevokedError})...)
	if got := awards(0); !got.GetBackgrounds()[0].GetRevoked() || got.GetBackgrounds()[1].GetRevoked() || got.GetChosen() != "" {
		t.Errorf("got %v, want the first background revoked and none chosen", got)
	}
	totals, err := w.api.GetTotals(t.Context(), rewardsv1.GetTotalsRequest_builder{MinSeq: w.seq}.Build())
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(0)
	for _, n := range w.of {
		want += uint64(n / 5)
	}
	if totals.GetBronze() != 1 || totals.GetSilver() != 0 || totals.GetGold() != 0 || totals.GetBackgrounds() != want-1 ||
		totals.GetCompleteCollections() != 0 || totals.GetSeq() < w.seq {
		t.Errorf("got %v, want one bronze medal and %d backgrounds at %d", totals, want-1, w.seq)
	}
	if got := awards(people - 1); got.GetFriends() != 0 || len(got.GetBackgrounds())+len(got.GetMedals()) > 0 || got.GetNextBackground().GetFriendsMore() != 5 {
		t.Errorf("a wearer without friends: got %v", got)
	}
}

// TestRefused: each call says which field is wrong, and what is not there yet in time for the caller to hear it.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	ctx, errorOf, someone := t.Context(), servetest.ErrorOf, wearer(0).String()
	for name, err := range map[string]error{
		"awards of nobody":        errorOf(w.api.GetAwards(ctx, &rewardsv1.GetAwardsRequest{})),
		"leaderboard, too large":  errorOf(w.api.ListLeaderboard(ctx, rewardsv1.ListLeaderboardRequest_builder{PageSize: 501}.Build())),
		"leaderboard, below 0":    errorOf(w.api.ListLeaderboard(ctx, rewardsv1.ListLeaderboardRequest_builder{PageSize: -1}.Build())),
		"leaderboard, its token":  errorOf(w.api.ListLeaderboard(ctx, rewardsv1.ListLeaderboardRequest_builder{PageToken: "7"}.Build())),
		"standing of nobody":      errorOf(w.api.GetStanding(ctx, rewardsv1.GetStandingRequest_builder{Wearer: "x"}.Build())),
		"standing, too many":      errorOf(w.api.GetStanding(ctx, rewardsv1.GetStandingRequest_builder{Wearer: someone, Neighbours: 51}.Build())),
		"standing, fewer than no": errorOf(w.api.GetStanding(ctx, rewardsv1.GetStandingRequest_builder{Wearer: someone, Neighbours: -1}.Build())),
	} {
		t.Run(name, func(t *testing.T) { servetest.WantError(t, err, codes.InvalidArgument, "MALFORMED") })
	}
	later := w.seq + 1000
	for name, call := range map[string]func(context.Context) error{
		"awards": func(ctx context.Context) error {
			return errorOf(w.api.GetAwards(ctx, rewardsv1.GetAwardsRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
		"totals": func(ctx context.Context) error {
			return errorOf(w.api.GetTotals(ctx, rewardsv1.GetTotalsRequest_builder{MinSeq: later}.Build()))
		},
		"leaderboard": func(ctx context.Context) error {
			return errorOf(w.api.ListLeaderboard(ctx, rewardsv1.ListLeaderboardRequest_builder{MinSeq: later}.Build()))
		},
		"standing": func(ctx context.Context) error {
			return errorOf(w.api.GetStanding(ctx, rewardsv1.GetStandingRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
	} {
		t.Run(name+" later", func(t *testing.T) { servetest.WantNotReached(t, call) })
	}
}
