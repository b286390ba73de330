package view

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"pinfold/internal/file"
	"pinfold/internal/kv"
)

// mapping is how much address space a view's file is given at once. While a file outgrows its mapping, the commit waits
// for every View that runs, and every further View waits for the commit: up to this size that never happens.
const mapping = min(1<<34, math.MaxInt/2)

// lockTimeout is how long a file that another process uses is waited for.
const lockTimeout = time.Second

// OpenBolt opens the view at path, making the file and its folder if need be. The whole file is read first. One that is
// damaged is set aside, one of another format removed, and an empty view takes its place: Remade then says why. The file
// is locked: a second process that opens it gets an error after a second.
func OpenBolt(path string) (*Bolt, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("view %s: %w", path, err)
	}
	var remade error
	retire := func(bad error) error {
		if remade != nil {
			return bad // what is written here cannot be read back
		}
		remade = bad
		if damaged, ok := errors.AsType[*DamagedError](bad); ok {
			damaged.Cache = true
		}
		return moveAway(path, bad)
	}
	b, err := openOrMake(path, retire)
	if err != nil {
		return nil, fmt.Errorf("view %w", err)
	}
	b.cache, b.remade = true, remade
	return b, nil
}

// Remade returns why OpenBolt made the file anew where there was one: a *DamagedError, or a *FormatError. Nil = it did not.
func (b *Bolt) Remade() error { return b.remade }

// moveAway takes a file that is of no use out of the way.
func moveAway(path string, bad error) (err error) {
	if damaged, ok := errors.AsType[*DamagedError](bad); ok {
		damaged.Aside, err = SetAside(path)
		return err
	}
	return os.Remove(path)
}

// OpenKept opens a file that is no cache, making it and its folder if need be. It refuses one that is damaged, or of a
// later format. What one of an earlier format holds is taken over once, into a file that takes its place: takeOver must
// check what it reads, since the first format has no checksums.
func OpenKept(path string, takeOver func(from Reader, to kv.Tx) error) (*Bolt, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	b, err := openOrMake(path, refuse)
	if other, ok := errors.AsType[*FormatError](err); ok && other.Format < Format {
		if err := replace(path, other.Format, takeOver); err != nil {
			return nil, err
		}
		return openOrMake(path, refuse)
	}
	return b, err
}

// replace puts what takeOver takes of a file of an earlier format in its place.
func replace(path string, format uint32, takeOver func(from Reader, to kv.Tx) error) error {
	locked, err := lock(path, os.O_RDWR)
	if err != nil {
		return err
	}
	old, err := attach(path, locked, true)
	if err != nil {
		return err
	}
	defer old.Close()
	old.sums = format > 1
	return old.View(func(from Reader) error {
		temporary, err := writeFile(path, func(to kv.Tx) error { return takeOver(from, to) })
		if err != nil {
			return err
		}
		return file.Rename(temporary, path)
	})
}

// refuse leaves a file that is of no use where it is.
func refuse(bad error) error { return bad }

// OpenReadOnly opens the view at path, which must be there, for reading: Update returns an error. The whole file is read
// first; one that is damaged is a *DamagedError, one of another format a *FormatError. The error wraps fs.ErrNotExist where
// there is no such file. Nobody can write the view meanwhile; one that is being written is an error after a second.
func OpenReadOnly(path string) (*Bolt, error) {
	b, err := open(path, os.O_RDONLY, refuse)
	if err != nil {
		return nil, fmt.Errorf("view %w", err)
	}
	return b, nil
}

// openOrMake opens a file for writing, and makes an empty one where there is none.
func openOrMake(path string, retire func(bad error) error) (*Bolt, error) {
	for {
		b, err := open(path, os.O_RDWR, retire)
		if !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
		if err := makeFile(path); err != nil && !errors.Is(err, fs.ErrExist) { // another process may be first
			return nil, err
		}
	}
}

// open locks and checks a file and gives it to bbolt. One that is damaged or of another format is given to retire while it
// is locked: if that returns nil, there is no file any more.
func open(path string, flag int, retire func(bad error) error) (*Bolt, error) {
	file, err := lock(path, flag)
	if err != nil {
		return nil, err
	}
	if bad := check(path, file); bad != nil {
		return nil, errors.Join(cmp.Or(retire(bad), fs.ErrNotExist), file.Close())
	}
	return attach(path, file, flag == os.O_RDONLY)
}

// lock opens a file and locks it, for itself alone if it can be written. bbolt does the same with the file that it is
// given, which then is no more than said again; but by then the file was read.
func lock(path string, flag int) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &DamagedError{Path: path, Reason: "it is a folder or a device: want a file"}
	}
	how := syscall.LOCK_EX
	if flag == os.O_RDONLY {
		how = syscall.LOCK_SH
	}
	for end := time.Now().Add(lockTimeout); ; {
		file, err := os.OpenFile(path, flag, 0)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if err == nil && named(path, file) {
			return file, nil
		}
		_ = file.Close() // nothing was written
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%s: %w (does another process use it?)", path, bbolterrors.ErrTimeout)
		}
		<-time.After(lockTimeout / 20)
	}
}

// named reports whether the file still has the name by which it was opened: another process may have set it aside.
func named(path string, file *os.File) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false
	}
	opened, err := file.Stat()
	return err == nil && os.SameFile(now, opened)
}

// check reads the whole file. The error is a *DamagedError or a *FormatError.
func check(path string, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	format, err := checkFile(file, info.Size())
	if err != nil {
		return &DamagedError{Path: path, Reason: err.Error()}
	}
	if format != Format {
		return &FormatError{Path: path, Format: format}
	}
	return nil
}

// attach gives a file that was checked to bbolt, which closes it.
func attach(path string, file *os.File, readOnly bool) (*Bolt, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, ReadOnly: readOnly, InitialMmapSize: mapping,
		OpenFile: func(string, int, fs.FileMode) (*os.File, error) { return file, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b := newBolt(db, path, true)
	b.file, b.pageSize = file, uint64(db.Info().PageSize)
	return b, nil
}

func newBolt(db *bbolt.DB, path string, sums bool) *Bolt {
	return &Bolt{db: db, path: path, sums: sums, condemned: make(chan struct{})}
}

// makeFile makes an empty file: whole, or not at all.
func makeFile(path string) error {
	temporary, err := writeFile(path, func(kv.Tx) error { return nil })
	if err != nil {
		return err
	}
	defer os.Remove(temporary) //nolint:errcheck // a second name of the file by then
	return file.Give(temporary, path)
}

// writeFile makes a file beside path, of what fill puts into it, and returns its name.
func writeFile(path string, fill func(kv.Tx) error) (temporary string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	temporary = file.Name()
	db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{
		OpenFile: func(string, int, fs.FileMode) (*os.File, error) { return file, nil },
	})
	if err == nil {
		b := newBolt(db, temporary, true)
		err = errors.Join(b.begun(), b.Update(fill), b.Close())
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(temporary))
	}
	return temporary, nil
}

// begun gives a file of bbolt's its format, and the summary of nothing.
func (b *Bolt) begun() error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte(sumBucket))
		if err != nil {
			return err
		}
		var c checksummer
		stored, _ := c.seal(seedOf(sumBucket), sumKey, summary{}.encode())
		return bucket.Put(sumKey, stored)
	})
}
