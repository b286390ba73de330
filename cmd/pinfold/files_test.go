package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestEndlessFiles gives each command a device that never ends where it wants a file: the error names it, and little was
// read.
func TestEndlessFiles(t *testing.T) {
	dir := t.TempDir()
	_, key := otherKey(t, "tokyo2020")
	file := func(name, text string) string { return write(t, filepath.Join(dir, name), text) }
	zeros := filepath.Join(dir, "zeros.csv")
	if err := os.Symlink("/dev/zero", zeros); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a certificate":      {"audit", "check", "/dev/zero", "--checkpoint-key", key},
		"a key":              {"audit", "check", file("certificate", "{}"), "--checkpoint-key", "/dev/zero"},
		"an archive":         {"audit", "verify", "/dev/zero"},
		"an archive to list": {"audit", "leaderboard", "/dev/zero"},
		"one to explain":     {"audit", "explain", "/dev/zero", "--wearer", newPerson(1).wearer.String(), "--medal", "gold"},
		"one to compare":     {"audit", "compare", "/dev/zero", "/dev/zero"},
		"published rules":    {"audit", "verify", "--data", dir, "--rules", "/dev/zero"},
		"other rules":        {"audit", "whatif", "--data", dir, "--rules", "/dev/zero"},
		"rules of a new log": {"up", "--data", filepath.Join(dir, "new"), "--rules", "/dev/zero"},
		"made pins":          {"audit", "verify", "--data", dir, "--roster", "/dev/zero"},
		"contacts":           {"crowd", "--contacts", "/dev/zero"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			code, stdout, stderr := pinfold(t, args...)
			runtime.ReadMemStats(&after)
			if code == exitOK || code == exitUsage && name != "rules of a new log" || stdout != "" || !strings.Contains(stderr, "/dev/zero") {
				t.Errorf("exit code %d, %q and %q, want an error that names the device", code, stdout, stderr)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 200 {
				t.Errorf("%d MiB were allocated on the way", used)
			}
		})
	}
	if samples, err := readSamples(zeros); err == nil || samples != nil {
		t.Errorf("samples: %d, %v", len(samples), err)
	}
}

// TestEndlessAnswers: nor does an admin listener that never comes to an end take more than its bound.
func TestEndlessAnswers(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for line := []byte(strings.Repeat(" ", 1<<16)); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	address := endless.Listener.Addr().String()
	const want = "more than 1048576 bytes"
	if _, err := getStatus(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
		t.Errorf("status: %v, want %q", err, want)
	}
	if _, err := getDigests(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
		t.Errorf("digests: %v, want %q", err, want)
	}
}

// TestFactoryBounds: a line of the factory's list that never ends is an error that names it.
func TestFactoryBounds(t *testing.T) {
	_, err := parseFactory("made.csv", strings.NewReader("# pins\n"+strings.Repeat("1", 1<<17)))
	if want := "made.csv: line 2: want lines of less than 4096 bytes"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestNewFileLate: a file that somebody makes while ours is written is theirs, and only --force takes it.
func TestNewFileLate(t *testing.T) {
	for _, force := range []bool{false, true} {
		out := filepath.Join(t.TempDir(), "out")
		f := newFile{Out: out, Force: force}
		if err := f.checkFree(); err != nil {
			t.Fatal(err)
		}
		err := f.make(func(w io.Writer) error {
			_, err := io.WriteString(w, "ours")
			return errors.Join(err, os.WriteFile(out, []byte("theirs"), 0o600))
		})
		want := "theirs"
		if force {
			want = "ours"
		}
		if told := err != nil && strings.Contains(err.Error(), out+" is there already: --force replaces it"); told == force {
			t.Errorf("force %t: %v", force, err)
		}
		if got := readText(t, out); got != want {
			t.Errorf("force %t: the file holds %q, want %q", force, got, want)
		}
	}
}

// TestKeyOfOthers: a gateway does not start with a key that others can read, change or choose.
func TestKeyOfOthers(t *testing.T) {
	data := t.TempDir()
	startUp(t, data).stop()
	keys := filepath.Join(data, "keys")
	key := filepath.Join(keys, "checkpoint.key")
	for name, tt := range map[string]struct {
		damage, mend func() error
		want         string
	}{
		"mode 0666": {
			func() error { return os.Chmod(key, 0o666) }, func() error { return os.Chmod(key, 0o600) },
			key + ": mode 0666: a file with a secret must be",
		},
		"a link": {
			func() error { return errors.Join(os.Rename(key, key+"2"), os.Symlink(key+"2", key)) },
			func() error { return os.Rename(key+"2", key) },
			key + ": a symbolic link: a file with a secret must be",
		},
		"a folder that all write": {
			func() error { return os.Chmod(keys, 0o777) }, func() error { return os.Chmod(keys, 0o700) },
			keys + ": mode 0777: a folder with secrets must",
		},
	} {
		if err := tt.damage(); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := pinfold(t, "up", "--data", data, "--listen", "127.0.0.1:0", "--tap-listen", "127.0.0.1:0", "--rewards-listen", "127.0.0.1:0",
			"--steps-listen", "127.0.0.1:0", "--admin", "")
		if code != exitFailed || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d and %q, want %d and %q", name, code, stderr, exitFailed, tt.want)
		}
		if err := tt.mend(); err != nil {
			t.Fatal(err)
		}
	}
	startUp(t, data).stop()
}
