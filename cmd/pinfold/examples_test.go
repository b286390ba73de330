package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// buildExample builds the program in examples/name as a stranger would, who has nothing but the module: in a module of its
// own, without the network. It returns the program's path.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums := readText(t, filepath.Join(repository, "go.sum"))
	for file, text := range map[string]string{
		"main.go": readText(t, filepath.Join(repository, "examples", name, "main.go")),
		"go.mod":  "module stranger.example/app\n\ngo 1.26\n\nrequire pinfold v0.0.0\n\nreplace pinfold => " + repository + "\n",
		"go.sum":  sums,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "app", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "app")
}

// TestExamples: the programs of examples/ can be built outside the repository, and get a face from a gateway, once and as it
// changes.
func TestExamples(t *testing.T) {
	tap, watch := buildExample(t, "tap"), buildExample(t, "watch")
	w := startUp(t, t.TempDir())

	out, err := exec.CommandContext(t.Context(), tap, "--gateway", w.at.Gateway).Output()
	if err != nil {
		t.Fatal(err)
	}
	faces := regexp.MustCompile(`(?m)^([a-z2-7]{26}): friends 1, next background \S+ with 4 more$`).FindAllStringSubmatch(string(out), -1)
	if len(faces) != 2 || strings.Count(string(out), "\n") != 2 {
		t.Fatalf("got %q, want two wearers with one friend, and 4 more to the next background", out)
	}

	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	watching := exec.CommandContext(t.Context(), watch, "--gateway", w.at.Gateway, "--wearer", alice.wearer.String())
	stdout, err := watching.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
	}
	next("friends 0, backgrounds 0, steps today 0")
	halfA, halfB := tapPins(t, alice, bob)
	if _, err := w.deliver(t.Context(), alice.pin, halfA, halfB); err != nil {
		t.Fatal(err)
	}
	next("friends 1, backgrounds 0, steps today 0")
	if err := watching.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := watching.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
