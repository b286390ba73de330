package view

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// OpenScratch makes an empty view in a temporary file of the folder; "" is that of os.TempDir. It is for state that does
// not fit the memory and that nobody needs once it is closed: nothing is flushed to the disk on purpose, so a crash leaves
// nothing of use, and nothing there is checked. The file has no name from the start where the system allows it, and is removed by Close elsewhere.
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
	b := newBolt(db, path, false)
	if os.Remove(path) != nil {
		b.remove = path // it has to be closed first
	}
	return b, nil
}
