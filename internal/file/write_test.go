package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// wantFiles wants the folder to hold these files and no others, which would be left-overs.
func wantFiles(t *testing.T, folder string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if content, ok := want[e.Name()]; err != nil || !ok || string(got) != content {
			t.Errorf("%s holds %q, %v, want %q", e.Name(), got, err, content)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %d", len(entries), len(want))
	}
}

func TestNew(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out")
	if err := New(path, 0o640, text("one")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := New(path, 0o600, text("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("where there is one: %v", err)
	}
	broken := errors.New("broken")
	if err := New(filepath.Join(folder, "other"), 0o600, func(w io.Writer) error { return errors.Join(text("half")(w), broken) }); !errors.Is(err, broken) {
		t.Errorf("where it cannot be written: %v", err)
	}
	wantFiles(t, folder, map[string]string{"out": "one"})
}

// TestNewLate: the file that somebody makes while ours is being written stays, with and without hard links.
func TestNewLate(t *testing.T) {
	for name, link := range map[string]func(from, to string) error{
		"hard links": os.Link,
		"none":       func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EPERM} },
		"no such call": func(from, to string) error {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.ENOSYS}
		},
		"not supported": func(from, to string) error {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EOPNOTSUPP}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				folder := t.TempDir()
				path := filepath.Join(folder, "out")
				err := makeWhole(path, 0o600, func(w io.Writer) error {
					if late {
						return errors.Join(text("ours")(w), os.WriteFile(path, []byte("theirs"), 0o600))
					}
					return text("ours")(w)
				}, func(temp string) error { return give(temp, path, link) })
				want := "ours"
				if late {
					want = "theirs"
				}
				if errors.Is(err, fs.ErrExist) != late || !late && err != nil {
					t.Errorf("late %t: %v", late, err)
				}
				wantFiles(t, folder, map[string]string{"out": want})
			}
		})
	}
}

// TestGiveFails: a name that was held for a file that then cannot get it is free again.
func TestGiveFails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out")
	if err := give(filepath.Join(folder, "nowhere"), path, func(string, string) error { return syscall.EPERM }); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	wantFiles(t, folder, nil)
}

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out")
	for _, s := range []string{"one", "two"} {
		if err := Replace(path, 0o600, text(s)); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	if err := Replace(path, 0o600, func(w io.Writer) error { return errors.Join(text("half")(w), broken) }); !errors.Is(err, broken) {
		t.Errorf("where it cannot be written: %v", err)
	}
	wantFiles(t, folder, map[string]string{"out": "two"})
}

// TestReplaceOnlyFiles: what is no regular file stays what it is.
func TestReplaceOnlyFiles(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out")
	for kind, put := range map[string]func() error{
		"a folder":        func() error { return os.Mkdir(path, 0o700) },
		"a pipe":          func() error { return syscall.Mkfifo(path, 0o600) },
		"a symbolic link": func() error { return os.Symlink("elsewhere", path) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, 0o600, text("new")); err == nil || !strings.Contains(err.Error(), path+" is "+kind) {
			t.Errorf("%s: %v", kind, err)
		}
		if info, err := os.Lstat(path); err != nil || kindOf(info.Mode()) != kind {
			t.Errorf("%s became %v, %v", kind, info, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// fullDisk is a file on a disk that takes so many bytes more, or that cannot be flushed.
type fullDisk struct {
	*os.File
	room      int
	sync      bool // it can be flushed
	truncates int  // how often it can be cut; after that the process was killed
}

var errFull = errors.New("no space left on device")

// WriteAt implements io.WriterAt.
func (d *fullDisk) WriteAt(p []byte, at int64) (int, error) {
	if len(p) <= d.room {
		return d.File.WriteAt(p, at)
	}
	n, err := d.File.WriteAt(p[:d.room], at)
	return n, errors.Join(err, errFull)
}

// Truncate implements appended.
func (d *fullDisk) Truncate(size int64) error {
	if d.truncates--; d.truncates < 0 {
		return errors.New("killed")
	}
	return d.File.Truncate(size)
}

// Sync implements appended.
func (d *fullDisk) Sync() error {
	if !d.sync {
		return errFull
	}
	return d.File.Sync()
}

// TestAppendFullDisk: whichever byte is the last that the disk takes, the file keeps what it had; where it cannot even be
// cut back, what it had is followed by a beginning of what was to be added.
func TestAppendFullDisk(t *testing.T) {
	const had, torn, more = "one\n", "tw", "three\n"
	for room := range len(more) + 1 {
		for _, cuts := range []int{1, 2} {
			f, err := os.Create(filepath.Join(t.TempDir(), "kept"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(had + torn); err != nil {
				t.Fatal(err)
			}
			// With room for all of it, the disk fails at the flush.
			err = appendTo(&fullDisk{File: f, room: room, sync: room < len(more), truncates: cuts}, int64(len(had)), []byte(more))
			if !errors.Is(err, errFull) {
				t.Errorf("room for %d bytes: %v, want that the disk is full", room, err)
			}
			want := had
			if cuts == 1 {
				want += more[:room]
			}
			if got, err := os.ReadFile(f.Name()); err != nil || string(got) != want {
				t.Errorf("room for %d bytes, %d cuts: %q, %v, want %q", room, cuts, got, err, want)
			}
			_ = f.Close()
		}
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kept")
	for _, tt := range []struct {
		keep, size int64
		text, want string
	}{
		{0, 0, "one\n", "one\n"},
		{4, 4, "two\n", "one\ntwo\n"},
		{4, 8, "2\n", "one\n2\n"},
		{0, 6, "1\n", "1\n"},
	} {
		if err := Append(path, tt.keep, tt.size, []byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("%q, %v, want %q", got, err, tt.want)
		}
	}
	for _, size := range []int64{0, 1, 3} {
		if err := Append(path, 0, size, []byte("x")); !errors.Is(err, ErrChanged) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("read with %d bytes: %v, want that it was changed", size, err)
		}
	}
	if err := Append("/dev/null", 0, 0, []byte("x")); err == nil || !strings.Contains(err.Error(), "/dev/null is a device") {
		t.Errorf("a device: %v", err)
	}
	locked, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	if err := syscall.Flock(int(locked.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := Append(path, 2, 2, []byte("x")); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("while another process writes it: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "1\n" {
		t.Errorf("%q, %v, want that nothing has changed", got, err)
	}
}
