package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// NotPrivateError says that others can read or change what must be secret, or decide which file it is.
type NotPrivateError struct {
	Path  string
	Found string // such as "mode 0666"
	Rule  string // what it must be instead, and how that is done
}

func (e *NotPrivateError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Path, e.Found, e.Rule) }

// The rules are those of ssh(1) for the keys of a user.
const (
	fileRule   = "a file with a secret must be a regular one, no symbolic link, of mode 0600 or less, and belong to the user that runs this (uid %d)"
	folderRule = "a folder with secrets must belong to the user that runs this (uid %d) or to root, and be writable by nobody else"
)

// ReadPrivate returns what a file with a secret holds, at most so many bytes. It is a *NotPrivateError where the file is no
// regular one or a symbolic link, where another user owns it, or the mode is wider than 0600, or where others can write the
// folder that it is in; an error that wraps fs.ErrNotExist where there is none.
func ReadPrivate(path string, most int64) ([]byte, error) {
	f, err := openPrivate(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, most)
}

// CheckPrivate returns the errors of ReadPrivate for a file that somebody else is to read.
func CheckPrivate(path string) error {
	f, err := openPrivate(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// CheckPrivateFolder returns a *NotPrivateError where others can write the folder.
func CheckPrivateFolder(path string) error {
	root, err := openFolder(path)
	if err != nil {
		return err
	}
	return root.Close()
}

// openPrivate opens the file, and looks at the file that is open: nobody can exchange it in between.
func openPrivate(path string) (*os.File, error) {
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	rule := fmt.Sprintf(fileRule, os.Geteuid())
	name := filepath.Base(path)
	before, err := folder.Lstat(name)
	if err != nil {
		return nil, named(err, path)
	}
	if !before.Mode().IsRegular() { // which might wait for somebody that never writes
		return nil, &NotPrivateError{Path: path, Found: kindOf(before.Mode()), Rule: rule}
	}
	f, err := folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it follows a link that came just now: SameFile tells
	if err != nil {
		return nil, named(err, path)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkOpen(path, before, info, rule)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkOpen(path string, before, info fs.FileInfo, rule string) error {
	switch mode := info.Mode().Perm(); {
	case mode&^0o600 != 0:
		return &NotPrivateError{Path: path, Found: fmt.Sprintf("mode %#o", mode), Rule: rule + ": chmod 600"}
	case ownerOf(info) != os.Geteuid():
		return &NotPrivateError{Path: path, Found: fmt.Sprintf("owned by uid %d", ownerOf(info)), Rule: rule}
	case !os.SameFile(before, info):
		return &NotPrivateError{Path: path, Found: "exchanged while it was opened", Rule: rule}
	}
	return nil
}

// openFolder opens a folder that holds secrets; what is opened in it is in that folder, whatever its name means by then.
func openFolder(path string) (*os.Root, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = checkFolder(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

func checkFolder(path string, info fs.FileInfo) error {
	rule := fmt.Sprintf(folderRule, os.Geteuid())
	switch owner, mode := ownerOf(info), info.Mode().Perm(); {
	case mode&0o022 != 0:
		return &NotPrivateError{Path: path, Found: fmt.Sprintf("mode %#o", mode), Rule: rule + ": chmod go-w"}
	case owner != os.Geteuid() && owner != 0:
		return &NotPrivateError{Path: path, Found: fmt.Sprintf("owned by uid %d", owner), Rule: rule}
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// named gives an error of a file in an opened folder its whole path.
func named(err error, path string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: e.Op, Path: path, Err: e.Err}
	}
	return err
}
