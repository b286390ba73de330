package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/file"
	"pinfold/internal/merkle"
)

// keptFile is a file of checkpoints that were kept. One that is torn, where the disk was full or the power failed while it
// was written, is told, and passed over: those before it are as good as ever.
type keptFile struct {
	path       string
	stderr     io.Writer
	whole, all int64 // bytes of the checkpoints that are whole, and of the file, as it was read
}

// read returns the texts of the checkpoints. The error wraps fs.ErrNotExist where there is no such file.
func (k *keptFile) read() ([]string, error) {
	text, err := file.Read(k.path, merkle.MaxKept)
	if err != nil {
		return nil, err
	}
	k.all = int64(len(text))
	k.whole = k.all
	texts, err := merkle.SplitCheckpoints(string(text))
	if torn, ok := errors.AsType[*merkle.TornError](err); ok {
		k.whole = int64(torn.Whole)
		fmt.Fprintf(k.stderr, "%s: %v. It is passed over; the %d before it count.\n", k.path, torn, len(texts))
		return texts, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.path, err)
	}
	return texts, nil
}

// checkpoints reads the checkpoints, all of which are to be signed with a known key.
func (k *keptFile) checkpoints(games string, known note.Verifiers) ([]merkle.Checkpoint, error) {
	texts, err := k.read()
	if err != nil {
		return nil, err
	}
	list := make([]merkle.Checkpoint, len(texts))
	for i, text := range texts {
		if list[i], err = merkle.OpenCheckpoint(text, games, known); err != nil {
			return nil, fmt.Errorf("%s: checkpoint %d: %w", k.path, i+1, err)
		}
	}
	return list, nil
}

// last returns the largest checkpoint; the zero one where there is none yet.
func (k *keptFile) last(games string, known note.Verifiers) (last merkle.Checkpoint, err error) {
	kept, err := k.checkpoints(games, known)
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	}
	for _, c := range kept {
		if c.Size > last.Size {
			last = c
		}
	}
	return last, err
}

// add writes a checkpoint behind those that are whole, durably: all of it, or the file keeps what it had.
func (k *keptFile) add(text string) error {
	text += "\n"
	if k.whole+int64(len(text)) > merkle.MaxKept {
		return fmt.Errorf("%s: with one more it had more than %d bytes, and could not be read: keep on in another file", k.path, merkle.MaxKept)
	}
	if err := file.Append(k.path, k.whole, k.all, []byte(text)); err != nil {
		return err
	}
	k.whole += int64(len(text))
	k.all = k.whole
	return nil
}
