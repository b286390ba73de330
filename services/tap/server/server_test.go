package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/serve/servetest"
	"pinfold/internal/statement"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// people is how many others wearer 0 meets, in the order of their numbers.
const people = 12

func wearer(i int) fact.WearerID { return fact.WearerID{byte(i)} }

func key(i int) fact.PublicKey { return sha256.Sum256(fmt.Append(nil, i)) }

// met returns the halves of a tap of two wearers.
func met(a, b int) (first, second fact.Half) {
	first = fact.Half{
		Pin: key(a).PinID(), Peer: key(b).PinID(), Nonce: fact.Nonce{byte(a), byte(b)}, PeerNonce: fact.Nonce{byte(b), byte(a), 1},
		Counter: fact.Counter(1 + b), Link: fact.LinkWire,
	}
	second = first
	second.Pin, second.Peer, second.Nonce, second.PeerNonce = first.Peer, first.Pin, first.PeerNonce, first.Nonce
	return first, second
}

// friendly is a tap service over the friendships of wearer 0.
type friendly struct {
	*servetest.Service
	api     tapv1.TapServiceClient
	seq     uint64
	friends []*tapv1.Friend // newest first
}

func newFriendly(t *testing.T) *friendly {
	t.Helper()
	w := &friendly{Service: servetest.Start(t, Run)}
	w.api = tapv1.NewTapServiceClient(w.Conn)
	facts := []fact.Fact{fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: 1}}
	for i := range people + 2 {
		facts = append(facts, fact.PinRegistered{Key: key(i)}, fact.PinPaired{Wearer: wearer(i), Proof: fact.Proof{Pin: key(i).PinID()}})
	}
	for i := 1; i <= people; i++ {
		first, second := met(0, i)
		facts = append(facts, fact.HalfReported{Half: first}, fact.HalfReported{Half: second})
		w.friends = append(w.friends, tapv1.Friend_builder{Wearer: wearer(i).String(), Friendship: uint64(len(facts))}.Build())
	}
	slices.Reverse(w.friends)
	w.seq = w.Append(t, servetest.Reported(facts...)...)
	return w
}

// TestFriends reads a wearer's friends in pages of every size: they are all friends, the newest first.
func TestFriends(t *testing.T) {
	w := newFriendly(t)
	list := func(i int) func(int32, string) ([]*tapv1.Friend, string, error) {
		return func(size int32, token string) ([]*tapv1.Friend, string, error) {
			r, err := w.api.ListFriends(t.Context(), tapv1.ListFriendsRequest_builder{
				Wearer: wearer(i).String(), MinSeq: w.seq, PageSize: size, PageToken: token,
			}.Build())
			if err == nil && (r.GetSeq() < w.seq || i == 0 && r.GetTotal() != people) {
				t.Errorf("got %d friends at the sequence %d, want %d at %d", r.GetTotal(), r.GetSeq(), people, w.seq)
			}
			return r.GetFriends(), r.GetNextPageToken(), err
		}
	}
	same := func(a, b *tapv1.Friend) bool { return proto.Equal(a, b) }
	for _, size := range []int32{1, 5, people - 1, people, people + 1, 500} {
		if got := servetest.Walk(t, size, list(0)); !slices.EqualFunc(got, w.friends, same) {
			t.Errorf("page size %d: got %v, want %v", size, got, w.friends)
		}
	}
	if got := servetest.Walk(t, 5, list(people+1)); len(got) != 0 {
		t.Errorf("a wearer without friends has %v", got)
	}
}

// TestFriendship: a friendship by its cause, with both halves.
func TestFriendship(t *testing.T) {
	w := newFriendly(t)
	for i := 1; i <= people; i++ {
		first, _ := met(0, i)
		cause := w.friends[people-i].GetFriendship()
		r, err := w.api.GetFriendship(t.Context(), tapv1.GetFriendshipRequest_builder{Friendship: cause, MinSeq: w.seq}.Build())
		if err != nil || r.GetSeq() < w.seq || r.GetFriendship() != cause || r.GetLo() != wearer(0).String() || r.GetHi() != wearer(i).String() ||
			r.GetTap() != statement.TapID(first).String() || r.GetFirstHalf() != cause-1 || r.GetSecondHalf() != cause || r.GetEnding() != 0 {
			t.Errorf("friendship %d: got %v, %v", cause, r, err)
		}
	}
	_, err := w.api.GetFriendship(t.Context(), tapv1.GetFriendshipRequest_builder{Friendship: w.seq - 1, MinSeq: w.seq}.Build())
	servetest.WantError(t, err, codes.NotFound, "NOT_FRIENDS")
}

// TestSettle: behind the sequence that is answered for a half stands all that followed from it.
func TestSettle(t *testing.T) {
	w := newFriendly(t)
	r, err := w.api.Settle(t.Context(), tapv1.SettleRequest_builder{Seq: w.seq}.Build())
	if err != nil || r.GetSeq() < w.seq+people {
		t.Errorf("got %v, %v, want a sequence behind the %d friendships that follow %d", r, err, people, w.seq)
	}
}

// TestRefused: each call says which field is wrong, and what is not there yet in time for the caller to hear it.
func TestRefused(t *testing.T) {
	w := newFriendly(t)
	ctx, errorOf, someone := t.Context(), servetest.ErrorOf, wearer(0).String()
	for name, err := range map[string]error{
		"friends of nobody":  errorOf(w.api.ListFriends(ctx, &tapv1.ListFriendsRequest{})),
		"friends, too large": errorOf(w.api.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: someone, PageSize: 501}.Build())),
		"friends, its token": errorOf(w.api.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: someone, PageToken: "x"}.Build())),
		"friends, token 0":   errorOf(w.api.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: someone, PageToken: "0"}.Build())),
	} {
		t.Run(name, func(t *testing.T) { servetest.WantError(t, err, codes.InvalidArgument, "MALFORMED") })
	}
	later := w.seq + 1000
	for name, call := range map[string]func(context.Context) error{
		"friends": func(ctx context.Context) error {
			return errorOf(w.api.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: someone, MinSeq: later}.Build()))
		},
		"friendship": func(ctx context.Context) error {
			return errorOf(w.api.GetFriendship(ctx, tapv1.GetFriendshipRequest_builder{Friendship: 1, MinSeq: later}.Build()))
		},
		"outcomes": func(ctx context.Context) error {
			return errorOf(w.api.GetOutcomes(ctx, tapv1.GetOutcomesRequest_builder{MinSeq: later}.Build()))
		},
		"settled": func(ctx context.Context) error {
			return errorOf(w.api.Settle(ctx, tapv1.SettleRequest_builder{Seq: later}.Build()))
		},
	} {
		t.Run(name+" later", func(t *testing.T) { servetest.WantNotReached(t, call) })
	}
}
