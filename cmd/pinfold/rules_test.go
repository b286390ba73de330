package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/internal/rules"
)

// TestRulesCommands: what rules show prints is a file that rules check takes; all that is wrong with a file is told.
func TestRulesCommands(t *testing.T) {
	code, shown, _ := pinfold(t, "rules", "show", "--output", "json")
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	good := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(good, []byte(shown), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := pinfold(t, "rules", "check", good); code != exitOK || out != "good\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
	if code, out, _ := pinfold(t, "rules", "show", good); code != exitOK || !strings.Contains(out, "silver from 100") || !strings.Contains(out, "Asia/Tokyo") || !strings.Contains(out, "wrestling") {
		t.Errorf("exit code %d, %s", code, out)
	}

	bad := filepath.Join(t.TempDir(), "bad.json")
	text := strings.NewReplacer(`"silver": 100`, `"silver": 5`, `"step_goal": 10000`, `"step_goal": 0`).Replace(string(rules.Default()))
	if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := pinfold(t, "rules", "check", bad)
	if code != exitFailed || !strings.Contains(out, "medals.silver 5: ") || !strings.Contains(out, "step_goal 0: ") || !strings.Contains(errs, "2 problems") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	code, out, _ = pinfold(t, "rules", "check", bad, "--output", "json")
	var report rulesReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed || report.Good || len(report.Problems) != 2 {
		t.Errorf("exit code %d, %s, %v", code, out, err)
	}

	// Services and demo read rules before they make anything.
	for _, args := range [][]string{{"up"}, {"gateway", "--nats", "nats://127.0.0.1:1"}, {"demo"}} {
		data := filepath.Join(t.TempDir(), "games")
		code, _, errs := pinfold(t, append(args, "--data", data, "--rules", bad)...)
		if _, err := os.Stat(data); code != exitUsage || !strings.Contains(errs, "1 problems more: pinfold rules check") || err == nil {
			t.Errorf("%v: exit code %d, %s, %v: want nothing made", args, code, errs, err)
		}
	}
}

// TestOtherGamesInFolder: a folder of one Games is not begun a second time for another, whose id may be mistyped.
func TestOtherGamesInFolder(t *testing.T) {
	data := t.TempDir()
	startUp(t, data).stop()
	code, _, errs := pinfold(t, "up", "--data", data, "--games", "tokio2020", "--listen", "127.0.0.1:0", "--tap-listen", "127.0.0.1:0",
		"--rewards-listen", "127.0.0.1:0", "--steps-listen", "127.0.0.1:0", "--admin", "")
	if code == exitOK || !strings.Contains(errs, "--games tokio2020") || !strings.Contains(errs, "the log of tokyo2020") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if code, _, errs := pinfold(t, "audit", "verify", "--data", data, "--games", "tokio2020"); code == exitOK || !strings.Contains(errs, "there are tokyo2020") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
