package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

var updatePictures = flag.Bool("update", false, "write the transcripts of pictures anew, to be looked at")

// evening is a scene of Games with ten sports.
func evening() scene {
	leader := gatewayv1.Face_builder{
		Friends: 151, Backgrounds: 9, Medal: logv1.Medal_MEDAL_GOLD, StepGoal: 10_000,
		NextBackground: rewardsv1.NextBackground_builder{Background: "modern-pentathlon", FriendsMore: 4}.Build(),
	}.Build()
	n := scene{
		outcomes: tapv1.GetOutcomesResponse_builder{Halves: 52_080, Friendships: 9_565}.Build(),
		totals:   rewardsv1.GetTotalsResponse_builder{Bronze: 158, Silver: 26, Gold: 5, Backgrounds: 3_670, Sports: 10}.Build(),
		face:     leader, day: stepsv1.Day_builder{Steps: 7_321}.Build(),
		enrolled: 403, people: 403, at: 12_345 * time.Millisecond, meeting: 10 * time.Second,
	}
	for i, friends := range []uint32{151, 140, 99, 20} {
		n.leaders = append(n.leaders, rewardsv1.Place_builder{Rank: uint32(i + 1), Wearer: "ceirceirceirceirceirceirce", Friends: friends}.Build())
	}
	return n
}

// morning is a scene while people put on their pins.
func morning() scene {
	return scene{
		outcomes: &tapv1.GetOutcomesResponse{}, totals: rewardsv1.GetTotalsResponse_builder{Sports: 10}.Build(),
		enrolled: 123, people: 403, at: 1_500 * time.Millisecond,
	}
}

// TestPictures compares what a terminal shows with transcripts.
func TestPictures(t *testing.T) {
	for name, now := range map[string]scene{"morning": morning(), "evening": evening()} {
		for _, columns := range []int{20, 40, 60, 80, 200} {
			t.Run(fmt.Sprintf("%s of %d columns", name, columns), func(t *testing.T) {
				var out bytes.Buffer
				s := &show{w: &out, size: func() (int, int) { return columns, 24 }}
				s.print(now)
				got := strings.ReplaceAll(out.String(), "\x1b[K", "")
				path := filepath.Join("testdata", "demo", fmt.Sprintf("%s-%d.txt", name, columns))
				if *updatePictures {
					if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if want := readText(t, path); got != want {
					t.Errorf("got\n%swant\n%s", got, want)
				}
			})
		}
	}
}

// TestPictureFits: no line is wider than the terminal, nor are there more lines than rows, whatever its size.
func TestPictureFits(t *testing.T) {
	long := evening()
	long.leaders[0] = rewardsv1.Place_builder{Rank: 1, Wearer: "ceirceir", Friends: 4_000_000_000}.Build()
	long.outcomes = tapv1.GetOutcomesResponse_builder{Halves: 1 << 63}.Build()
	long.face.SetNextBackground(rewardsv1.NextBackground_builder{Background: strings.Repeat("水泳", 20)}.Build())
	for _, now := range []scene{morning(), evening(), long} {
		for columns := 1; columns <= 200; columns++ {
			for _, rows := range []int{1, 10, 24, 60} {
				var out bytes.Buffer
				s := &show{w: &out, size: func() (int, int) { return columns, rows }}
				s.print(now)
				lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(out.String(), "\x1b[K", ""), "\n"), "\n")
				for _, line := range lines {
					if uniseg.StringWidth(line) > columns {
						t.Fatalf("%d columns: %d are taken by %q", columns, uniseg.StringWidth(line), line)
					}
				}
				if len(lines) > max(1, rows-1) {
					t.Fatalf("%d rows: %d lines", rows, len(lines))
				}
			}
		}
	}
}

// TestPictureRedrawn: a picture is drawn over the last one, also over a longer one, and below it once the terminal has
// another size. Without a terminal there are no escapes.
func TestPictureRedrawn(t *testing.T) {
	var out bytes.Buffer
	columns := 80
	s := &show{w: &out, size: func() (int, int) { return columns, 24 }}
	drawn := func(now scene) string {
		out.Reset()
		s.print(now)
		return out.String()
	}
	if got := drawn(evening()); strings.HasPrefix(got, "\x1b[15A") {
		t.Errorf("the first picture goes back: %q", got)
	}
	if got := drawn(evening()); !strings.HasPrefix(got, "\x1b[15A") || strings.Count(got, "\n") != 15 {
		t.Errorf("got %q, want it over 15 lines", got)
	}
	if got := drawn(morning()); !strings.HasPrefix(got, "\x1b[15A") || strings.Count(got, "\n") != 15 {
		t.Errorf("got %q, want all 15 lines drawn over", got)
	}
	columns = 100
	if got := drawn(evening()); strings.HasPrefix(got, "\x1b[") {
		t.Errorf("got %q, want it below", got)
	}
	s.size = nil
	if got := drawn(evening()); strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one plain line", got)
	}
}

// TestHeldLog: what is logged while a picture is shown comes behind it, and then at once.
func TestHeldLog(t *testing.T) {
	var out bytes.Buffer
	log := &heldLog{to: &out}
	logger := warnings(log)
	logger.Info("passed over")
	logger.Warn("first")
	if out.Len() > 0 {
		t.Errorf("%q within the picture", out.String())
	}
	log.release()
	log.release()
	logger.Warn("second")
	if got := out.String(); strings.Count(got, "msg=") != 2 || !strings.Contains(got, "msg=first") || !strings.HasSuffix(got, "msg=second\n") {
		t.Errorf("got %q", got)
	}
}
