package view

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// OpenScratch makes an empty view in a temporary file of the folder; "" is that of os.TempDir. It is for state that does
// not fit the memory and that nobody needs once it is closed: nothing is flushed to the disk on purpose, so a crash leaves
// nothing of use. The file has no name from the start where the system allows it, and is removed by Close elsewhere.
func OpenScratch(dir string) (*Bolt, error) {
	file, err := os.CreateTemp(dir, "pinfold-*.db")
	if err != nil {
		return nil, fmt.Errorf("scratch view: %w", err)
	}
	path := file.Name()
	if err := file.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("scratch view: %w", err), os.Remove(path))
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		InitialMmapSize: mapping, NoSync: true, NoGrowSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch view %s: %w", path, err), os.Remove(path))
	}
	b := &Bolt{db: db}
	if os.Remove(path) != nil {
		b.remove = path // it has to be closed first
	}
	return b, nil
}

// OpenReadOnly opens the view at path, which must be there, for reading: Update returns an error. The error wraps
// fs.ErrNotExist where there is no such file. Nobody can write the view meanwhile; one that is being written is an error
// after a second.
func OpenReadOnly(path string) (*Bolt, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("view %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("view %s: %w (does another process use it?)", path, err)
	}
	return &Bolt{db: db}, nil
}
