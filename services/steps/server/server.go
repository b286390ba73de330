// Package server is the shell of the steps service: it runs the fold and serves its view.
package server

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	"pinfold/services/steps"
)

// Run runs a steps service until the context ends, which is no error.
func Run(ctx context.Context, c serve.Config) error {
	return serve.RunFold(ctx, c, steps.Core{}, func(s grpc.ServiceRegistrar, r *fold.Runner) {
		stepsv1.RegisterStepsServiceServer(s, &api{runner: r})
	})
}

// api serves StepsService.
type api struct {
	stepsv1.UnimplementedStepsServiceServer
	runner *fold.Runner
}

// GetDay implements StepsService.
func (a *api) GetDay(ctx context.Context, req *stepsv1.GetDayRequest) (*stepsv1.GetDayResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	asked, err := parseDay(req.GetDay())
	if err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b stepsv1.GetDayResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		b.Seq, b.Goal = uint64(seq), steps.Goal(r)
		b.Day = dayToProto(steps.DayOf(r, wearer, asked.in(r)))
		return nil
	})
	return b.Build(), err
}

// ListDays implements StepsService.
func (a *api) ListDays(ctx context.Context, req *stepsv1.ListDaysRequest) (*stepsv1.ListDaysResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	size, err := serve.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	before := steps.Latest
	if token := req.GetPageToken(); token != "" {
		d, err := parseDate(token)
		if err != nil {
			return nil, serve.BadToken(token)
		}
		before = d
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b stepsv1.ListDaysResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		days, more := serve.Page(steps.Days(r, wearer, before, size+1), size)
		if more {
			b.NextPageToken = days[size-1].Day.String()
		}
		b.Seq = uint64(seq)
		for _, d := range days {
			b.Days = append(b.Days, dayToProto(d))
		}
		return nil
	})
	return b.Build(), err
}

// ListLeaderboard implements StepsService.
func (a *api) ListLeaderboard(ctx context.Context, req *stepsv1.ListLeaderboardRequest) (*stepsv1.ListLeaderboardResponse, error) {
	asked, err := parseDay(req.GetDay())
	if err != nil {
		return nil, err
	}
	size, err := serve.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var after steps.Place
	if after.Score, after.Wearer, err = serve.ParsePlaceToken(req.GetPageToken()); err != nil {
		return nil, err
	}
	if err := serve.WaitSeq(ctx, a.runner, req.GetMinSeq()); err != nil {
		return nil, err
	}
	var b stepsv1.ListLeaderboardResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		day := asked.in(r)
		places, more := serve.Page(steps.Leaderboard(r, day, after, size+1), size)
		if more {
			b.NextPageToken = serve.PlaceToken(places[size-1].Score, places[size-1].Wearer)
		}
		b.Seq, b.Day, b.Places = uint64(seq), day.String(), placesToProto(places)
		return nil
	})
	return b.Build(), err
}

// GetStanding implements StepsService.
func (a *api) GetStanding(ctx context.Context, req *stepsv1.GetStandingRequest) (*stepsv1.GetStandingResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	asked, err := parseDay(req.GetDay())
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
	var b stepsv1.GetStandingResponse_builder
	err = a.runner.Query(func(seq fact.Seq, r view.Reader) error {
		day := asked.in(r)
		own, _ := steps.Rank(r, day, wearer)
		b.Seq, b.Day, b.Rank, b.Steps = uint64(seq), day.String(), own.Rank, own.Score
		b.Places = placesToProto(steps.Neighbours(r, day, wearer, n))
		return nil
	})
	return b.Build(), err
}

// askedDay is the day of a request; the zero one is today, which only the view knows.
type askedDay struct {
	day   fact.Day
	given bool
}

func (d askedDay) in(r kv.Reader) fact.Day {
	if d.given {
		return d.day
	}
	today, _ := steps.Today(r)
	return today
}

func parseDay(text string) (askedDay, error) {
	if text == "" {
		return askedDay{}, nil
	}
	day, err := parseDate(text)
	if err != nil {
		return askedDay{}, serve.Malformed("day", err)
	}
	return askedDay{day: day, given: true}, nil
}

func parseDate(text string) (fact.Day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, fmt.Errorf("%.80q: want a date such as 2021-07-23", text)
	}
	days := t.Unix() / int64(24*time.Hour/time.Second)
	if days < 0 || days > math.MaxInt32 {
		return 0, fmt.Errorf("%.80q: want a date from 1970 on", text)
	}
	return fact.Day(days), nil
}

func dayToProto(d steps.Day) *stepsv1.Day {
	return stepsv1.Day_builder{Day: d.Day.String(), Steps: d.Steps, GoalReached: d.GoalReached}.Build()
}

func placesToProto(places []steps.Place) []*stepsv1.Place {
	list := make([]*stepsv1.Place, len(places))
	for i, p := range places {
		list[i] = stepsv1.Place_builder{Rank: p.Rank, Wearer: p.Wearer.String(), Steps: p.Score}.Build()
	}
	return list
}
