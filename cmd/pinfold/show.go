package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rivo/uniseg"

	"pinfold/crowd"
	"pinfold/internal/rules"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// show tells what happens while a crowd meets: a picture that is drawn over itself on a terminal, plain lines elsewhere, and
// where a terminal has no room for a picture. All it knows it asks the gateway, as an app would, but for how many people
// have put on their pins.
type show struct {
	gateway gatewayv1.GatewayServiceClient
	w       io.Writer
	size    func() (columns, rows int) // of the terminal, which may change; nil = there is none
	began   time.Time

	enrolled, people atomic.Int64
	met              atomic.Int64 // when all had put on their pins, in nanoseconds from began; 0 = not yet

	drawn frame // the picture on the screen
}

// frame is the room that a picture was drawn in, and its lines.
type frame struct{ columns, rows, lines int }

const (
	drawEvery  = 250 * time.Millisecond
	printEvery = time.Second
)

// enrol tells how many people have put on their pins. Several goroutines may call it.
func (s *show) enrol(enrolled, people int) {
	s.people.Store(int64(people))
	if s.enrolled.Add(1) == int64(people) {
		s.met.Store(int64(time.Since(s.began)))
	}
}

// run shows until the context ends.
func (s *show) run(ctx context.Context) {
	every := printEvery
	if s.size != nil {
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

	enrolled, people int           // who have put on their pins, and all
	at               time.Duration // since the show began
	meeting          time.Duration // since all have put on their pins
}

const leaders = 8

func (s *show) look(ctx context.Context) (scene, error) {
	now := scene{enrolled: int(s.enrolled.Load()), people: int(s.people.Load()), at: time.Since(s.began)}
	if met := time.Duration(s.met.Load()); met > 0 {
		now.meeting = now.at - met
	}
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
	columns, rows := 0, 0
	if s.size != nil {
		columns, rows = s.size()
	}
	picture := now.picture(columns)
	if columns < narrowest || rows <= len(picture) {
		s.drawn = frame{}
		_, _ = io.WriteString(s.w, now.line(columns)+"\n")
		return
	}
	var b strings.Builder
	if s.drawn.lines > 0 && s.drawn.columns == columns && s.drawn.rows == rows { // or the terminal has moved what was drawn
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn.lines) // back to the first line of the last picture
	}
	for _, line := range picture {
		b.WriteString(line + "\x1b[K\n")
	}
	for range s.drawn.lines - len(picture) { // of a picture that was longer
		b.WriteString("\x1b[K\n")
	}
	s.drawn = frame{columns, rows, max(len(picture), s.drawn.lines)}
	_, _ = io.WriteString(s.w, b.String())
}

// Pictures need so many columns: one with the leader's pin beside the numbers, and one without.
const (
	wide      = 36 + faceWidth
	narrowest = 36
)

// line is all in one line of at most so many columns; 0 = as many as it takes.
func (n scene) line(columns int) string {
	text := fmt.Sprintf("%5.1f s  ", n.at.Seconds())
	if n.enrolled < n.people {
		text += fmt.Sprintf("%d of %d people have put on their pins", n.enrolled, n.people)
	} else {
		text += fmt.Sprintf("%d halves, %d friendships, medals %d bronze, %d silver, %d gold, %d backgrounds", n.outcomes.GetHalves(),
			n.outcomes.GetFriendships(), n.totals.GetBronze(), n.totals.GetSilver(), n.totals.GetGold(), n.totals.GetBackgrounds())
	}
	if columns > 0 {
		text = fit(text, columns)
	}
	return text
}

// picture draws the crowd, and where there is room for it the leader's pin on the right. No line takes more than the
// columns.
func (n scene) picture(columns int) []string {
	list := n.crowd()
	if columns >= wide {
		return beside(list, min(52, columns-faceWidth), face(n.face, n.day, n.totals.GetSports()))
	}
	for i := range list {
		list[i] = fit(list[i], columns)
	}
	return list
}

func (n scene) crowd() []string {
	list := []string{fmt.Sprintf("after %.1f seconds", n.at.Seconds()), ""}
	if n.enrolled < n.people {
		list = append(list, fmt.Sprintf("%7d  of %d people wear a pin", n.enrolled, n.people))
	} else {
		list = append(list, fmt.Sprintf("%7d  people", n.people))
	}
	halves := fmt.Sprintf("%7d  halves", n.outcomes.GetHalves())
	if seconds := n.meeting.Seconds(); seconds > 0 {
		halves += fmt.Sprintf(", %.0f a second", float64(n.outcomes.GetHalves())/seconds)
	}
	list = append(list, halves,
		fmt.Sprintf("%7d  friendships", n.outcomes.GetFriendships()),
		fmt.Sprintf("%7d  backgrounds", n.totals.GetBackgrounds()),
		fmt.Sprintf("%7d  medals of bronze", n.totals.GetBronze()),
		fmt.Sprintf("%7d  of silver", n.totals.GetSilver()),
		fmt.Sprintf("%7d  of gold", n.totals.GetGold()))
	if len(n.leaders) > 0 {
		list = append(list, "", "rank  friends  wearer")
	}
	for _, p := range n.leaders {
		list = append(list, fmt.Sprintf("%4d  %7d  %.8s…  %s", p.GetRank(), p.GetFriends(), p.GetWearer(), strings.Repeat("▪", int(min(p.GetFriends()/10, 17)))))
	}
	return list
}

// fit cuts a text to at most so many columns.
func fit(text string, columns int) string {
	if uniseg.StringWidth(text) <= columns {
		return text
	}
	var b strings.Builder
	for left, g := columns-1, uniseg.NewGraphemes(text); g.Next(); {
		if left -= g.Width(); left < 0 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

// heldLog keeps what is logged until it is released: a line among those of a picture, which is drawn over itself, would break it.
type heldLog struct {
	to io.Writer

	mu       sync.Mutex
	held     bytes.Buffer
	released bool
}

// Write implements io.Writer.
func (l *heldLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return l.to.Write(p)
	}
	return l.held.Write(p)
}

// release writes what was kept, and keeps no more.
func (l *heldLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = true
	_, _ = l.held.WriteTo(l.to)
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
		l = fit(l, width-1)
		if r != "" {
			l += strings.Repeat(" ", width-uniseg.StringWidth(l)) + r
		}
		rows[i] = strings.TrimRight(l, " ")
	}
	return rows
}

// faceWidth is how many columns a face takes.
const faceWidth = 32

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

// face draws what a pin shows, in Games of so many sports.
func face(f *gatewayv1.Face, day *stepsv1.Day, sports uint32) []string {
	if f == nil {
		return nil
	}
	text := map[int]string{
		2:  medalName(f.GetMedal()),
		4:  fmt.Sprintf("%d friends", f.GetFriends()),
		5:  fmt.Sprintf("%d of %d backgrounds", f.GetBackgrounds(), sports),
		7:  fmt.Sprintf("%d / %d steps", day.GetSteps(), f.GetStepGoal()),
		9:  "",
		10: "",
	}
	if next := f.GetNextBackground(); next != nil {
		text[9] = fmt.Sprintf("%d more for", next.GetFriendsMore())
		text[10] = sportName(next.GetBackground())
	}
	rows := make([]string, len(rim))
	for i, r := range rim {
		room := faceWidth - len(r[0]) - len(r[1])
		rows[i] = r[0] + centre(fit(text[i], room), room) + r[1]
	}
	return rows
}

func centre(text string, width int) string {
	spare := max(0, width-uniseg.StringWidth(text))
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
