package crowd

import (
	"context"
	"fmt"
	"time"

	"pinfold/client"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// Summary is what came of a crowd, as the services tell it.
type Summary struct {
	People              int     `json:"people"`
	Taps                int     `json:"taps"`
	Friendships         uint64  `json:"friendships"`
	Medals              Medals  `json:"medals"`
	Backgrounds         uint64  `json:"backgrounds"`
	CompleteCollections uint64  `json:"complete_collections"`
	Halves              uint64  `json:"halves"`            // HalfReported in the log
	Duplicates          uint64  `json:"duplicates"`        // of these, halves that the log had before
	Refused             uint64  `json:"refused"`           // HalfRefused, expiry apart
	NotAdmitted         int     `json:"not_admitted"`      // statements that the gateway refused for good
	SelfContacts        int     `json:"self_contacts"`     // lines of the file of contacts that were skipped: a badge met itself
	Seconds             float64 `json:"seconds"`           // from the first tap until all awards that followed were known
	HalvesPerSecond     float64 `json:"halves_per_second"` // this crowd's halves that went into the log in that time
}

// Medals are the wearers who hold each medal.
type Medals struct {
	Bronze uint64 `json:"bronze"`
	Silver uint64 `json:"silver"`
	Gold   uint64 `json:"gold"`
}

// Play registers and pairs the pins, lets all encounters happen, one tap each, and returns what came of it, once
// everything that followed is known. A phone tries again what did not get through.
func (c *Crowd) Play(ctx context.Context) (Summary, error) {
	if err := c.enrol(ctx); err != nil {
		return Summary{}, err
	}
	began := time.Now()
	report, err := c.play(ctx)
	if err != nil {
		return Summary{}, err
	}
	s, err := Summarize(ctx, gatewayv1.NewGatewayServiceClient(c.config.Gateway), report.lastSeq)
	if err != nil {
		return Summary{}, err
	}
	s.People, s.Taps, s.NotAdmitted = c.config.Contacts.People, len(c.config.Contacts.Encounters), report.refused
	s.SelfContacts = c.config.Contacts.SelfContacts
	s.Seconds = time.Since(began).Seconds()
	s.HalvesPerSecond = float64(report.halves) / s.Seconds
	return s, nil
}

// Summarize asks the gateway for the sums over all wearers once everything that followed from the facts up to minSeq is
// known, and stands in the log: friendships, awards, and goals of steps, of which there is no sum.
func Summarize(ctx context.Context, gateway gatewayv1.GatewayServiceClient, minSeq uint64) (Summary, error) {
	var outcomes *tapv1.GetOutcomesResponse
	var totals *rewardsv1.GetTotalsResponse
	err := client.Persist(ctx, func(ctx context.Context) (err error) {
		if outcomes, err = gateway.GetOutcomes(ctx, tapv1.GetOutcomesRequest_builder{MinSeq: minSeq}.Build()); err != nil {
			return err
		}
		if totals, err = gateway.GetTotals(ctx, rewardsv1.GetTotalsRequest_builder{MinSeq: minSeq}.Build()); err != nil {
			return err
		}
		_, err = gateway.ListStepsLeaderboard(ctx, stepsv1.ListLeaderboardRequest_builder{MinSeq: minSeq, PageSize: 1}.Build())
		return err
	}, nil)
	if err != nil {
		return Summary{}, fmt.Errorf("summary: %w", err)
	}
	s := Summary{
		Friendships:         outcomes.GetFriendships(),
		Medals:              Medals{Bronze: totals.GetBronze(), Silver: totals.GetSilver(), Gold: totals.GetGold()},
		Backgrounds:         totals.GetBackgrounds(),
		CompleteCollections: totals.GetCompleteCollections(),
		Halves:              outcomes.GetHalves(),
		Duplicates:          outcomes.GetDuplicate(),
	}
	for _, r := range outcomes.GetRefused() {
		if r.GetRefusal() != logv1.Refusal_REFUSAL_EXPIRED {
			s.Refused += r.GetHalves()
		}
	}
	return s, nil
}
