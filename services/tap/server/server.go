// Package server is the shell of the tap service: it runs the fold and serves its view.
package server

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
	"pinfold/services/tap"
)

// Run runs a tap service until the context ends, which is no error.
func Run(ctx context.Context, c serve.Config) error {
	return serve.RunAfterLog(ctx, c, tap.Core{}, func(r *fold.Runner) serve.API {
		return serve.API{
			Register: func(s grpc.ServiceRegistrar) { tapv1.RegisterTapServiceServer(s, &api{runner: r}) },
			Numbers:  func() map[string]uint64 { return numbers(r) },
		}
	})
}

// numbers are what /status shows of the tap service: halves by outcome, and friendships.
func numbers(r *fold.Runner) map[string]uint64 {
	var t tap.Tally
	if err := r.Query(func(_ fact.Seq, r view.Reader) error {
		t = tap.Totals(r)
		return nil
	}); err != nil {
		return nil
	}
	n := map[string]uint64{
		"halves": t.Halves, "matched": t.Matched, "already_friends": t.AlreadyFriends, "duplicate": t.Duplicate,
		"expired": t.Expired, "pending": t.Pending, "refused": 0, "friendships": t.Friendships,
	}
	for _, halves := range t.Refused {
		n["refused"] += halves
	}
	return n
}

// api serves TapService.
type api struct {
	tapv1.UnimplementedTapServiceServer
	runner *fold.Runner
}

// ListFriends implements TapService.
func (a *api) ListFriends(ctx context.Context, req *tapv1.ListFriendsRequest) (*tapv1.ListFriendsResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	size, err := serve.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := pageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b tapv1.ListFriendsResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		b.Seq, b.Total = uint64(seq), tap.FriendCount(r, wearer)
		friends, more := serve.Page(tap.Friends(r, wearer, after, size+1), size)
		if more {
			b.NextPageToken = friends[size-1].Friendship.String()
		}
		for _, f := range friends {
			b.Friends = append(b.Friends, tapv1.Friend_builder{Wearer: f.Wearer.String(), Friendship: uint64(f.Friendship)}.Build())
		}
		return nil
	})
	return b.Build(), err
}

// pageToken reads the friendship after which the next page begins.
func pageToken(token string) (fact.Seq, error) {
	if token == "" {
		return 0, nil
	}
	seq, err := strconv.ParseUint(token, 10, 64)
	if err != nil || seq == 0 {
		return 0, serve.BadToken(token)
	}
	return fact.Seq(seq), nil
}

// nobody is who asks, as long as a call does not say who does: so nobody is told of a block.
var nobody fact.WearerID

// GetFriendship implements TapService.
func (a *api) GetFriendship(ctx context.Context, req *tapv1.GetFriendshipRequest) (*tapv1.GetFriendshipResponse, error) {
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var answer *tapv1.GetFriendshipResponse
	err := a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		f, ok := tap.FriendshipByCause(r, fact.Seq(req.GetFriendship()))
		if !ok {
			return serve.Errorf(codes.NotFound, gatewayv1.Reason_REASON_NOT_FRIENDS,
				"friendship %d: none was formed by the fact of this sequence", req.GetFriendship())
		}
		answer = tapv1.GetFriendshipResponse_builder{
			Seq: uint64(seq), Friendship: uint64(f.Cause), Lo: f.Lo.String(), Hi: f.Hi.String(), Tap: f.Tap.String(),
			FirstHalf: uint64(f.Mate), SecondHalf: uint64(f.Cause), Ending: logv1.Ending(f.EndingFor(nobody)),
		}.Build()
		return nil
	})
	return answer, err
}

// GetOutcomes implements TapService.
func (a *api) GetOutcomes(ctx context.Context, req *tapv1.GetOutcomesRequest) (*tapv1.GetOutcomesResponse, error) {
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b tapv1.GetOutcomesResponse_builder
	err := a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		t := tap.Totals(r)
		b = tapv1.GetOutcomesResponse_builder{
			Seq: uint64(seq), Halves: t.Halves, Matched: t.Matched, AlreadyFriends: t.AlreadyFriends, Duplicate: t.Duplicate,
			Expired: t.Expired, Pending: t.Pending, Friendships: t.Friendships, Formed: t.FriendshipsFormed,
		}
		for _, refusal := range fact.Refusals() {
			if n := t.Refused[refusal-1]; n > 0 {
				b.Refused = append(b.Refused, tapv1.RefusedCount_builder{Refusal: logv1.Refusal(refusal), Halves: n}.Build())
			}
		}
		return nil
	})
	return b.Build(), err
}

// Settle implements TapService.
func (a *api) Settle(ctx context.Context, req *tapv1.SettleRequest) (*tapv1.SettleResponse, error) {
	seq, err := serve.Settle(ctx, a.runner, req.GetSeq())
	if err != nil {
		return nil, err
	}
	return tapv1.SettleResponse_builder{Seq: uint64(seq)}.Build(), nil
}
