package view

import (
	"fmt"
	"os"
)

// DamagedError says that a file does not hold what was written to it.
type DamagedError struct {
	Path   string
	Reason string // names no key: keys hold ids of wearers and pins
	Aside  string // the name that it got; "" = it is where it was
	Cache  bool   // it can be set aside and made again; never true of what was opened otherwise than as a cache
}

func (e *DamagedError) Error() string {
	if e.Aside != "" {
		return fmt.Sprintf("%s was damaged and is %s now: %s", e.Path, e.Aside, e.Reason)
	}
	return fmt.Sprintf("%s is damaged: %s", e.Path, e.Reason)
}

// FormatError says that another version of this program wrote the file.
type FormatError struct {
	Path   string
	Format uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d: this version writes format %d", e.Path, e.Format, Format)
}

// SetAside renames a damaged file, so that it can be looked at, by the name that it returns. One that was set aside
// before goes.
func SetAside(path string) (as string, err error) {
	as = path + ".damaged"
	return as, os.Rename(path, as)
}

// damage is what a read panics with that meets some: cores take no errors. Bolt's transactions recover it.
type damage struct{ reason string }

// guard turns a panic of bbolt into damage. bbolt trusts the pages that it reads: where one is not what it should be, it
// panics, or reads beyond the file, which faults. It is to be deferred around calls of bbolt only.
func guard() {
	switch p := recover().(type) {
	case nil:
	case damage:
		panic(p)
	default:
		panic(damage{fmt.Sprint(p)})
	}
}

// caught recovers damage that a transaction met, and makes it err. Whatever reads the mapped file may fault: the disk
// failed, or somebody cut the file. Other panics are the caller's own and go on.
func (b *Bolt) caught(err *error) {
	switch p := recover().(type) {
	case nil:
	case damage:
		*err = b.condemn(p.reason)
	default:
		if fault, ok := p.(interface {
			error
			Addr() uintptr
		}); ok {
			*err = b.condemn("reading it: " + fault.Error())
			return
		}
		panic(p)
	}
}

// condemn notes that the file is damaged; the first reason stays.
func (b *Bolt) condemn(reason string) error {
	b.condemning.Do(func() {
		b.damaged = &DamagedError{Path: b.path, Reason: reason, Cache: b.cache}
		close(b.condemned)
	})
	return b.damaged
}

// sound returns the damage that was met before.
func (b *Bolt) sound() error {
	select {
	case <-b.condemned:
		return b.damaged
	default:
		return nil
	}
}
