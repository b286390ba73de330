package notary

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"pinfold/internal/file"
	"pinfold/internal/merkle"
)

// The files in the folder of keys.
const (
	keyFile    = "checkpoint.key"
	publicFile = "checkpoint.pub" // what auditors are to be given; written anew where it is missing, or of another key
)

// KeyError says that a gateway must not go on with its checkpoint key, or without one: what it would sign could part from
// what was signed.
type KeyError struct {
	Key    string // its name, "" where there is none
	Reason string
}

func (e *KeyError) Error() string {
	if e.Key == "" {
		return "checkpoint key: " + e.Reason
	}
	return "checkpoint key " + e.Key + ": " + e.Reason
}

// ReadKey reads the private key of the Games in the folder; "" where there is none. One that others can read or change is a
// *file.NotPrivateError.
func ReadKey(folder, games string) (private string, err error) {
	path := filepath.Join(folder, keyFile)
	text, err := file.ReadPrivate(path, merkle.MaxKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
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

// MakeKey makes a private key of the Games in the folder, which must have none.
func MakeKey(folder, games string) (private string, err error) {
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if err := file.CheckPrivateFolder(folder); err != nil {
		return "", err
	}
	if err := file.New(filepath.Join(folder, keyFile), 0o600, line(private)); err != nil {
		return "", err
	}
	return private, writePublic(folder, public)
}

// writePublic writes the public key, unless it is there. It replaces one of a key that is gone.
func writePublic(folder, public string) error {
	path := filepath.Join(folder, publicFile)
	text, err := file.Read(path, merkle.MaxKeys)
	if err == nil && string(text) == public+"\n" {
		return nil
	}
	return file.Replace(path, 0o644, line(public))
}

// line writes a file of one line.
func line(text string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, text+"\n"); return err }
}
