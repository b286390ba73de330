// Package server is the shell of the rewards service: it runs the fold and serves its view.
package server

import (
	"context"

	"google.golang.org/grpc"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	"pinfold/services/rewards"
)

// Run runs a rewards service until the context ends, which is no error.
func Run(ctx context.Context, c serve.Config) error {
	return serve.RunFold(ctx, c, rewards.Core{}, func(s grpc.ServiceRegistrar, r *fold.Runner) {
		rewardsv1.RegisterRewardsServiceServer(s, &api{runner: r})
	})
}

// api serves RewardsService.
type api struct {
	rewardsv1.UnimplementedRewardsServiceServer
	runner *fold.Runner
}

// GetAwards implements RewardsService.
func (a *api) GetAwards(ctx context.Context, req *rewardsv1.GetAwardsRequest) (*rewardsv1.GetAwardsResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var answer *rewardsv1.GetAwardsResponse
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		answer = awardsToProto(rewards.AwardsOf(r, wearer))
		answer.SetSeq(uint64(seq))
		return nil
	})
	return answer, err
}

func awardsToProto(a rewards.Awards) *rewardsv1.GetAwardsResponse {
	b := rewardsv1.GetAwardsResponse_builder{Friends: a.Friends, Chosen: a.Chosen}
	for _, m := range a.Medals {
		b.Medals = append(b.Medals, rewardsv1.Medal_builder{Medal: logv1.Medal(m.Medal), Award: awardName(m.Award)}.Build())
	}
	for _, g := range a.Backgrounds {
		b.Backgrounds = append(b.Backgrounds, rewardsv1.Background_builder{
			Background: g.Sport, Award: awardName(g.Award), Revoked: g.Revoked,
		}.Build())
	}
	if a.NextBackground != "" {
		b.NextBackground = rewardsv1.NextBackground_builder{Background: a.NextBackground, FriendsMore: a.ToBackground}.Build()
	}
	if a.NextMedal != 0 {
		b.NextMedal = rewardsv1.NextMedal_builder{Medal: logv1.Medal(a.NextMedal), FriendsMore: a.ToMedal}.Build()
	}
	return b.Build()
}

func awardName(id rewards.AwardID) *rewardsv1.AwardName {
	return rewardsv1.AwardName_builder{Cause: uint64(id.Cause), Index: id.Index}.Build()
}

// GetTotals implements RewardsService.
func (a *api) GetTotals(ctx context.Context, req *rewardsv1.GetTotalsRequest) (*rewardsv1.GetTotalsResponse, error) {
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var answer *rewardsv1.GetTotalsResponse
	err := a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		t := rewards.Totals(r)
		answer = rewardsv1.GetTotalsResponse_builder{
			Seq: uint64(seq), Bronze: t.Bronze, Silver: t.Silver, Gold: t.Gold,
			Backgrounds: t.Backgrounds, CompleteCollections: t.Complete, Sports: uint32(rewards.Sports(r)),
		}.Build()
		return nil
	})
	return answer, err
}

// ListLeaderboard implements RewardsService.
func (a *api) ListLeaderboard(ctx context.Context, req *rewardsv1.ListLeaderboardRequest) (*rewardsv1.ListLeaderboardResponse, error) {
	size, err := serve.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var after rewards.Place
	if after.Score, after.Wearer, err = serve.ParsePlaceToken(req.GetPageToken()); err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b rewardsv1.ListLeaderboardResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		places, more := serve.Page(rewards.Leaderboard(r, after, size+1), size)
		if more {
			b.NextPageToken = serve.PlaceToken(places[size-1].Score, places[size-1].Wearer)
		}
		b.Seq, b.Places = uint64(seq), placesToProto(places)
		return nil
	})
	return b.Build(), err
}

// GetStanding implements RewardsService.
func (a *api) GetStanding(ctx context.Context, req *rewardsv1.GetStandingRequest) (*rewardsv1.GetStandingResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	n, err := serve.Neighbours(req.GetNeighbours())
	if err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b rewardsv1.GetStandingResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		own, _ := rewards.Rank(r, wearer)
		b.Seq, b.Rank, b.Friends = uint64(seq), own.Rank, own.Score
		b.Places = placesToProto(rewards.Neighbours(r, wearer, n))
		return nil
	})
	return b.Build(), err
}

func placesToProto(places []rewards.Place) []*rewardsv1.Place {
	list := make([]*rewardsv1.Place, len(places))
	for i, p := range places {
		list[i] = rewardsv1.Place_builder{Rank: p.Rank, Wearer: p.Wearer.String(), Friends: p.Score}.Build()
	}
	return list
}
