package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// New makes a file by write: whole or not at all, and durably. The error wraps fs.ErrExist where there is one of that name
// by then, which stays as it is.
func New(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return makeWhole(path, mode, write, func(temp string) error { return Give(temp, path) })
}

// Replace is New, but for a regular file of that name, which it replaces. Anything else of that name stays, and is an error.
func Replace(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return makeWhole(path, mode, write, func(temp string) error {
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is %s: only a regular file is replaced", path, kindOf(info.Mode()))
		}
		return Rename(temp, path)
	})
}

// Give names a file that is whole, and is called temp in the same folder, durably. The error wraps fs.ErrExist where there
// is one of that name by then, which stays as it is.
func Give(temp, path string) error {
	if err := give(temp, path, os.Link); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// Rename is os.Rename within a folder, durably.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// makeWhole writes the file under another name in the same folder, and then lets name give it its own.
func makeWhole(path string, mode fs.FileMode, write func(io.Writer) error, name func(temp string) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // by then it may have no such name any more
	if err := write(temp); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return name(temp.Name())
}

// give names the file, which is called temp, unless there is one of that name: the file system decides, not a look before.
func give(temp, path string, link func(from, to string) error) error {
	err := link(temp, path)
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	// A file system without hard links, such as FAT: an empty file takes the name first, and nobody else can.
	holder, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(holder.Close(), os.Rename(temp, path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// syncFolder makes a new name in the folder durable.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ErrChanged says that somebody else has written the file since it was read.
var ErrChanged = errors.New("it was changed meanwhile: try again")

// Append writes text behind the first keep bytes of a file that was read with so many bytes, 0 where there was none:
// durably, and whole or, if the disk lets it, not at all. What is behind the first keep bytes goes, as it is a part of what
// an Append before could not finish. The error wraps ErrChanged where the file has another size by then.
func Append(path string, keep, size int64, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s: locked by another process: %w", path, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s: want a regular file", path, kindOf(info.Mode()))
	case info.Size() != size:
		return fmt.Errorf("%s: %d bytes, and it had %d: %w", path, info.Size(), size, ErrChanged)
	}
	if err := appendTo(f, keep, text); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// appended is what Append needs of an *os.File.
type appended interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
}

func appendTo(f appended, keep int64, text []byte) error {
	err := f.Truncate(keep)
	if err == nil {
		_, err = f.WriteAt(text, keep)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(keep), f.Sync())
	}
	return nil
}
