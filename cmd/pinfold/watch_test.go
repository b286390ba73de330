package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pinfold/crowd"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
)

// watchers watch faces and begin again when their stream breaks.
type watchers struct {
	wearers []string
	wait    func() // until all have ended

	mu    sync.Mutex
	shown map[string]*gatewayv1.Face // the last face of each wearer
	moved chan struct{}              // closed and replaced when shown changes
}

func watch(ctx context.Context, gateway gatewayv1.GatewayServiceClient, wearers []string) *watchers {
	w := &watchers{wearers: wearers, shown: map[string]*gatewayv1.Face{}, moved: make(chan struct{})}
	var group sync.WaitGroup
	for _, wearer := range wearers {
		group.Go(func() {
			for ctx.Err() == nil {
				w.follow(ctx, gateway, wearer)
			}
		})
	}
	w.wait = group.Wait
	return w
}

// follow watches until the stream breaks.
func (w *watchers) follow(ctx context.Context, gateway gatewayv1.GatewayServiceClient, wearer string) {
	stream, err := gateway.WatchFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: wearer}.Build())
	for err == nil {
		var face *gatewayv1.Face
		if face, err = stream.Recv(); err == nil {
			w.mu.Lock()
			w.shown[wearer] = face
			close(w.moved)
			w.moved = make(chan struct{})
			w.mu.Unlock()
		}
	}
	select {
	case <-time.After(20 * time.Millisecond): // not to besiege a gateway that is away
	case <-ctx.Done():
	}
}

// await waits until the face last shown of the wearer is as it must be.
func (w *watchers) await(t testing.TB, wearer, what string, ok func(*gatewayv1.Face) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		w.mu.Lock()
		face, moved := w.shown[wearer], w.moved
		w.mu.Unlock()
		if face != nil && ok(face) {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatalf("wearer %s: %s was never shown; the last face was %v", wearer, what, face)
		}
	}
}

// awaitFinal waits until each watcher shows what the gateway says when it is asked.
func (w *watchers) awaitFinal(t testing.TB, gateway gatewayv1.GatewayServiceClient, minSeq uint64) {
	t.Helper()
	for _, wearer := range w.wearers {
		want, err := gateway.GetFace(t.Context(), gatewayv1.GetFaceRequest_builder{Wearer: wearer, MinSeq: minSeq}.Build())
		if err != nil {
			t.Fatal(err)
		}
		w.await(t, wearer, "its final state", func(f *gatewayv1.Face) bool {
			f = proto.CloneOf(f)
			f.SetSeq(want.GetSeq())
			f.SetReflected(want.GetReflected())
			return proto.Equal(f, want)
		})
	}
}

func TestWatchFace(t *testing.T) {
	w := startUp(t, t.TempDir())
	people := []person{newPerson(0), newPerson(1), newPerson(2), newPerson(3), newPerson(4), newPerson(5)}
	w.enrol(t, people...)
	hub := people[0].wearer.String()
	ctx, cancel := context.WithCancel(t.Context())
	faces := watch(ctx, w.gateway, []string{hub, people[1].wearer.String()})
	defer faces.wait()
	defer cancel()
	faces.await(t, hub, "no friend", func(f *gatewayv1.Face) bool { return f.GetFriends() == 0 && f.GetStepGoal() == 10_000 })

	for _, other := range people[1:] {
		a, b := tapPins(t, people[0], other)
		if _, err := w.deliver(t.Context(), other.pin, b, a); err != nil { // one phone carries both halves
			t.Fatal(err)
		}
	}
	faces.await(t, people[1].wearer.String(), "one friend", func(f *gatewayv1.Face) bool { return f.GetFriends() == 1 })
	faces.await(t, hub, "a background", func(f *gatewayv1.Face) bool { return f.GetFriends() == 5 && f.GetBackgrounds() == 1 })

	if _, err := w.gateway.ChooseBackground(t.Context(), gatewayv1.ChooseBackgroundRequest_builder{
		Wearer: hub, Background: "aquatics",
	}.Build()); err != nil {
		t.Fatal(err)
	}
	faces.await(t, hub, "the chosen background", func(f *gatewayv1.Face) bool { return f.GetBackground() == "aquatics" })

	now := fact.Slot(time.Now().UnixMilli() / fact.SlotLength.Milliseconds())
	for _, steps := range []uint16{4000, 4400, 4300} { // the largest value of a slot wins
		if _, err := w.deliver(t.Context(), people[0].pin, people[0].pin.Count(now, []uint16{steps})); err != nil {
			t.Fatal(err)
		}
	}
	faces.await(t, hub, "steps", func(f *gatewayv1.Face) bool { return f.GetToday().GetSteps() == 4400 })
	checkSteps(t, w, hub)
}

// checkSteps reads the day that WatchFace has shown in the other ways.
func checkSteps(t *testing.T, w *world, wearer string) {
	t.Helper()
	days, err := w.gateway.ListDays(t.Context(), stepsv1.ListDaysRequest_builder{Wearer: wearer}.Build())
	if err != nil || len(days.GetDays()) != 1 || days.GetDays()[0].GetSteps() != 4400 {
		t.Errorf("days: %v, %v; want one with 4400 steps", days, err)
	}
	board, err := w.gateway.ListStepsLeaderboard(t.Context(), &stepsv1.ListLeaderboardRequest{})
	if err != nil || len(board.GetPlaces()) != 1 || board.GetPlaces()[0].GetWearer() != wearer {
		t.Errorf("leaderboard: %v, %v; want only wearer %s", board, err, wearer)
	}
	standing, err := w.gateway.GetStepsStanding(t.Context(), stepsv1.GetStandingRequest_builder{Wearer: wearer, Neighbours: 3}.Build())
	if err != nil || standing.GetRank() != 1 || len(standing.GetPlaces()) != 1 {
		t.Errorf("standing: %v, %v; want rank 1", standing, err)
	}
}

// TestRealPhones lets a crowd meet with phones as they are: what comes of it is what comes of perfect ones.
func TestRealPhones(t *testing.T) {
	contacts := crowd.Synthetic(100, 1, 1)
	for _, seed := range realSeeds(t) {
		checkPhones(t, contacts, expect(contacts), crowd.Config{Phones: crowd.RealPhones, Seed: seed})
	}
}

// TestThreeTimes delivers everything three times.
func TestThreeTimes(t *testing.T) {
	contacts := crowd.Synthetic(100, 1, 1)
	for _, phones := range []crowd.Phones{crowd.PerfectPhones, crowd.RealPhones} {
		checkPhones(t, contacts, expect(contacts), crowd.Config{Phones: phones, Seed: 1, Times: 3})
	}
}

// realSeeds returns three fixed seeds and a random one, which it prints.
func realSeeds(t *testing.T) []uint64 {
	t.Helper()
	random := rand.Uint64N(1 << 32)
	t.Logf("seeds 1, 2, 3 and %d", random)
	return []uint64{1, 2, 3, random}
}

// checkPhones lets a crowd meet with phones of some kind, and checks what comes of it and the whole log.
func checkPhones(t *testing.T, contacts crowd.Contacts, want crowd.Summary, c crowd.Config) {
	t.Helper()
	data := t.TempDir()
	w := startUp(t, data)
	r := newReceipts()
	c.Gateway, c.Contacts, c.Answered = w.conn, contacts, r.answered
	got, err := crowd.New(c).Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := timeless(got); got != want {
		t.Errorf("%s phones, seed %d, %d times: got %+v, want %+v", c.Phones, c.Seed, c.Times, got, want)
	}
	w.stop()
	verifyAtRest(t, data, r)
}
