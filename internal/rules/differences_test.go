package rules

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pinfold/internal/fact"
)

// TestDifferences: each field that differs is named, with both values; and there are differences exactly where rules are not
// the same.
func TestDifferences(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *fact.Rules)
		want   []string
	}{
		"nothing":      {func(*fact.Rules) {}, nil},
		"name":         {func(r *fact.Rules) { r.Name = "Paris" }, []string{`name: "Tokyo 2020", "Paris"`}},
		"a sport":      {func(r *fact.Rules) { r.Sports[1].English = "Bows" }, []string{"sports[1]: "}},
		"fewer sports": {func(r *fact.Rules) { r.Sports = r.Sports[:32] }, []string{"sports: 33, 32"}},
		"medals":       {func(r *fact.Rules) { r.Medals.Silver, r.Medals.Gold = 75, 200 }, []string{"medals.silver: 100, 75", "medals.gold: 151, 200"}},
		"the rest": {func(r *fact.Rules) {
			r.FriendsPerBackground, r.StarterBackgrounds, r.Medals.Bronze, r.StepGoal, r.PendingFor, r.UploadGrace = 6, 1, 40, 8000, 1e15, 3.6e12
		}, []string{
			"friends_per_background: 5, 6", "starter_backgrounds: 0, 1", "medals.bronze: 50, 40", "step_goal: 10000, 8000",
			"pending_for: 336h0m0s, 277h46m40s", "upload_grace: 168h0m0s, 1h0m0s",
		}},
		"window": {func(r *fact.Rules) { r.Opens, r.Closes = 1_600_000_000_000, 1_700_000_000_000 }, []string{"opens: none, 2020-", "closes: none, 2023-"}},
		"zone":   {func(r *fact.Rules) { r.Zone[0].Quarters = 8 }, []string{"time_zone: "}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := Tokyo2020(), Tokyo2020()
			b.Sports, b.Zone = slices.Clone(b.Sports), slices.Clone(b.Zone)
			tt.change(&b)
			const last = 1_627_000_000_000
			got := Differences(a, b, last)
			if len(got) != len(tt.want) || Same(a, b, last) != (len(got) == 0) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
	// No field is left out that is added later.
	if n := reflect.TypeFor[fact.Rules]().NumField(); n != 11 {
		t.Errorf("rules have %d fields: see that Differences has them all", n)
	}
}

// TestProblems: all that is wrong is told, in the order of the file.
func TestProblems(t *testing.T) {
	if got := Problems(tokyo2020); got != nil {
		t.Errorf("got %v of the default rules", got)
	}
	broken := strings.NewReplacer(`"step_goal": 10000`, `"step_goal": "many"`, `"Asia/Tokyo"`, `"Asia/Edo"`, `"upload_grace"`, `"grace"`).Replace(string(tokyo2020))
	got := Problems([]byte(broken))
	want := []string{`time_zone "Asia/Edo"`, `step_goal "many": must be a whole number`, `"grace": unknown key`, "upload_grace: must be given"}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %q", got, want)
	}
	for i := range got {
		if !strings.HasPrefix(got[i].Error(), want[i]) {
			t.Errorf("got %v, want %q", got[i], want[i])
		}
	}
	broken = strings.NewReplacer(`"step_goal": 10000`, `"step_goal": 0`, `"silver": 100`, `"silver": 10`, `"friends_per_background": 5`, `"friends_per_background": 0`).Replace(string(tokyo2020))
	if got := Problems([]byte(broken)); len(got) != 3 {
		t.Errorf("got %v, want three problems", got)
	}
	if _, err := Parse([]byte(broken)); err == nil || !strings.HasPrefix(err.Error(), "friends_per_background 0") {
		t.Errorf("got %v, want the first problem", err)
	}
}
