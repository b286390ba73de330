package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/crowd"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// TestSuspect: the owner of a pin whose key was copied leaves the log suspect, and not broken: the audit ends with 0, and
// says so.
func TestSuspect(t *testing.T) {
	data := t.TempDir()
	w := startUp(t, data)
	alice, bob, carol := newPerson(1), newPerson(2), newPerson(3)
	w.enrol(t, alice, bob, carol)
	for _, peer := range []person{bob, carol} {
		copied := newPerson(1) // it counts from the beginning again
		half, _, err := client.Tap(copied.pin.Approach(), peer.pin.Approach(), client.Now(), client.Now())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := w.gateway.Deliver(t.Context(), gatewayv1.DeliverRequest_builder{
			Carrier:    alice.pin.ID().String(),
			Statements: []*gatewayv1.SignedStatement{gatewayv1.SignedStatement_builder{Statement: half.Statement, Signature: half.Signature[:]}.Build()},
		}.Build())
		if err != nil || answer.GetAnswers()[0].GetStatus() != gatewayv1.Status_STATUS_ACCEPTED {
			t.Fatalf("got %v, %v", answer, err)
		}
	}
	w.stop()
	code, stdout, stderr := pinfold(t, "audit", "verify", "--data", data)
	if code != exitOK || !strings.Contains(stdout, "verdict      suspect") || !strings.Contains(stdout, "CLONED_KEY") || !strings.Contains(stderr, "SUSPECT") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if v := verifyJSON(t, exitOK, "--data", data); v.Verdict != audit.Suspect || len(v.Findings) != 1 || v.Findings[0].Verdict != audit.Suspect {
		t.Errorf("got %+v", v)
	}
}

// TestAuditEnvironment: what an audit finds is decided by what was typed. Only what decides none of it may come from the
// environment.
func TestAuditEnvironment(t *testing.T) {
	may := []string{"help", "output", "log-level", "print-config", "data", "games", "gateway", "scratch", "workers", "out"}
	var cli CLI
	parser, err := newParser(&cli, io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	index := slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == "audit" })
	for _, command := range parser.Model.Children[index].Leaves(false) {
		for _, group := range command.AllFlags(false) {
			for _, f := range group {
				if named := len(f.Envs) > 0 && f.Envs[0] != "-"; named && !slices.Contains(may, f.Name) {
					t.Errorf("audit %s: --%s is read from %v", command.Name, f.Name, f.Envs)
				}
			}
		}
	}
}

// TestAuditUsage: what was mistyped is wrong usage, before anything is opened.
func TestAuditUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no-archive")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const w = "ceirceirceirceirceirceirce"
	for _, args := range [][]string{
		{"explain", file, "--wearer", w, "--medal", "platinum"},
		{"explain", file, "--wearer", "bob", "--medal", "gold"},
		{"explain", file, "--wearer", w},
		{"explain", file, "--wearer", w, "--medal", "gold", "--background", "judo"},
		{"certificate", "--wearer", w, "--medal", "platinum", "--out", file + "1"},
		{"certificate", "--wearer", "bob", "--medal", "gold", "--out", file + "1"},
		{"certificate", "--wearer", w, "--medal", "gold", "--out", file + "1", "--gateway", "nowhere"},
		{"leaderboard", file, "--at", "yesterday"},
		{"leaderboard", file, "--at", "0"},
		{"leaderboard", file, "--limit", "-1"},
		{"wearer", w, file, "--at", "-5"},
		{"wearer", strings.ToUpper(w), file},
		{"whatif", file, "--set", "medals"},
		{"whatif", file, "--set", "medals.silver=many"},
		{"verify", file, "--workers", "-1"},
		{"verify", file, "--checkpoint-key", "x"},
		{"verify", "--admin", "nowhere"},
		{"checkpoint", "--gateway", "nowhere"},
		{"checkpoint", "--checkpoint-key", "x"},
		{"check", file, "--checkpoint-key", "x"},
	} {
		if code, stdout, stderr := pinfold(t, append([]string{"audit"}, args...)...); code != exitUsage || stdout != "" || strings.Contains(stderr, "no-archive: ") {
			t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
}

// TestBrokenIsSaid: that a log, an archive or a certificate does not hold is told by the exit code also where it cannot be
// printed, and in JSON by one object.
func TestBrokenIsSaid(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	w := startUp(t, data)
	w.play(t, crowd.Synthetic(20, 1, 1))
	w.stop()
	key := filepath.Join(data, "keys", "checkpoint.pub")
	archive := filepath.Join(dir, "log.pinfold")
	mustRun(t, "audit", "export", "--data", data, "--out", archive)
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.pinfold")
	if err := os.WriteFile(cut, whole[:len(whole)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{
		{"verify", cut},
		{"check", bad, "--checkpoint-key", key},
		{"leaderboard", cut},
		{"whatif", cut, "--set", "step_goal=1"},
		{"explain", cut, "--wearer", "ceirceirceirceirceirceirce", "--medal", "gold"},
		{"compare", cut, archive},
	} {
		args = append([]string{"audit"}, args...)
		var said bytes.Buffer
		if code := run(t.Context(), args, full, &said); code != exitBroken {
			t.Errorf("%q into a full disk: exit code %d, %s", args, code, said.String())
		}
		code, stdout, stderr := pinfold(t, append(args, "--output", "json")...)
		var object struct{ Verdict string }
		if err := json.Unmarshal([]byte(stdout), &object); err != nil || code != exitBroken || object.Verdict != audit.Broken {
			t.Errorf("%q: exit code %d, %q, %s, %v: want one object", args, code, stdout, stderr, err)
		}
	}
}
