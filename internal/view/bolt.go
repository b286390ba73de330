package view

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"pinfold/internal/kv"
)

// Bolt is a Store in one bbolt file.
type Bolt struct {
	db     *bbolt.DB
	remove string // path of the file that Close is to remove, or ""
}

// mapping is how much address space a view's file is given at once. While a file outgrows its mapping, the commit waits
// for every View that runs, and every further View waits for the commit: up to this size that never happens.
const mapping = min(1<<34, math.MaxInt/2)

// OpenBolt opens the view at path, making the file and its folder if need be. The file is locked: a second process that
// opens it gets an error after a second.
func OpenBolt(path string) (*Bolt, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("view %s: %w", path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, InitialMmapSize: mapping})
	if err != nil {
		return nil, fmt.Errorf("view %s: %w (does another process use it?)", path, err)
	}
	return &Bolt{db: db}, nil
}

// Update implements Store.
func (b *Bolt) Update(f func(kv.Tx) error) error {
	return b.db.Update(func(btx *bbolt.Tx) error {
		tx := &boltTx{boltReader: newBoltReader(btx)}
		if err := f(tx); err != nil {
			return err
		}
		return tx.err
	})
}

// View implements Store.
func (b *Bolt) View(f func(Reader) error) error {
	return b.db.View(func(btx *bbolt.Tx) error { return f(newBoltReader(btx)) })
}

// Close implements Store.
func (b *Bolt) Close() error {
	err := b.db.Close()
	if b.remove != "" {
		err = errors.Join(err, os.Remove(b.remove))
		b.remove = ""
	}
	return err
}

// boltReader remembers the buckets it has found, since a look-up by name walks the root page each time.
type boltReader struct {
	tx    *bbolt.Tx
	found map[string]*bbolt.Bucket
}

func newBoltReader(tx *bbolt.Tx) boltReader {
	return boltReader{tx: tx, found: make(map[string]*bbolt.Bucket, 16)}
}

// bucket returns nil when there is none.
func (r boltReader) bucket(name string) *bbolt.Bucket {
	b := r.found[name]
	if b == nil {
		if b = r.tx.Bucket([]byte(name)); b != nil {
			r.found[name] = b
		}
	}
	return b
}

func (r boltReader) Get(bucket string, key []byte) []byte {
	b := r.bucket(bucket)
	if b == nil {
		return nil
	}
	return b.Get(key)
}

func (r boltReader) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		b := r.bucket(bucket)
		if b == nil {
			return
		}
		start := prefix
		if bytes.Compare(from, prefix) > 0 {
			start = from
		}
		c := b.Cursor()
		for k, v := c.Seek(start); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

func (r boltReader) Buckets() []string {
	var names []string
	c := r.tx.Cursor()
	for name, _ := c.First(); name != nil; name, _ = c.Next() {
		if k, _ := r.tx.Bucket(name).Cursor().First(); k != nil {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return names
}

type boltTx struct {
	boltReader
	err error
}

func (tx *boltTx) fail(err error) {
	if tx.err == nil && err != nil {
		tx.err = fmt.Errorf("view: %w", err)
	}
}

func (tx *boltTx) Put(bucket string, key, value []byte) {
	if err := checkPut(bucket, key, value); err != nil {
		tx.fail(err)
		return
	}
	b := tx.bucket(bucket)
	if b == nil {
		made, err := tx.tx.CreateBucket([]byte(bucket))
		if err != nil {
			tx.fail(err)
			return
		}
		b, tx.found[bucket] = made, made
	}
	// bbolt keeps the value's slice, not a copy, until the commit; the caller may reuse it.
	tx.fail(b.Put(key, bytes.Clone(value)))
}

func (tx *boltTx) Delete(bucket string, key []byte) {
	if b := tx.bucket(bucket); b != nil {
		tx.fail(b.Delete(key))
	}
}
