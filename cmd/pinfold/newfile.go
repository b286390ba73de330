package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"pinfold/internal/file"
)

// newFile is a file that a command makes.
type newFile struct {
	Out   string `help:"File that is written. It appears when it is whole." required:"" type:"path" placeholder:"FILE"`
	Force bool   `help:"Replace the file if there is one." env:"-"`
}

// checkFree tells early, before the work is done, what make would say.
func (f newFile) checkFree() error {
	if _, err := os.Lstat(f.Out); err == nil && !f.Force {
		return f.taken()
	}
	return nil
}

func (f newFile) taken() error { return fmt.Errorf("%s is there already: --force replaces it", f.Out) }

// make makes the file by write, whole or not at all. Only its owner can read it: the log is pseudonymous, not anonymous.
func (f newFile) make(write func(io.Writer) error) error {
	if f.Force {
		return file.Replace(f.Out, 0o600, write)
	}
	err := file.New(f.Out, 0o600, write)
	if errors.Is(err, fs.ErrExist) {
		return f.taken() // somebody else was faster
	}
	return err
}
