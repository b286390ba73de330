package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/crowd"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// mustRun runs a command line that is to succeed, and returns what it printed.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := pinfold(t, args...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

// story runs `pinfold audit explain` and returns what it told.
func story(t testing.TB, args ...string) (s evidence.Story) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustRun(t, append([]string{"audit", "explain", "--output", "json"}, args...)...)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCertificates lets a wearer fetch what proves a medal, and anybody check it; an auditor makes the same from an
// archive and a checkpoint that was kept, and tells how it was earned.
func TestCertificates(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	w := startUp(t, data)
	w.play(t, crowd.Synthetic(120, 2, 1))
	board, err := w.gateway.ListLeaderboard(t.Context(), rewardsv1.ListLeaderboardRequest_builder{PageSize: 1}.Build())
	if err != nil {
		t.Fatal(err)
	}
	best := board.GetPlaces()[0].GetWearer()
	awards, err := w.gateway.GetAwards(t.Context(), rewardsv1.GetAwardsRequest_builder{Wearer: best}.Build())
	if err != nil {
		t.Fatal(err)
	}
	medals := awards.GetMedals()
	medal := fact.Medal(medals[len(medals)-1].GetMedal()).String()
	mine := []string{"--wearer", best, "--medal", medal}

	mustRun(t, "audit", "checkpoint", "--gateway", w.at.Gateway, "--keep", path("kept"), "--all")
	fetch := append([]string{"audit", "certificate", "--gateway", w.at.Gateway}, mine...)
	mustRun(t, append(fetch, "--out", path("full.json"))...)
	mustRun(t, append(fetch, "--short", "--out", path("short.json"))...)
	mustRun(t, "audit", "certificate", "--gateway", w.at.Gateway, "--wearer", best, "--background", awards.GetBackgrounds()[0].GetBackground(),
		"--out", path("background.json"))
	if code, _, stderr := pinfold(t, append(fetch, "--out", path("full.json"))...); code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("a file that is there: exit code %d, %s", code, stderr)
	}
	wantRefusals(t, w, best)
	w.stop()

	archive := path("log.pinfold")
	mustRun(t, "audit", "export", "--data", data, "--out", archive)
	key := filepath.Join(data, "keys", "checkpoint.pub")
	mustRun(t, append([]string{
		"audit", "certificate", "--archive", archive, "--checkpoint", path("kept"), "--checkpoint-key", key, "--out", path("archive.json"),
	}, mine...)...)
	for want, args := range map[string][]string{
		"give --archive too":     {"--checkpoint", path("kept")},
		"want --checkpoint and ": {"--archive", archive, "--checkpoint", path("kept")},
	} {
		code, _, stderr := pinfold(t, append(append([]string{"audit", "certificate", "--out", path("none.json")}, mine...), args...)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s, want %q", args, code, stderr, want)
		}
	}
	for _, name := range []string{"full.json", "short.json", "background.json", "archive.json"} {
		out := mustRun(t, "audit", "check", path(name), "--checkpoint-key", key)
		if !strings.Contains(out, "holds") || !strings.Contains(out, best) || !strings.Contains(out, "not proven") {
			t.Errorf("%s: %s", name, out)
		}
	}
	text, err := os.ReadFile(path("full.json"))
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(text), `"payload": "`, `"payload": "A`, 1)
	if forged == string(text) {
		forged = strings.Replace(string(text), `"payload":"`, `"payload":"A`, 1)
	}
	if err := os.WriteFile(path("forged.json"), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := pinfold(t, "audit", "check", path("forged.json"), "--checkpoint-key", key)
	if code != exitBroken || !strings.Contains(stderr, "BROKEN") {
		t.Errorf("a forged one: exit code %d, %s", code, stderr)
	}

	// The archive and the log tell the same story, which is that of the certificate.
	told := story(t, append([]string{archive}, mine...)...)
	if direct := story(t, append([]string{"--data", data}, mine...)...); len(direct.Taps) != len(told.Taps) || direct.Seq != told.Seq {
		t.Errorf("the log tells of %d taps, the archive of %d", len(direct.Taps), len(told.Taps))
	}
	var checked evidence.Checked
	if err := json.Unmarshal([]byte(mustRun(t, "audit", "check", path("full.json"), "--checkpoint-key", key, "--output", "json")), &checked); err != nil {
		t.Fatal(err)
	}
	if checked.Story == nil || len(checked.Story.Taps) != len(told.Taps) || uint32(len(told.Taps)) != told.Friends || told.Friends == 0 {
		t.Errorf("the certificate tells %+v, the archive of %d taps and %d friends", checked.Story, len(told.Taps), told.Friends)
	}
	if text := mustRun(t, append([]string{"audit", "explain", archive, "--scratch", t.TempDir()}, mine...)...); !strings.Contains(text, medal) {
		t.Errorf("the story: %.300s", text)
	}
	if code, _, stderr := pinfold(t, "audit", "explain", archive, "--wearer", best, "--background", "no-such-sport"); code != exitFailed ||
		!strings.Contains(stderr, "was not given no-such-sport") {
		t.Errorf("an award that nobody has: exit code %d, %s", code, stderr)
	}
}

// wantRefusals asks the gateway for what it has not.
func wantRefusals(t *testing.T, w *world, wearer string) {
	t.Helper()
	auditor := gatewayv1.NewAuditServiceClient(w.conn)
	for name, tt := range map[string]struct {
		req  *gatewayv1.GetCertificateRequest
		want string
	}{
		"nothing": {gatewayv1.GetCertificateRequest_builder{Wearer: wearer}.Build(), "MALFORMED"},
		"nobody":  {gatewayv1.GetCertificateRequest_builder{Wearer: "me", Medal: logv1.Medal_MEDAL_BRONZE.Enum()}.Build(), "MALFORMED"},
		"no such medal": {gatewayv1.GetCertificateRequest_builder{
			Wearer: wearer, Medal: logv1.Medal(257).Enum(),
		}.Build(), "MALFORMED"},
		"not earned": {gatewayv1.GetCertificateRequest_builder{
			Wearer: newPerson(1).wearer.String(), Medal: logv1.Medal_MEDAL_BRONZE.Enum(),
		}.Build(), "NOT_AWARDED"},
		"no such background": {gatewayv1.GetCertificateRequest_builder{Wearer: wearer, Background: new("x")}.Build(), "NOT_AWARDED"},
	} {
		if _, err := auditor.GetCertificate(t.Context(), tt.req); serve.Reason(err) != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
