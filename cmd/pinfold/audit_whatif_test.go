package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/crowd"
)

// playedLog plays a crowd, and returns the folder and an archive of its log.
func playedLog(t *testing.T, contacts crowd.Contacts) (data, archive string) {
	t.Helper()
	data, archive = t.TempDir(), filepath.Join(t.TempDir(), "log.pinfold")
	w := startUp(t, data)
	w.play(t, contacts)
	w.stop()
	exportLog(t, archive, "--data", data)
	return data, archive
}

// answer runs a command that must succeed, and reads its JSON.
func answer(t *testing.T, into any, args ...string) {
	t.Helper()
	code, stdout, stderr := pinfold(t, append(args, "--output", "json")...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("%v: %v in %q", args, err, stdout)
	}
}

// TestAuditWhatIf gives a small crowd other rules. How many friends each has is counted from the contacts.
func TestAuditWhatIf(t *testing.T) {
	contacts := crowd.Synthetic(60, 2, 1)
	data, archive := playedLog(t, contacts)
	want := expect(contacts)
	atLeast := func(n int) (wearers uint64) {
		friends := map[[2]int]bool{}
		count := make([]int, contacts.People)
		for _, e := range contacts.Encounters {
			if pair := [2]int{min(e.A, e.B), max(e.A, e.B)}; !friends[pair] {
				friends[pair] = true
				count[e.A]++
				count[e.B]++
			}
		}
		for _, c := range count {
			wearers += one(c >= n)
		}
		return wearers
	}
	if atLeast(20) == 0 || atLeast(30) == atLeast(20) {
		t.Fatalf("%d have 20 friends, %d have 30: this crowd tests nothing", atLeast(20), atLeast(30))
	}
	other := filepath.Join(t.TempDir(), "other.json")
	rulesText := readText(t, "../../internal/rules/tokyo2020.json")
	rulesText = strings.Replace(rulesText, `"bronze": 50, "silver": 100`, `"bronze": 20, "silver": 30`, 1)
	if err := os.WriteFile(other, []byte(rulesText), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{archive, "--set", "medals.bronze=20", "--set", "medals.silver=30"},
		{archive, "--rules", other},
		{"--data", data, "--set", "medals.bronze=20", "--set", "medals.silver=30"},
	} {
		var got whatIfAnswer
		answer(t, &got, append([]string{"audit", "whatif"}, args...)...)
		if got.Games != "tokyo2020" || got.Before.Friendships != want.Friendships || got.Before.Backgrounds != want.Backgrounds || got.Before.Bronze != want.Medals.Bronze {
			t.Errorf("%v: before %+v, want %+v", args, got.Before, want)
		}
		if got.After.Friendships != want.Friendships || got.After.Bronze != atLeast(20) || got.After.Silver != atLeast(30) || got.After.Backgrounds != want.Backgrounds {
			t.Errorf("%v: after %+v, want %d bronze and %d silver", args, got.After, atLeast(20), atLeast(30))
		}
		var bronze uint64
		for _, c := range got.Wearers {
			if c.MedalsLost != nil || c.BackgroundsGained != nil || c.FriendsBefore < 20 {
				t.Errorf("%v: %+v", args, c)
			}
			bronze += one(len(c.MedalsGained) > 0 && c.MedalsGained[0] == "bronze")
		}
		if bronze != atLeast(20)-want.Medals.Bronze {
			t.Errorf("%v: %d gain bronze, want %d", args, bronze, atLeast(20)-want.Medals.Bronze)
		}
	}

	code, stdout, stderr := pinfold(t, "audit", "whatif", archive, "--set", "starter_backgrounds=5")
	for _, want := range []string{"backgrounds  ", "+300", "60 wearers would gain or lose something", "The first 50 are shown", "+5"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, %q and %q, want %q", code, stdout, stderr, want)
		}
	}
	if rows := strings.Count(stdout, "+5 "); rows != 50 {
		t.Errorf("%d wearers are shown, want 50:\n%s", rows, stdout)
	}
	if code, stdout, _ = pinfold(t, "audit", "whatif", archive, "--set", "step_goal=10000"); code != exitOK || !strings.Contains(stdout, "\n0 wearers would") {
		t.Errorf("the same rules: exit code %d, %q", code, stdout)
	}

	// The rules of a gateway in the environment are not the other rules.
	t.Setenv("PINFOLD_RULES", "../../internal/rules/tokyo2020.json")
	var got whatIfAnswer
	answer(t, &got, "audit", "whatif", archive, "--set", "medals.bronze=20")
	if got.After.Bronze != atLeast(20) {
		t.Errorf("with PINFOLD_RULES: %d bronze, want %d", got.After.Bronze, atLeast(20))
	}
}

func TestAuditWhatIfRefuses(t *testing.T) {
	_, archive := playedLog(t, crowd.Synthetic(4, 1, 1))
	zone := filepath.Join(t.TempDir(), "zone.json")
	rulesText := strings.Replace(readText(t, "../../internal/rules/tokyo2020.json"), "Asia/Tokyo", "Europe/Paris", 1)
	if err := os.WriteFile(zone, []byte(rulesText), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing to change": {[]string{archive}, exitUsage, "--set"},
		"both":              {[]string{archive, "--set", "step_goal=1", "--rules", zone}, exitUsage, "--rules"},
		"unknown key":       {[]string{archive, "--set", "medals.tin=1"}, exitUsage, `"medals.tin": unknown key`},
		"bad value":         {[]string{archive, "--set", "medals.silver=1"}, exitFailed, "medals.silver 1: must be more than medals.bronze, 50"},
		"another zone":      {[]string{archive, "--rules", zone}, exitFailed, "time_zone: must stay that of the log"},
		"broken rules":      {[]string{archive, "--rules", archive}, exitFailed, "rules: must be UTF-8"},
		"no archive":        {[]string{zone, "--set", "step_goal=1"}, exitFailed, "zone.json: archive: header"},
		"two logs":          {[]string{archive, "--nats", "nats://127.0.0.1:1", "--set", "step_goal=1"}, exitUsage, "give one of them"},
		"no log":            {[]string{"--data", t.TempDir(), "--set", "step_goal=1"}, exitFailed, "no log in"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := pinfold(t, append([]string{"audit", "whatif"}, tt.args...)...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, %q and %q, want code %d and %q", code, stdout, stderr, tt.code, tt.want)
			}
		})
	}
}
