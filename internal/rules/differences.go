package rules

import (
	"fmt"
	"reflect"

	"pinfold/internal/fact"
)

// Differences says what differs between the rules a and b for a log whose last fact is of that instant, each field as a
// rules file names it, with its value in a and in b. It is empty where they are the same (Same).
func Differences(a, b fact.Rules, last fact.UnixMilli) (all []string) {
	differ := func(field string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			all = append(all, fmt.Sprintf("%s: %v, %v", field, a, b))
		}
	}
	differ("name", fmt.Sprintf("%.80q", a.Name), fmt.Sprintf("%.80q", b.Name))
	all = append(all, sportsDiffer(a.Sports, b.Sports)...)
	differ("friends_per_background", a.FriendsPerBackground, b.FriendsPerBackground)
	differ("starter_backgrounds", a.StarterBackgrounds, b.StarterBackgrounds)
	differ("medals.bronze", a.Medals.Bronze, b.Medals.Bronze)
	differ("medals.silver", a.Medals.Silver, b.Medals.Silver)
	differ("medals.gold", a.Medals.Gold, b.Medals.Gold)
	if len(a.Zone) == 0 || len(b.Zone) == 0 { // rules that were not checked
		differ("time_zone", len(a.Zone) > 0, len(b.Zone) > 0)
	} else if from, ok := ZonesDifferFrom(a.Zone, b.Zone); ok && from <= last {
		all = append(all, fmt.Sprintf("time_zone: local times that differ from %v on", from))
	}
	differ("step_goal", a.StepGoal, b.StepGoal)
	differ("pending_for", a.PendingFor, b.PendingFor)
	differ("opens", boundary(a.Opens), boundary(b.Opens))
	differ("closes", boundary(a.Closes), boundary(b.Closes))
	differ("upload_grace", a.UploadGrace, b.UploadGrace)
	return all
}

// sportsDiffer names the first sport that differs, which decides what every later background is.
func sportsDiffer(a, b []fact.Sport) []string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return []string{fmt.Sprintf("sports[%d]: %.80q, %.80q", i, sportText(a[i]), sportText(b[i]))}
		}
	}
	if len(a) != len(b) {
		return []string{fmt.Sprintf("sports: %d, %d", len(a), len(b))}
	}
	return nil
}

func sportText(s fact.Sport) string {
	return s.ID + " " + s.English + " " + s.Japanese + " " + s.French
}

// boundary is an opening or a closing, of which 0 is none.
func boundary(t fact.UnixMilli) string {
	if t == 0 {
		return "none"
	}
	return t.String()
}
