//go:build firmware

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/firmware/host"
)

// command runs the program to its end and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...)
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// runPin starts a pin as a user does and returns what it prints first.
func runPin(t *testing.T, board host.Board, folder string) (said string, stop func()) {
	t.Helper()
	cmd := exec.Command(program, "pin", "run", folder, "--board", string(board), "--firmware", firmware[board])
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errors := &output{}
	cmd.Stderr = errors
	stop = start(t, cmd, errors)
	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() {
			t.Fatalf("pin run: %v: %s", lines.Err(), errors)
		}
		said += lines.Text() + "\n"
	}
	return said, stop
}

// TestCommands: what the README shows, as a user does it.
func TestCommands(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		g := startGames(t)
		dir := shortFolder(t)
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		said, stop := runPin(t, board, a)
		runPin(t, board, b)
		if !strings.Contains(said, "phone  unix:"+filepath.Join(a, "phone")) {
			t.Errorf("pin run says %q", said)
		}
		for i, folder := range []string{a, b} {
			p := &person{wearer: wearer(i), memory: filepath.Join(t.TempDir(), "phone"), Pin: &host.Pin{Folder: host.Folder(folder)}}
			p.bridge(t, g)
		}
		if out := mustRun(t, "pin", "tap", a, b, "--loss", "0.2"); !strings.Contains(out, "friends!") {
			t.Errorf("pin tap says %q", out)
		}
		g.awaitFriend(t, wearer(0))
		g.awaitFriend(t, wearer(1))

		mustRun(t, "pin", "press", a) // nobody waits for it
		samples := filepath.Join(dir, "walk.csv")
		writeWalk(t, samples, walk(60))
		if out := mustRun(t, "pin", "walk", a, samples); !strings.Contains(out, "750 samples") {
			t.Errorf("pin walk says %q", out)
		}
		shot := filepath.Join(dir, "a.png")
		mustRun(t, "pin", "screenshot", a, shot)
		file, err := os.Open(shot)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if c, err := png.DecodeConfig(file); err != nil || c.Width != host.DisplaySize || c.Height != host.DisplaySize {
			t.Errorf("the screenshot is %+v, %v", c, err)
		}

		if out, err := command(t, "pin", "run", a, "--board", string(board), "--firmware", firmware[board]); err == nil || !strings.Contains(out, "a pin runs in "+a+" already") {
			t.Errorf("a second pin run in the same folder: %v, %q", err, out)
		}
		stop()
		for _, args := range [][]string{{"press", a}, {"tap", a, b}, {"tap", b, a}, {"screenshot", a, shot}, {"walk", a, samples}} {
			if out, err := command(t, append([]string{"pin"}, args...)...); err == nil || !strings.Contains(out, "start one with pinfold pin run "+a) {
				t.Errorf("pin %v without the pin: %v, %q", args, err, out)
			}
		}
	})
}

// writeWalk writes samples as an accelerometer file.
func writeWalk(t *testing.T, path string, samples []host.Sample) {
	t.Helper()
	text := "t_ms,x_mg,y_mg,z_mg\n"
	for _, s := range samples {
		text += fmt.Sprintf("%d,%d,%d,%d\n", s.Time, s.X, s.Y, s.Z)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
