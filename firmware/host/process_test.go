package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/internal/file"
)

// pinIn makes a folder of a pin with an erased flash.
func pinIn(t *testing.T) (folder, flash string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "pin") // sockets want short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	flash = filepath.Join(folder, flashFile)
	if err := os.WriteFile(flash, make([]byte, flashSize), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, flash
}

// TestStartRefuses: a pin whose key others can read, exchange or choose does not start, on no board.
func TestStartRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(folder, flash string) error
		found  string
	}{
		"a flash that all can write": {func(_, flash string) error { return os.Chmod(flash, 0o666) }, "mode 0666"},
		"a flash that all can read":  {func(_, flash string) error { return os.Chmod(flash, 0o644) }, "mode 0644"},
		"a folder that all write":    {func(folder, _ string) error { return os.Chmod(folder, 0o777) }, "mode 0777"},
		"a link to another flash": {func(_, flash string) error {
			return errors.Join(os.Rename(flash, flash+"2"), os.Symlink(flash+"2", flash))
		}, "a symbolic link"},
	} {
		for _, board := range []Board{Native, QEMU} {
			t.Run(name+" "+string(board), func(t *testing.T) {
				folder, flash := pinIn(t)
				if err := tt.change(folder, flash); err != nil {
					t.Fatal(err)
				}
				pin, err := Start(t.Context(), Config{Board: board, Firmware: "/bin/false", Folder: folder})
				refused, ok := errors.AsType[*file.NotPrivateError](err)
				if pin != nil || !ok || refused.Found != tt.found || !strings.Contains(err.Error(), folder) {
					t.Errorf("got %v, want a refusal for %q", err, tt.found)
				}
			})
		}
	}
}

// TestPrepareQEMU: the files with secrets are the user's own, whatever was there before.
func TestPrepareQEMU(t *testing.T) {
	folder, flash := pinIn(t)
	p := &Pin{Folder: Folder(folder), board: QEMU}
	if err := errors.Join(os.Remove(flash), os.WriteFile(p.path(seedFile), []byte("known"), 0o600), os.Chmod(p.path(seedFile), 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := p.prepareQEMU(Config{Board: QEMU}); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{flashFile: flashSize, seedFile: 32} {
		if content, err := file.ReadPrivate(p.path(name), flashSize); err != nil || len(content) != size {
			t.Errorf("%s: %d bytes, %v, want %d that are private", name, len(content), err, size)
		}
	}
	if err := os.Truncate(flash, flashSize-1); err != nil {
		t.Fatal(err)
	}
	if err := p.prepareQEMU(Config{Board: QEMU}); err == nil || !strings.Contains(err.Error(), "131071 bytes: want 131072") {
		t.Errorf("a flash that is too small: %v", err)
	}
	if err := errors.Join(os.Remove(p.path(seedFile)), os.Symlink("elsewhere", p.path(seedFile)), os.Truncate(flash, flashSize)); err != nil {
		t.Fatal(err)
	}
	if err := p.prepareQEMU(Config{Board: QEMU}); err == nil {
		t.Error("a seed was written through a symbolic link")
	}
}

// TestTail: of what a pin says for days, the end is remembered.
func TestTail(t *testing.T) {
	var said tail
	var all string
	for i := range 3000 {
		line := strings.Repeat("x", i%50) + "\n"
		if i == 2000 {
			line = strings.Repeat("y", 3*maxSaid)
		}
		all += line
		if n, err := said.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		if want := all[max(0, len(all)-maxSaid):]; string(said.last) != want || cap(said.last) > 8*maxSaid {
			t.Fatalf("after %d bytes %d are remembered, in room for %d: want the last %d", len(all), len(said.last), cap(said.last), len(want))
		}
	}
}
