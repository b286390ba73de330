package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/file"
	"pinfold/internal/merkle"
)

// keyFlag is the flag of commands that verify checkpoints. It may be given again, and a file may hold several keys, with
// white space between: each gateway has a key of its own.
type keyFlag []string

// text returns all keys that were given, with white space between; "" = none were.
func (f keyFlag) text() (string, error) {
	var texts []string
	for _, given := range f {
		text, err := keyText(given)
		if err != nil {
			return "", err
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "\n"), nil
}

// check returns the error of a key that is neither a key nor the name of something. What a file holds is read later, and once:
// it may be a pipe.
func (f keyFlag) check() error {
	for _, given := range f {
		if _, err := os.Stat(given); err == nil {
			continue
		}
		if _, err := keyText(given); err != nil {
			return err
		}
	}
	return nil
}

// known returns the verifiers of the keys, of which there must be one.
func (f keyFlag) known(games string) (note.Verifiers, error) {
	text, err := f.text()
	if err != nil {
		return nil, err
	}
	known, err := parseKeys(text, games)
	if err != nil {
		return nil, fmt.Errorf("--checkpoint-key: %w", err)
	}
	return known, nil
}

// keyText returns what --checkpoint-key means, without white space around it: what the file of that name holds, or the text
// itself where there is no such file. What is neither is an error that says so; it never shows what may be a private key.
func keyText(textOrName string) (string, error) {
	text, err := file.Read(textOrName, merkle.MaxKeys)
	switch {
	case err == nil && strings.TrimSpace(string(text)) == "":
		return "", fmt.Errorf("--checkpoint-key: %s holds nothing: want name+hash+key, as it was generated", textOrName)
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ENAMETOOLONG):
		return "", fmt.Errorf("--checkpoint-key: %w", err)
	}
	// A key begins with pinfold/, and the binary is called pinfold: hence ENOTDIR. All keys hold a plus.
	key := strings.TrimSpace(textOrName)
	if !strings.Contains(key, "+") {
		return "", fmt.Errorf("--checkpoint-key: there is no file %.80q, nor is that a public key: want name+hash+key, as it was generated", textOrName)
	}
	if _, err := parseKeys(key, ""); err != nil {
		return "", fmt.Errorf("--checkpoint-key: there is no such file, nor is it a public key: %w", err)
	}
	return key, nil
}

func parseKeys(text, games string) (note.Verifiers, error) {
	keys := strings.Fields(text)
	if len(keys) == 0 {
		return nil, errors.New("no public key: want name+hash+key, as it was generated")
	}
	slices.Sort(keys)
	var list []note.Verifier
	for _, key := range slices.Compact(keys) {
		verifier, err := merkle.NewVerifier(key, games)
		if err != nil {
			return nil, err
		}
		list = append(list, verifier)
	}
	return note.VerifierList(list...), nil
}
