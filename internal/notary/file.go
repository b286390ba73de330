package notary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// signedFile is the name, in the folder of keys, of the file of what was signed.
const signedFile = "signed.db"

// OpenSigned opens the file of what was signed with the private key, and makes it where there is none. It is no cache: a
// file that is damaged is a *view.DamagedError, and left as it is. What a file of the first format holds is taken over
// once, if the key signed all of it.
func OpenSigned(folder, games, key string) (*view.Bolt, error) {
	_, public, err := merkle.NewSigner(key, games)
	if err != nil {
		return nil, err
	}
	verifier, err := merkle.NewVerifier(public, games)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, signedFile)
	b, err := view.OpenKept(path, func(from view.Reader, to kv.Tx) error {
		if err := takeOver(from, to, games, note.VerifierList(verifier)); err != nil {
			return &view.DamagedError{Path: path, Reason: err.Error()}
		}
		return nil
	})
	return b, signedError(err)
}

// signedError adds to the error of a damaged file what to do.
func signedError(err error) error {
	if _, damaged := errors.AsType[*view.DamagedError](err); damaged {
		return fmt.Errorf("%w. It holds the checkpoints that were signed, and nothing can rebuild it: bring back a copy of it; "+
			"without one see docs/operations.md before you move it away", err)
	}
	return err
}

// HasSigned reports whether the file of what was signed, in the folder of keys, is there and holds anything. One of another
// version is taken to.
func HasSigned(folder string) (yes bool, err error) {
	b, err := view.OpenReadOnly(filepath.Join(folder, signedFile))
	if _, other := errors.AsType[*view.FormatError](err); other {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, signedError(err)
	}
	defer b.Close()
	err = b.View(func(r view.Reader) error {
		yes = r.Get(bucketNewest, keyNewest) != nil
		return nil
	})
	return yes, err
}

// takeOver copies what was signed, after a look at every signature.
func takeOver(from view.Reader, to kv.Tx, games string, known note.Verifiers) error {
	var last, noted, newest fact.Seq
	for _, bucket := range from.Buckets() {
		if bucket != bucketUnasked && bucket != bucketNewest {
			return fmt.Errorf("bucket %.32q: want %s and %s", bucket, bucketUnasked, bucketNewest)
		}
	}
	for k, v := range from.Scan(bucketUnasked, nil, nil) {
		c, err := merkle.OpenCheckpoint(string(v), games, known)
		if err != nil {
			return fmt.Errorf("a checkpoint that was signed unasked: %w", err)
		}
		if string(k) != string(sizeKey(c.Size)) {
			return fmt.Errorf("the checkpoint of %d facts stands in another's place", c.Size)
		}
		last = c.Size
		to.Put(bucketUnasked, k, v)
	}
	for k, v := range from.Scan(bucketNewest, nil, nil) {
		switch string(k) {
		case string(keyNewest):
			c, err := merkle.OpenCheckpoint(string(v), games, known)
			if err != nil {
				return fmt.Errorf("the newest checkpoint: %w", err)
			}
			newest = c.Size
		case string(keyUnasked):
			if len(v) != 8 {
				return fmt.Errorf("a size of %d bytes: want 8", len(v))
			}
			noted = fact.Seq(binary.BigEndian.Uint64(v))
		default:
			return fmt.Errorf("a key %.32q in bucket %s", k, bucketNewest)
		}
		to.Put(bucketNewest, k, v)
	}
	if noted != last {
		return fmt.Errorf("the last checkpoint that was signed unasked is of %d facts, and there is one of %d", noted, last)
	}
	if newest < last {
		return fmt.Errorf("the newest checkpoint is of %d facts, and one of %d was signed", newest, last)
	}
	return nil
}
