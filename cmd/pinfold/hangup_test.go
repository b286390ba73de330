package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func init() {
	roles["pinfold"] = func([]string) int { main(); return exitOK }
}

// TestHungUp closes the terminal of a demo: it ends as it does at Ctrl-C, though it can say nothing any more, and leaves
// nothing behind.
func TestHungUp(t *testing.T) {
	temporary := t.TempDir()
	demo := exec.CommandContext(t.Context(), asProgram(t, t.TempDir(), "pinfold"), "demo", "--people", "10", "--days", "1", "--listen", "127.0.0.1:0")
	demo.Env = append(os.Environ(), "TMPDIR="+temporary)
	terminal, err := pty.Start(demo)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for part := make([]byte, 4096); !strings.Contains(said.String(), "until you press Ctrl-C"); {
		n, err := terminal.Read(part)
		said.Write(part[:n])
		if err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 1 {
		t.Fatalf("%v, %v: want the demo's folder", left, err)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("hung up on, it ended with %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %q are left", err, left)
	}
}

// TestNobodyReads ends the reader of what a demo says: the demo goes on, and cleans up when it is asked to end.
func TestNobodyReads(t *testing.T) {
	temporary := t.TempDir()
	demo := exec.CommandContext(t.Context(), asProgram(t, t.TempDir(), "pinfold"), "demo", "--exit", "--people", "10", "--days", "1", "--listen", "127.0.0.1:0")
	demo.Env = append(os.Environ(), "TMPDIR="+temporary)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	demo.Stdout, demo.Stderr = write, write
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = read.Close(), write.Close()
	if err := demo.Wait(); demo.ProcessState.ExitCode() != exitFailed {
		t.Errorf("it ended with %v, want exit code 1: its summary was not printed", err)
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %q are left", err, left)
	}
}
