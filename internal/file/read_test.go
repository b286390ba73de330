package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"pinfold/internal/file"
)

const most = 1000

func TestRead(t *testing.T) {
	folder := t.TempDir()
	for _, size := range []int{0, 1, most - 1, most, most + 1, 3 * most} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := bytes.Repeat([]byte("x"), size)
			path := filepath.Join(folder, fmt.Sprint(size))
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := file.Read(path, most)
			if size <= most {
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				return
			}
			if wanted := fmt.Sprintf("%s: %d bytes: want at most %d", path, size, most); err == nil || err.Error() != wanted || got != nil {
				t.Errorf("got %d bytes, %v, want %q", len(got), err, wanted)
			}
		})
	}
	if _, err := file.Read(filepath.Join(folder, "nowhere"), most); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := file.Read(folder, most); err == nil || !strings.Contains(err.Error(), folder+": is a directory") {
		t.Errorf("a folder: %v", err)
	}
}

// TestReadEndless: a device that never ends is left at the bound.
func TestReadEndless(t *testing.T) {
	got, err := file.Read("/dev/zero", most)
	if want := "/dev/zero: more than 1000 bytes: want at most that"; err == nil || err.Error() != want {
		t.Errorf("got %d bytes, %v, want %q", len(got), err, want)
	}
}

// TestReadPipe: a shell gives <(command) as the name of a pipe.
func TestReadPipe(t *testing.T) {
	for _, size := range []int{0, most, most + 1} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := file.Read(fmt.Sprintf("/dev/fd/%d", r.Fd()), most)
		_ = r.Close()
		if _, large := errors.AsType[*file.TooLargeError](err); large != (size > most) || !large && (err != nil || len(got) != size) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

// TestLimit reads in all manners from readers of all sizes around the bound.
func TestLimit(t *testing.T) {
	for size := range 8 {
		for bound := range int64(8) {
			for name, slow := range map[string]func(io.Reader) io.Reader{
				"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader,
			} {
				text := "abcdefgh"[:size]
				limited := file.Limit(slow(strings.NewReader(text)), "it", bound)
				got, err := io.ReadAll(limited)
				if string(got) != text[:min(int64(size), bound)] {
					t.Errorf("%d bytes of at most %d, %s: %q", size, bound, name, got)
				}
				if _, large := errors.AsType[*file.TooLargeError](err); large != (int64(size) > bound) || !large && err != nil {
					t.Errorf("%d bytes of at most %d, %s: %v", size, bound, name, err)
				}
				if err != nil { // it stays so
					if n, again := limited.Read(make([]byte, 4)); n != 0 || again == nil || again.Error() != err.Error() {
						t.Errorf("%d bytes of at most %d, %s: then %d, %v", size, bound, name, n, again)
					}
				}
			}
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(file.Limit(iotest.ErrReader(broken), "it", 1)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// private makes a folder with a file of a secret.
func private(t *testing.T) (folder, path string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(folder, "secret")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, path
}

func TestReadPrivate(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		change func(t *testing.T, folder, path string)
		found  string // "" = it is taken
	}{
		"as it is":              {func(*testing.T, string, string) {}, ""},
		"mode 0400":             {func(t *testing.T, _, path string) { must(t, os.Chmod(path, 0o400)) }, ""},
		"a folder of mode 0755": {func(t *testing.T, folder, _ string) { must(t, os.Chmod(folder, 0o755)) }, ""},

		"mode 0666": {func(t *testing.T, _, path string) { must(t, os.Chmod(path, 0o666)) }, "mode 0666"},
		"mode 0640": {func(t *testing.T, _, path string) { must(t, os.Chmod(path, 0o640)) }, "mode 0640"},
		"mode 0602": {func(t *testing.T, _, path string) { must(t, os.Chmod(path, 0o602)) }, "mode 0602"},
		"mode 0700": {func(t *testing.T, _, path string) { must(t, os.Chmod(path, 0o700)) }, "mode 0700"},
		"a link to a private file": {func(t *testing.T, _, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink(elsewhere, path))
		}, "a symbolic link"},
		"a link to its neighbour": {func(t *testing.T, _, path string) {
			must(t, os.Rename(path, path+"2"))
			must(t, os.Symlink("secret2", path))
		}, "a symbolic link"},
		"a folder in its place": {func(t *testing.T, _, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o600))
		}, "a folder"},
		"a pipe that nobody writes": {func(t *testing.T, _, path string) {
			must(t, os.Remove(path))
			must(t, syscall.Mkfifo(path, 0o600))
		}, "a pipe"},
		"a group that writes the folder": {func(t *testing.T, folder, _ string) { must(t, os.Chmod(folder, 0o770)) }, "mode 0770"},
		"all write the folder":           {func(t *testing.T, folder, _ string) { must(t, os.Chmod(folder, 0o777)) }, "mode 0777"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, path := private(t)
			tt.change(t, folder, path)
			got, err := file.ReadPrivate(path, most)
			if tt.found == "" {
				if err != nil || string(got) != "secret" {
					t.Errorf("got %q, %v", got, err)
				}
				if err := file.CheckPrivate(path); err != nil {
					t.Error(err)
				}
				return
			}
			refused, ok := errors.AsType[*file.NotPrivateError](err)
			if !ok || got != nil || refused.Found != tt.found || (refused.Path != path && refused.Path != folder) ||
				!strings.Contains(refused.Rule, "must") || !strings.Contains(err.Error(), refused.Path) {
				t.Errorf("got %q, %v, want a refusal that names the file and %q", got, err, tt.found)
			}
			if again := file.CheckPrivate(path); again == nil || again.Error() != err.Error() {
				t.Errorf("checked alone: %v, want %v", again, err)
			}
		})
	}
}

// TestReadPrivateOwner needs a user who may give files away.
func TestReadPrivateOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user; TestOwner asks without one")
	}
	folder, path := private(t)
	if err := os.Chown(path, 1234, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := file.ReadPrivate(path, most); err == nil || !strings.Contains(err.Error(), path+": owned by uid 1234: ") {
		t.Errorf("a file of another user: %v", err)
	}
	if err := errors.Join(os.Chown(path, 0, -1), os.Chown(folder, 1234, -1)); err != nil {
		t.Fatal(err)
	}
	if _, err := file.ReadPrivate(path, most); err == nil || !strings.Contains(err.Error(), folder+": owned by uid 1234: ") {
		t.Errorf("a folder of another user: %v", err)
	}
	if err := file.CheckPrivateFolder(folder); err == nil {
		t.Error("the folder alone is taken")
	}
}

func TestReadPrivateBounds(t *testing.T) {
	folder, path := private(t)
	if _, err := file.ReadPrivate(path, 5); err == nil || !strings.Contains(err.Error(), "6 bytes: want at most 5") {
		t.Errorf("a file that is too large: %v", err)
	}
	if _, err := file.ReadPrivate(filepath.Join(folder, "nowhere"), most); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(folder, "nowhere")) {
		t.Errorf("no file: %v", err)
	}
	if _, err := file.ReadPrivate(filepath.Join(folder, "no", "where"), most); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
