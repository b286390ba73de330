package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// newFile is a file that a command makes.
type newFile struct {
	Out   string `help:"File that is written. It appears when it is whole." required:"" type:"path" placeholder:"FILE"`
	Force bool   `help:"Replace the file if there is one."`
}

func (f newFile) checkFree() error {
	if _, err := os.Lstat(f.Out); err == nil && !f.Force {
		return fmt.Errorf("%s is there already: --force replaces it", f.Out)
	}
	return nil
}

// replace makes the file by write, whole or not at all. Only its owner can read it: the log is pseudonymous, not
// anonymous.
func (f newFile) replace(write func(io.Writer) error) error {
	folder := filepath.Dir(f.Out)
	temp, err := os.CreateTemp(folder, "."+filepath.Base(f.Out)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // once it is renamed, there is none
	defer temp.Close()
	if err := write(temp); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := f.checkFree(); err != nil {
		return err // somebody else was faster
	}
	if err := os.Rename(temp.Name(), f.Out); err != nil {
		return err
	}
	return syncFolder(folder)
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
