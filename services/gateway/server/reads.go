package server

import (
	"context"

	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// The reads are those of the services. Where a service does not see the reported facts itself, but only what another
// one derived of them, min_seq is first settled there.

// ListFriends implements GatewayService.
func (a *api) ListFriends(ctx context.Context, req *tapv1.ListFriendsRequest) (*tapv1.ListFriendsResponse, error) {
	return a.services.tap.ListFriends(ctx, req)
}

// GetFriendship implements GatewayService.
func (a *api) GetFriendship(ctx context.Context, req *tapv1.GetFriendshipRequest) (*tapv1.GetFriendshipResponse, error) {
	return a.services.tap.GetFriendship(ctx, req)
}

// GetOutcomes implements GatewayService.
func (a *api) GetOutcomes(ctx context.Context, req *tapv1.GetOutcomesRequest) (*tapv1.GetOutcomesResponse, error) {
	return a.services.tap.GetOutcomes(ctx, req)
}

// GetAwards implements GatewayService.
func (a *api) GetAwards(ctx context.Context, req *rewardsv1.GetAwardsRequest) (*rewardsv1.GetAwardsResponse, error) {
	if err := a.services.settle(ctx, req); err != nil {
		return nil, err
	}
	return a.services.rewards.GetAwards(ctx, req)
}

// GetTotals implements GatewayService.
func (a *api) GetTotals(ctx context.Context, req *rewardsv1.GetTotalsRequest) (*rewardsv1.GetTotalsResponse, error) {
	if err := a.services.settle(ctx, req); err != nil {
		return nil, err
	}
	return a.services.rewards.GetTotals(ctx, req)
}

// ListLeaderboard implements GatewayService.
func (a *api) ListLeaderboard(ctx context.Context, req *rewardsv1.ListLeaderboardRequest) (*rewardsv1.ListLeaderboardResponse, error) {
	if err := a.services.settle(ctx, req); err != nil {
		return nil, err
	}
	return a.services.rewards.ListLeaderboard(ctx, req)
}

// GetStanding implements GatewayService.
func (a *api) GetStanding(ctx context.Context, req *rewardsv1.GetStandingRequest) (*rewardsv1.GetStandingResponse, error) {
	if err := a.services.settle(ctx, req); err != nil {
		return nil, err
	}
	return a.services.rewards.GetStanding(ctx, req)
}

// GetDay implements GatewayService.
func (a *api) GetDay(ctx context.Context, req *stepsv1.GetDayRequest) (*stepsv1.GetDayResponse, error) {
	return a.services.steps.GetDay(ctx, req)
}

// ListDays implements GatewayService.
func (a *api) ListDays(ctx context.Context, req *stepsv1.ListDaysRequest) (*stepsv1.ListDaysResponse, error) {
	return a.services.steps.ListDays(ctx, req)
}

// ListStepsLeaderboard implements GatewayService.
func (a *api) ListStepsLeaderboard(ctx context.Context, req *stepsv1.ListLeaderboardRequest) (*stepsv1.ListLeaderboardResponse, error) {
	return a.services.steps.ListLeaderboard(ctx, req)
}

// GetStepsStanding implements GatewayService.
func (a *api) GetStepsStanding(ctx context.Context, req *stepsv1.GetStandingRequest) (*stepsv1.GetStandingResponse, error) {
	return a.services.steps.GetStanding(ctx, req)
}
