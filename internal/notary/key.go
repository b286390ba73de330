package notary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pinfold/internal/merkle"
)

// The files in the folder of keys.
const (
	keyFile    = "checkpoint.key"
	publicFile = "checkpoint.pub" // what auditors are to be given; written anew where it is missing, or of another key
)

// LoadKey reads the private key of the Games in the folder, and makes one where there is none.
func LoadKey(folder, games string) (private string, err error) {
	path := filepath.Join(folder, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(folder, games)
	}
	if err != nil {
		return "", err
	}
	_, public, err := merkle.NewSigner(string(text), games)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), writePublic(folder, public)
}

func makeKey(folder, games string) (private string, err error) {
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if err := writeNew(folder, keyFile, private, 0o600); err != nil {
		return "", err
	}
	return private, writePublic(folder, public)
}

// writePublic writes the public key, unless it is there. One of a key that is gone goes too.
func writePublic(folder, public string) error {
	path := filepath.Join(folder, publicFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil && string(text) == public+"\n":
		return nil
	case err == nil:
		err = os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	if err := writeNew(folder, publicFile, public, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// writeNew makes a file of one line that is not there yet: durably, and whole or not at all.
func writeNew(folder, name, line string, mode fs.FileMode) error {
	f, err := os.CreateTemp(folder, "."+name+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a second name of the file by then
	_, err = f.WriteString(line + "\n")
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), filepath.Join(folder, name))
}
