package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/crowd"
)

// roles are the programs that this test binary is when it is started under their name (asProgram).
var roles = map[string]func(args []string) int{}

func TestMain(m *testing.M) {
	if role := roles[filepath.Base(os.Args[0])]; role != nil {
		os.Exit(role(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// asProgram puts the program of a role into a folder and returns its path.
func asProgram(t *testing.T, dir, role string) string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, role)
	if err := os.Symlink(binary, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDemo(t *testing.T) {
	code, stdout, stderr := pinfold(t, "demo", "--exit", "--people", "40", "--listen", "127.0.0.1:0", "--output", "json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if got, want := timeless(parseSummary(t, stdout)), expect(crowd.Synthetic(40, 2, 1)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestConferenceTwice replays the conference, stops, starts again and replays it a second time.
func TestConferenceTwice(t *testing.T) {
	contacts, want := conference(t)
	data := t.TempDir()
	w := startUp(t, data)
	if got := timeless(w.play(t, contacts)); got != want {
		t.Errorf("first visit: got %+v, want %+v", got, want)
	}
	w.stop()
	rewards := restingRewards(t, data)
	first := verifyAtRest(t, data, newReceipts())

	w = startUp(t, data)
	want.Halves *= 2
	want.Duplicates = want.Halves / 2
	if got := timeless(w.play(t, contacts)); got != want {
		t.Errorf("second visit: got %+v, want %+v", got, want)
	}
	w.stop()
	if got := restingRewards(t, data); got != rewards {
		t.Errorf("the second visit changed the view of rewards: digest %v, before %v", got, rewards)
	}
	if second := verifyAtRest(t, data, newReceipts()); second != first {
		t.Errorf("the log has come to %+v after the second visit, %+v after the first", second, first)
	}

	removeViews(t, data)
	w = startUp(t, data)
	w.stop()
	verifyAtRest(t, data, newReceipts())
	if got := restingRewards(t, data); got != rewards {
		t.Errorf("rewards: digest %v after its view was deleted and rebuilt, %v before", got, rewards)
	}
}

func TestUsage(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.dat")
	if err := os.WriteFile(broken, []byte("20 1 2\n40 1 x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		want string // in what is printed
	}{
		"help":                  {[]string{"--help"}, exitOK, "Exit codes"},
		"help of a command":     {[]string{"up", "--help"}, exitOK, "$PINFOLD_DATA"},
		"no command":            {nil, exitOK, "Exit codes"},
		"a group":               {[]string{"audit"}, exitOK, "audit export"},
		"a group, bad flag":     {[]string{"audit", "--speed"}, exitUsage, "--speed"},
		"no command, bad value": {[]string{"--output", "xml"}, exitUsage, "table"},
		"no argument":           {[]string{"pin", "press"}, exitUsage, "<folder>"},
		"the toy's old name":    {[]string{"tap"}, exitUsage, "--nats"},
		"no time":               {[]string{"status", "--timeout", "0s"}, exitUsage, "--timeout=0s"},
		"unknown service":       {[]string{"status", "--ready", "taps"}, exitUsage, "--ready"},
		"unknown flag":          {[]string{"up", "--speed"}, exitUsage, "--speed"},
		"bad games":             {[]string{"up", "--games", "Tokyo 2020"}, exitUsage, `games "Tokyo 2020"`},
		"not loopback":          {[]string{"up", "--data", t.TempDir(), "--listen", "0.0.0.0:7400"}, exitFailed, "only a loopback address"},
		"not loopback, service": {[]string{"tap", "--nats", "nats://127.0.0.1:1", "--listen", "192.0.2.1:7401"}, exitFailed, "only a loopback address"},
		"no contacts file":      {[]string{"demo", "--contacts", "nowhere.dat"}, exitUsage, "nowhere.dat"},
		"broken contacts file":  {[]string{"demo", "--exit", "--contacts", broken}, exitFailed, "broken.dat:2: j: \"x\""},
		"too few people":        {[]string{"demo", "--people", "1"}, exitUsage, "--people=1"},
		"no bound":              {[]string{"gateway", "--nats", "nats://127.0.0.1:1", "--log-bytes=-1"}, exitUsage, "--log-bytes: -1"},
		"no servers":            {[]string{"gateway", "--nats", "nats://127.0.0.1:1", "--replicas", "0"}, exitUsage, "--replicas: 0"},
		"too many servers":      {[]string{"gateway", "--nats", "nats://127.0.0.1:1", "--replicas", "6"}, exitUsage, "--replicas: 6"},
		"no checkpoints":        {[]string{"up", "--checkpoint-every", "0"}, exitUsage, "--checkpoint-every: 0"},
		"unknown output":        {[]string{"demo", "--output", "xml"}, exitUsage, "table"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := pinfold(t, tt.args...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit code %d and %q, want code %d and %q", code, stdout+stderr, tt.code, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PINFOLD_PEOPLE", "1")
	code, _, stderr := pinfold(t, "demo")
	if code != exitUsage || !strings.Contains(stderr, "--people=1") {
		t.Errorf("exit code %d and %q, want the value of PINFOLD_PEOPLE refused", code, stderr)
	}
}
