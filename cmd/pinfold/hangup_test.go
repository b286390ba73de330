package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

func init() {
	roles["pinfold"] = func([]string) int { main(); return exitOK }
	roles["wordy-pin"] = wordyPin
}

// hearSIGHUP lets the programs that the test starts be hung up on, also where the test itself was started under nohup: a signal
// that is ignored stays so in whoever is started, and one that is caught does not.
func hearSIGHUP(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
}

// TestHungUp closes the terminal of a demo: it ends as it does at Ctrl-C, though it can say nothing any more, and leaves
// nothing behind.
func TestHungUp(t *testing.T) {
	hearSIGHUP(t)
	temporary := t.TempDir()
	demo := exec.CommandContext(t.Context(), asProgram(t, t.TempDir(), "pinfold"), "demo", "--people", "10", "--days", "1", "--listen", "127.0.0.1:0")
	demo.Env = append(os.Environ(), "TMPDIR="+temporary)
	terminal, err := pty.Start(demo)
	if err != nil {
		t.Fatal(err)
	}
	untilShown(t, terminal, "until you press Ctrl-C")
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

// wordyPin stands for the firmware: it listens where it is told to, and when it is to end, it talks before it saves its flash.
func wordyPin(args []string) int {
	flash := ""
	for i, arg := range args[:len(args)-1] {
		if path, ok := strings.CutPrefix(args[i+1], "listen:"); ok {
			if _, err := net.Listen("unix", path); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return exitFailed
			}
		} else if arg == "--flash" {
			flash = args[i+1]
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	fmt.Fprintln(os.Stderr, "the pin listens")
	<-ended
	for range 10_000 { // more than a pipe holds
		fmt.Fprintln(os.Stderr, "the pin saves its flash")
	}
	if err := os.WriteFile(flash, []byte("saved"), 0o600); err != nil {
		return exitFailed
	}
	return exitOK
}

// TestHungUpPin closes the terminal of a pin: it is stopped, and its flash saved.
func TestHungUpPin(t *testing.T) {
	hearSIGHUP(t)
	folder, err := os.MkdirTemp("", "pin") // a short one: the paths of sockets are
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	programs := t.TempDir()
	pin := exec.CommandContext(t.Context(), asProgram(t, programs, "pinfold"), "pin", "run", "--firmware", asProgram(t, programs, "wordy-pin"), folder)
	terminal, err := pty.Start(pin)
	if err != nil {
		t.Fatal(err)
	}
	untilShown(t, terminal, "the pin listens")
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	_ = pin.Wait() // this pin has not said who it is, which is an error
	if pin.ProcessState.ExitCode() < 0 {
		t.Errorf("hung up on, it ended with %v", pin.ProcessState)
	}
	flash, err := filepath.Glob(filepath.Join(folder, "flash*"))
	if err != nil || len(flash) != 1 || readText(t, flash[0]) != "saved" {
		t.Errorf("%v, %q: want the flash saved", err, flash)
	}
}

// untilShown reads a terminal until it shows the text.
func untilShown(t *testing.T, terminal io.Reader, text string) {
	t.Helper()
	var shown strings.Builder
	for part := make([]byte, 4096); !strings.Contains(shown.String(), text); {
		n, err := terminal.Read(part)
		shown.Write(part[:n])
		if err != nil {
			t.Fatalf("%v: %s", err, shown.String())
		}
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
