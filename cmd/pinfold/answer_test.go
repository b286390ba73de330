package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"pinfold/crowd"
	"pinfold/internal/eventlog"
)

// command is a command that runs until it is ended.
type command struct {
	stdout, stderr record
	stop           context.CancelFunc
	ended          chan int
}

func startCommand(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &command{stop: cancel, ended: make(chan int, 1)}
	go func() { c.ended <- run(ctx, args, &c.stdout, &c.stderr) }()
	return c
}

// end ends the command as Ctrl-C does, and returns its exit code.
func (c *command) end() int {
	c.stop()
	return <-c.ended
}

// untilAnswers waits until something listens at the address.
func (c *command) untilAnswers(t *testing.T, address string) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case code := <-c.ended:
			t.Fatalf("exit code %d: %s", code, c.stderr.String())
		case <-time.After(healthPoll):
		}
	}
}

// oneObject checks that a command printed one JSON object and no more, and returns it.
func oneObject(t *testing.T, stdout string) (object map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(stdout))
	if err := d.Decode(&object); err != nil || d.More() || object == nil {
		t.Errorf("got %q, %v, want one JSON object", stdout, err)
	}
	return object
}

// leaves returns the names of all commands below the node.
func leaves(node *kong.Node, before string) (names []string) {
	for _, child := range node.Children {
		name := strings.TrimSpace(before + " " + child.Name)
		if len(child.Children) == 0 {
			names = append(names, name)
		}
		names = append(names, leaves(child, name)...)
	}
	return names
}

// TestOneObject walks all commands: each answers with one JSON object, whether it does what it is to, fails, or is not
// understood.
func TestOneObject(t *testing.T) {
	w := startUp(t, t.TempDir())
	w.play(t, crowd.Synthetic(10, 1, 1))
	at, dir := w.at, t.TempDir()
	embedded, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()
	cli := func(line string) []string { return strings.Fields(line) }
	archive, key, nowhere := filepath.Join(dir, "log.pinfold"), filepath.Join(w.data, "keys", "checkpoint.pub"), filepath.Join(dir, "nowhere")
	service := "--nats " + embedded.URL() + " --admin 127.0.0.1:0 --listen 127.0.0.1:0 --data " + dir + "/"
	up := "--listen 127.0.0.1:0 --tap-listen 127.0.0.1:0 --rewards-listen 127.0.0.1:0 --steps-listen 127.0.0.1:0 --admin 127.0.0.1:0"
	var wearer string
	walks := []struct {
		name, args string
		code       int
		key        string // of the object
	}{
		{"up", up + " --data " + dir + "/up", exitOK, "gateway"},
		{"gateway", "--begin " + service + "gateway", exitOK, "gateway"},
		{"tap", service + "tap", exitOK, "tap"},
		{"rewards", service + "rewards", exitOK, "rewards"},
		{"steps", service + "steps", exitOK, "steps"},
		{"try", "--gateway " + at.Gateway, exitOK, "faces"},
		{"status", "--admin " + at.Admin, exitOK, "processes"},
		{"status", "--ready tap --admin " + at.Admin, exitOK, "ready"},
		{"status", "--admin " + freeAddress(t), exitFailed, "error"},
		{"crowd", "--people 4 --days 1 --gateway " + at.Gateway, exitOK, "people"},
		{"demo", "--exit --people 4 --days 1 --listen 127.0.0.1:0", exitOK, "people"},
		{"pin run", "--firmware " + nowhere + " " + nowhere, exitFailed, "error"},
		{"pin tap", nowhere + " " + nowhere, exitFailed, "error"},
		{"pin walk", nowhere + " " + key, exitFailed, "error"},
		{"pin press", nowhere, exitFailed, "error"},
		{"pin screenshot", nowhere + " " + nowhere, exitFailed, "error"},
		{"bridge", "--pin unix:" + nowhere + " --wearer aaaaaaaaaaaaaaaaaaaaaaaaaa --memory " + dir, exitOK, ""},
		{"audit checkpoint", "--checkpoint-key " + key + " --gateway " + at.Gateway, exitOK, "checkpoint"},
		{"stop", "", exitOK, ""},
		{"audit export", "--data " + w.data + " --out " + archive, exitOK, "file"},
		{"audit export", "--data " + w.data + " --out " + archive, exitFailed, "error"},
		{"audit verify", archive, exitOK, "verdict"},
		{"audit whatif", "--set medals.silver=75 " + archive, exitOK, "wearers"},
		{"audit leaderboard", archive, exitOK, "places"},
		{"audit wearer", "WEARER " + archive, exitOK, "wearer"},
		{"audit explain", archive + " --medal gold --wearer WEARER", exitFailed, "error"},
		{"audit compare", archive + " " + archive, exitOK, "verdict"},
		{"audit certificate", "--archive " + archive + " --medal gold --wearer WEARER --checkpoint-key " + key + " --checkpoint " + key + " --out " + nowhere, exitFailed, "error"},
		{"audit check", key + " --checkpoint-key " + key, -1, ""},
		{"checkpoint-keys list", "--data " + w.data, exitOK, "keys"},
		{"checkpoint-keys remove", "--data " + w.data + " 00000000", exitFailed, "error"},
		{"rules show", "", exitOK, "medals"},
		{"rules check", "../../internal/rules/tokyo2020.json", exitOK, "good"},
		{"rules check", key, exitFailed, "problems"},
		{"version", "", exitOK, "go"},
		{"completion", "bash", exitOK, "script"},
		{"complete", "-- sta", exitOK, "candidates"},
	}
	walked := map[string]bool{}
	for _, walk := range walks {
		if walk.name == "stop" { // the log of a folder is read at rest
			w.stop()
			continue
		}
		walked[walk.name] = true
		t.Run(walk.name+" "+walk.key, func(t *testing.T) {
			line := append([]string{"--output", "json"}, cli(walk.name+" "+strings.ReplaceAll(walk.args, "WEARER", wearer))...)
			code, stdout, stderr := untilAnswered(t, line)
			object := oneObject(t, stdout)
			if _, ok := object[walk.key]; walk.key != "" && !ok || walk.code >= 0 && code != walk.code {
				t.Errorf("%q: exit code %d and %q, want %d and %q: %s", line, code, stdout, walk.code, walk.key, stderr)
			}
			if walk.name == "audit leaderboard" {
				wearer = object["places"].([]any)[0].(map[string]any)["wearer"].(string)
			}
			if walk.name == "complete" { // it takes whatever is on a line
				return
			}
			code, stdout, _ = pinfold(t, append(cli(walk.name), "--no-such-flag", "--output=json")...)
			if object := oneObject(t, stdout); code != exitUsage || object["exit_code"] != float64(exitUsage) {
				t.Errorf("an unknown flag: exit code %d and %v", code, object)
			}
		})
	}
	parser, err := kong.New(&CLI{}, variables())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range leaves(parser.Model.Node, "") {
		if !walked[name] {
			t.Errorf("%s was not walked", name)
		}
	}
}

// untilAnswered runs a command until it has answered, or ends by itself.
func untilAnswered(t *testing.T, line []string) (code int, stdout, stderr string) {
	t.Helper()
	c := startCommand(t, line...)
	for {
		select {
		case code := <-c.ended:
			return code, c.stdout.String(), c.stderr.String()
		case <-time.After(healthPoll):
		}
		if c.stdout.String() != "" || strings.Contains(c.stderr.String(), "trying again") && line[2] == "bridge" {
			code := c.end()
			return code, c.stdout.String(), c.stderr.String()
		}
	}
}
