package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/client"
	"pinfold/crowd"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// logEnd returns how far the log goes, as the tap service has folded it, and how many halves it holds.
func (w *world) logEnd(t testing.TB) (seq, halves uint64) {
	t.Helper()
	o, err := w.gateway.GetOutcomes(t.Context(), tapv1.GetOutcomesRequest_builder{MinSeq: w.seq}.Build())
	if err != nil {
		t.Fatal(err)
	}
	return o.GetSeq(), o.GetHalves()
}

// TestBadStatements delivers what must not be taken, one by one: each has its own reason, and nothing is stored.
func TestBadStatements(t *testing.T) {
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	unpaired, stranger := newPerson(3), newPerson(4)
	w.enrol(t, alice, bob)
	registered, err := gatewayv1.NewOperatorServiceClient(w.conn).RegisterPins(t.Context(),
		gatewayv1.RegisterPinsRequest_builder{Pins: []*gatewayv1.Registration{registration(unpaired.pin)}}.Build())
	if err != nil {
		t.Fatal(err)
	}
	w.seq = registered.GetSeq()
	good, _ := tapPins(t, alice, bob)
	byUnpaired, withUnpaired := tapPins(t, unpaired, alice)
	byStranger, withStranger := tapPins(t, stranger, alice)
	edit := func(change func(b []byte) []byte) client.Signed {
		return alice.pin.SignRaw(change(bytes.Clone(good.Statement)))
	}
	forged := good
	forged.Signature[0] ^= 1
	ahead := fact.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	report := func(slot fact.Slot, steps ...uint16) client.Signed {
		return alice.pin.SignRaw(statement.AppendStepReport(nil, fact.StepReport{Pin: alice.pin.ID(), Counter: 9, FirstSlot: slot, Steps: steps}))
	}

	before, _ := w.logEnd(t)
	for name, tt := range map[string]struct {
		statement client.Signed
		reason    gatewayv1.Reason
		retry     bool
	}{
		"empty":               {client.Signed{}, gatewayv1.Reason_REASON_UNKNOWN_MAGIC, false},
		"unknown magic":       {edit(func(b []byte) []byte { b[3] = '9'; return b }), gatewayv1.Reason_REASON_UNKNOWN_MAGIC, false},
		"too short":           {edit(func(b []byte) []byte { return b[:71] }), gatewayv1.Reason_REASON_MALFORMED, false},
		"too long":            {edit(func(b []byte) []byte { return append(b, 0) }), gatewayv1.Reason_REASON_MALFORMED, false},
		"a proof":             {proofOf(alice), gatewayv1.Reason_REASON_MALFORMED, false},
		"reserved not zero":   {edit(func(b []byte) []byte { b[71] = 1; return b }), gatewayv1.Reason_REASON_RESERVED_NOT_ZERO, false},
		"met itself":          {edit(func(b []byte) []byte { copy(b[12:20], b[4:12]); return b }), gatewayv1.Reason_REASON_SELF_TAP, false},
		"unknown pin":         {byStranger, gatewayv1.Reason_REASON_UNKNOWN_PIN, true},
		"unpaired pin":        {byUnpaired, gatewayv1.Reason_REASON_UNPAIRED_PIN, true},
		"wrong signature":     {forged, gatewayv1.Reason_REASON_BAD_SIGNATURE, false},
		"unknown peer":        {withStranger, gatewayv1.Reason_REASON_UNKNOWN_PEER, true},
		"steps of the future": {report(fact.Slot(int64(ahead)/fact.SlotLength.Milliseconds()), 1), gatewayv1.Reason_REASON_FROM_FUTURE, true},
		"too many steps":      {report(1, 4500, 4501), gatewayv1.Reason_REASON_IMPLAUSIBLE_STEPS, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := w.deliver(t.Context(), alice.pin, tt.statement)
			if err != nil {
				t.Fatal(err)
			}
			a := r.GetAnswers()[0]
			if a.GetStatus() != gatewayv1.Status_STATUS_REFUSED || a.GetReason() != tt.reason || a.GetRetry() != tt.retry || a.GetDetail() == "" {
				t.Errorf("got %v, want refused with %v, retry %t, and a detail", a, tt.reason, tt.retry)
			}
		})
	}
	if after, halves := w.logEnd(t); after != before || halves != 0 {
		t.Errorf("the log went from %d to %d and holds %d halves: nothing was to be stored", before, after, halves)
	}

	// Next to all that, a good one is taken; a half with an unpaired peer is good too, and one whose pin's clock is ahead.
	r, err := w.deliver(t.Context(), alice.pin, forged, good, good, withUnpaired, edit(func(b []byte) []byte { return withTime(b, ahead) }))
	if err != nil {
		t.Fatal(err)
	}
	want := []gatewayv1.Status{
		gatewayv1.Status_STATUS_REFUSED, gatewayv1.Status_STATUS_ACCEPTED,
		gatewayv1.Status_STATUS_ALREADY_ACCEPTED, gatewayv1.Status_STATUS_ACCEPTED, gatewayv1.Status_STATUS_ACCEPTED,
	}
	for i, a := range r.GetAnswers() {
		if a.GetStatus() != want[i] {
			t.Errorf("answer %d: %v, want %v", i, a, want[i])
		}
	}
}

func proofOf(p person) client.Signed {
	return p.pin.Prove(fact.Challenge{1}, crowd.Midnight)
}

// TestClockAhead: a pin whose clock is 60 days ahead makes friends like any other, and its phone hears of the clock.
func TestClockAhead(t *testing.T) {
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	byAlice, byBob := tapPins(t, alice, bob)
	const ahead = 60 * 24 * time.Hour
	byAlice = alice.pin.SignRaw(withTime(byAlice.Statement, fact.UnixMilli(time.Now().Add(ahead).UnixMilli())))
	r, err := w.deliver(t.Context(), alice.pin, byAlice, byBob)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range r.GetAnswers() {
		told := time.Duration(a.GetClockAheadMs()) * time.Millisecond
		if right := told == 0; a.GetStatus() != gatewayv1.Status_STATUS_ACCEPTED || right != (i == 1) || !right && (told > ahead || told < ahead-time.Hour) {
			t.Errorf("answer %d: %v, want it accepted, and that the first one's clock was %v ahead", i, a, ahead)
		}
	}
	face, err := w.gateway.GetFace(t.Context(), gatewayv1.GetFaceRequest_builder{Wearer: alice.wearer.String(), MinSeq: r.GetSeq()}.Build())
	if err != nil || face.GetFriends() != 1 {
		t.Errorf("got %v, %v, want one friend", face, err)
	}
}

func withTime(raw []byte, at fact.UnixMilli) []byte {
	h, err := statement.ParseHalf(raw)
	if err != nil {
		panic(err)
	}
	h.Time = at
	return statement.AppendHalf(nil, h)
}

// TestBadCalls makes calls that are refused as a whole: each has its own reason, and nothing is stored.
func TestBadCalls(t *testing.T) {
	w := startUp(t, t.TempDir())
	operator := gatewayv1.NewOperatorServiceClient(w.conn)
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	half, _ := tapPins(t, alice, bob)
	mallory := registration(newPerson(3).pin)
	mallory.SetPin(alice.pin.ID().String())
	before, _ := w.logEnd(t)
	for name, tt := range map[string]struct {
		call   func() error
		code   codes.Code
		reason string
		detail string
	}{
		"an upload of 10,000": {func() error {
			_, err := w.deliver(t.Context(), alice.pin, slices.Repeat([]client.Signed{half}, 10_000)...)
			return err
		}, codes.InvalidArgument, "UPLOAD_TOO_LARGE", "at most 500"},
		"a carrier that is no pin": {func() error {
			_, err := w.gateway.Deliver(t.Context(), gatewayv1.DeliverRequest_builder{Carrier: "XYZ"}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", `carrier: pin "XYZ"`},
		"an unknown carrier": {func() error {
			_, err := w.deliver(t.Context(), newPerson(9).pin, half)
			return err
		}, codes.FailedPrecondition, "UNKNOWN_PIN", "carrier"},
		"an id that is not the hash of its key": {func() error {
			_, err := operator.RegisterPins(t.Context(), gatewayv1.RegisterPinsRequest_builder{
				Pins: []*gatewayv1.Registration{registration(newPerson(4).pin), mallory},
			}.Build())
			return err
		}, codes.InvalidArgument, "KEY_MISMATCH", "pins[1]"},
		"a key of small order": {func() error {
			key := fact.PublicKey{1}
			_, err := operator.RegisterPins(t.Context(), gatewayv1.RegisterPinsRequest_builder{
				Pins: []*gatewayv1.Registration{gatewayv1.Registration_builder{Pin: key.PinID().String(), PublicKey: key[:]}.Build()},
			}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", "small order"},
		"a key that is too short": {func() error {
			_, err := operator.RegisterPins(t.Context(), gatewayv1.RegisterPinsRequest_builder{
				Pins: []*gatewayv1.Registration{gatewayv1.Registration_builder{Pin: alice.pin.ID().String(), PublicKey: []byte{1}}.Build()},
			}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", "pins[0].public_key: 1 bytes: want 32"},
		"too many pins": {func() error {
			_, err := operator.RegisterPins(t.Context(), gatewayv1.RegisterPinsRequest_builder{
				Pins: slices.Repeat([]*gatewayv1.Registration{registration(alice.pin)}, 1001),
			}.Build())
			return err
		}, codes.InvalidArgument, "UPLOAD_TOO_LARGE", "at most 1000"},
		"a pin of another wearer": {func() error {
			return w.pair(t.Context(), bob.wearer, alice.pin)
		}, codes.AlreadyExists, "PAIRED_ELSEWHERE", alice.pin.ID().String()},
		"an unknown challenge": {func() error {
			p := proofOf(alice)
			_, err := w.gateway.PairPin(t.Context(), gatewayv1.PairPinRequest_builder{Statement: p.Statement, Signature: p.Signature[:]}.Build())
			return err
		}, codes.FailedPrecondition, "CHALLENGE_EXPIRED", "begin the pairing again"},
		"a pin that is not registered": {func() error {
			return w.pair(t.Context(), bob.wearer, newPerson(5).pin)
		}, codes.FailedPrecondition, "UNKNOWN_PIN", "not registered"},
		"a wearer in capitals": {func() error {
			_, err := w.gateway.BeginPairing(t.Context(), gatewayv1.BeginPairingRequest_builder{Wearer: "ABC"}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", `wearer: wearer "ABC"`},
		"a background that is not held": {func() error {
			_, err := w.gateway.ChooseBackground(t.Context(), gatewayv1.ChooseBackgroundRequest_builder{
				Wearer: alice.wearer.String(), Background: "judo",
			}.Build())
			return err
		}, codes.FailedPrecondition, "NOT_UNLOCKED", `"judo"`},
		"a page of 501": {func() error {
			_, err := w.gateway.ListFriends(t.Context(), tapv1.ListFriendsRequest_builder{Wearer: alice.wearer.String(), PageSize: 501}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", "page_size: 501: want 1 to 500"},
		"a made up page": {func() error {
			_, err := w.gateway.ListFriends(t.Context(), tapv1.ListFriendsRequest_builder{Wearer: alice.wearer.String(), PageToken: "next"}.Build())
			return err
		}, codes.InvalidArgument, "MALFORMED", `page_token: "next"`},
		"no such friendship": {func() error {
			_, err := w.gateway.GetFriendship(t.Context(), tapv1.GetFriendshipRequest_builder{Friendship: 1}.Build())
			return err
		}, codes.NotFound, "NOT_FRIENDS", "friendship 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.call()
			if status.Code(err) != tt.code || serve.Reason(err) != tt.reason || !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("got %v with reason %q, want %v with %q and %q", err, serve.Reason(err), tt.code, tt.reason, tt.detail)
			}
		})
	}
	if after, halves := w.logEnd(t); after != before || halves != 0 {
		t.Errorf("the log went from %d to %d and holds %d halves: nothing was to be stored", before, after, halves)
	}
}

// TestThresholds lets one wearer make 166 friends, one after the other, and looks at the edges.
func TestThresholds(t *testing.T) {
	w := startUp(t, t.TempDir())
	hub := newPerson(0)
	people := []person{hub}
	for i := range 166 {
		people = append(people, newPerson(i+1))
	}
	w.enrol(t, people...)
	medals := map[int]int{50: 1, 100: 2, 151: 3}
	held := 0
	for n := 1; n <= 166; n++ {
		a, b := tapPins(t, hub, people[n])
		r, err := w.deliver(t.Context(), hub.pin, a, b)
		if err != nil {
			t.Fatal(err)
		}
		held = max(held, medals[n])
		awards, err := w.gateway.GetAwards(t.Context(), rewardsv1.GetAwardsRequest_builder{
			Wearer: hub.wearer.String(), MinSeq: r.GetSeq(),
		}.Build())
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%d friends, %d backgrounds, %d medals, next %d more", awards.GetFriends(), len(awards.GetBackgrounds()),
			len(awards.GetMedals()), awards.GetNextBackground().GetFriendsMore())
		next := 5 - n%5
		if n >= 165 {
			next = 0
		}
		if want := fmt.Sprintf("%d friends, %d backgrounds, %d medals, next %d more", n, min(n/5, 33), held, next); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		if has := awards.HasNextBackground(); has != (n < 165) {
			t.Errorf("%d friends: a next background: %t", n, has)
		}
		nextMedal := map[int]logv1.Medal{49: logv1.Medal_MEDAL_BRONZE, 99: logv1.Medal_MEDAL_SILVER, 150: logv1.Medal_MEDAL_GOLD}
		if m, ok := nextMedal[n]; ok && (awards.GetNextMedal().GetMedal() != m || awards.GetNextMedal().GetFriendsMore() != 1) {
			t.Errorf("%d friends: next medal %v, want %v with 1 more", n, awards.GetNextMedal(), m)
		}
	}

	checkPages(t, w, hub, people[1:])
	checkChoice(t, w, hub)
}

// checkPages reads all friends of the hub by pages of 50: newest first, each once.
func checkPages(t *testing.T, w *world, hub person, friends []person) {
	t.Helper()
	var got []string
	token := ""
	for {
		r, err := w.gateway.ListFriends(t.Context(), tapv1.ListFriendsRequest_builder{Wearer: hub.wearer.String(), PageToken: token}.Build())
		if err != nil {
			t.Fatal(err)
		}
		if r.GetTotal() != uint32(len(friends)) {
			t.Fatalf("total %d, want %d", r.GetTotal(), len(friends))
		}
		for _, f := range r.GetFriends() {
			got = append(got, f.GetWearer())
		}
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(got) != len(friends) {
		t.Fatalf("%d friends on all pages, want %d", len(got), len(friends))
	}
	for i, f := range friends {
		if want := f.wearer.String(); got[len(got)-1-i] != want {
			t.Fatalf("friend %d from the end is %s, want %s", i, got[len(got)-1-i], want)
		}
	}
}

func checkChoice(t *testing.T, w *world, hub person) {
	t.Helper()
	c, err := w.gateway.ChooseBackground(t.Context(), gatewayv1.ChooseBackgroundRequest_builder{
		Wearer: hub.wearer.String(), Background: "judo",
	}.Build())
	if err != nil {
		t.Fatal(err)
	}
	awards, err := w.gateway.GetAwards(t.Context(), rewardsv1.GetAwardsRequest_builder{Wearer: hub.wearer.String(), MinSeq: c.GetSeq()}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if awards.GetChosen() != "judo" {
		t.Errorf("chosen %q, want judo", awards.GetChosen())
	}
	friends, err := w.gateway.ListFriends(t.Context(), tapv1.ListFriendsRequest_builder{Wearer: hub.wearer.String(), PageSize: 1}.Build())
	if err != nil {
		t.Fatal(err)
	}
	f, err := w.gateway.GetFriendship(t.Context(), tapv1.GetFriendshipRequest_builder{Friendship: friends.GetFriends()[0].GetFriendship()}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if f.GetSecondHalf() != f.GetFirstHalf()+1 || f.GetEnding() != logv1.Ending_ENDING_UNSPECIFIED {
		t.Errorf("friendship %v: want its two halves one after the other, and no ending", f)
	}
}
