package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"pinfold/crowd"
	"pinfold/internal/rules"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// show tells what happens while a crowd meets: a picture that is drawn over itself on a terminal, plain lines elsewhere.
// All it knows it asks the gateway, as an app would.
type show struct {
	gateway  gatewayv1.GatewayServiceClient
	w        io.Writer
	terminal bool
	began    time.Time
	lines    int // of the picture on the screen
}

const (
	drawEvery  = 250 * time.Millisecond
	printEvery = time.Second
)

// run shows until the context ends.
func (s *show) run(ctx context.Context) {
	every := printEvery
	if s.terminal {
		every = drawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if now, err := s.look(ctx); err == nil { // a picture that was missed is no loss
				s.print(now)
			}
		case <-ctx.Done():
			return
		}
	}
}

// end shows how it came out.
func (s *show) end(ctx context.Context) {
	if now, err := s.look(ctx); err == nil {
		s.print(now)
	}
}

// scene is what one picture shows.
type scene struct {
	outcomes *tapv1.GetOutcomesResponse
	totals   *rewardsv1.GetTotalsResponse
	leaders  []*rewardsv1.Place
	face     *gatewayv1.Face // the leader's
	day      *stepsv1.Day    // the leader's first day
}

const leaders = 8

func (s *show) look(ctx context.Context) (scene, error) {
	var now scene
	var err error
	if now.outcomes, err = s.gateway.GetOutcomes(ctx, &tapv1.GetOutcomesRequest{}); err != nil {
		return now, err
	}
	if now.totals, err = s.gateway.GetTotals(ctx, &rewardsv1.GetTotalsRequest{}); err != nil {
		return now, err
	}
	board, err := s.gateway.ListLeaderboard(ctx, rewardsv1.ListLeaderboardRequest_builder{PageSize: leaders}.Build())
	if err != nil || len(board.GetPlaces()) == 0 {
		return now, err
	}
	now.leaders = board.GetPlaces()
	leader := now.leaders[0].GetWearer()
	if now.face, err = s.gateway.GetFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: leader}.Build()); err != nil {
		return now, err
	}
	firstDay := time.UnixMilli(int64(crowd.Midnight)).In(time.FixedZone("JST", 9*3600)).Format(time.DateOnly)
	day, err := s.gateway.GetDay(ctx, stepsv1.GetDayRequest_builder{Wearer: leader, Day: firstDay}.Build())
	now.day = day.GetDay()
	return now, err
}

func (s *show) print(now scene) {
	if !s.terminal {
		fmt.Fprintf(s.w, "%5.1f s  %d halves, %d friendships, medals %s, %d backgrounds\n", time.Since(s.began).Seconds(),
			now.outcomes.GetHalves(), now.outcomes.GetFriendships(), medalCounts(now.totals), now.totals.GetBackgrounds())
		return
	}
	picture := s.picture(now)
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines) // back to the first line of the last picture
	}
	for _, line := range picture {
		b.WriteString(line + "\x1b[K\n")
	}
	s.lines = len(picture)
	_, _ = io.WriteString(s.w, b.String())
}

func medalCounts(t *rewardsv1.GetTotalsResponse) string {
	return fmt.Sprintf("%d bronze, %d silver, %d gold", t.GetBronze(), t.GetSilver(), t.GetGold())
}

// picture draws the crowd on the left and the leader's pin on the right.
func (s *show) picture(now scene) []string {
	seconds := time.Since(s.began).Seconds()
	left := []string{
		fmt.Sprintf("after %.1f seconds", seconds),
		"",
		fmt.Sprintf("%7d  halves reported, %.0f a second", now.outcomes.GetHalves(), float64(now.outcomes.GetHalves())/seconds),
		fmt.Sprintf("%7d  friendships", now.outcomes.GetFriendships()),
		fmt.Sprintf("%7d  backgrounds unlocked", now.totals.GetBackgrounds()),
		"         medals: " + medalCounts(now.totals),
		"",
		"rank  friends  wearer",
	}
	for _, p := range now.leaders {
		left = append(left, fmt.Sprintf("%4d  %7d  %.8s…  %s", p.GetRank(), p.GetFriends(), p.GetWearer(), strings.Repeat("▪", int(p.GetFriends()/10))))
	}
	return beside(left, 52, face(now.face, now.day))
}

// beside puts two columns next to each other, the first of the given width.
func beside(left []string, width int, right []string) []string {
	rows := make([]string, max(len(left), len(right)))
	for i := range rows {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		rows[i] = l + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(l))) + r
	}
	return rows
}

// rim is the round display of a pin; what it shows is centred in its rows.
var rim = [...][2]string{
	{"        .--~~~~~~~~~~--.        ", ""},
	{"     .-'", "'-.     "},
	{"   .'", "'.   "},
	{"  /", "\\  "},
	{" |", "| "},
	{" |", "| "},
	{" |", "| "},
	{" |", "| "},
	{" |", "| "},
	{"  \\", "/  "},
	{"   '.", ".'   "},
	{"     '-.", ".-'     "},
	{"        '--~~~~~~~~~~--'        ", ""},
}

// face draws what a pin shows.
func face(f *gatewayv1.Face, day *stepsv1.Day) []string {
	if f == nil {
		return nil
	}
	text := map[int]string{
		2:  medalName(f.GetMedal()),
		4:  fmt.Sprintf("%d friends", f.GetFriends()),
		5:  fmt.Sprintf("%d of 33 backgrounds", f.GetBackgrounds()),
		7:  fmt.Sprintf("%d / %d steps", day.GetSteps(), f.GetStepGoal()),
		9:  "",
		10: "",
	}
	if next := f.GetNextBackground(); next != nil {
		text[9] = fmt.Sprintf("%d more for", next.GetFriendsMore())
		text[10] = sportName(next.GetBackground())
	}
	const width = 32
	rows := make([]string, len(rim))
	for i, r := range rim {
		room := width - utf8.RuneCountInString(r[0]) - utf8.RuneCountInString(r[1])
		rows[i] = r[0] + centre(text[i], room) + r[1]
	}
	return rows
}

func centre(text string, width int) string {
	spare := max(0, width-utf8.RuneCountInString(text))
	return strings.Repeat(" ", spare/2) + text + strings.Repeat(" ", spare-spare/2)
}

func medalName(m logv1.Medal) string {
	return map[logv1.Medal]string{
		logv1.Medal_MEDAL_BRONZE: "* bronze *", logv1.Medal_MEDAL_SILVER: "** silver **", logv1.Medal_MEDAL_GOLD: "*** gold ***",
	}[m]
}

// sportName returns the English name of a sport of the default rules, and the id of any other.
func sportName(id string) string {
	for _, s := range rules.Tokyo2020().Sports {
		if s.ID == id {
			return s.English
		}
	}
	return id
}
