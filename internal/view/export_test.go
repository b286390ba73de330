package view

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"pinfold/internal/kv"
)

// WithoutSync leaves the writing of b's file to the operating system, for tests of what it holds, not how safely.
func WithoutSync(b *Bolt) *Bolt {
	b.db.NoSync = true
	return b
}

// Check returns all inconsistencies of b's file, by bbolt's look at it and by this package's.
func Check(b *Bolt) error {
	var all []error
	err := b.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			all = append(all, err)
		}
		return nil
	})
	all = append(all, err)
	if b.file != nil {
		all = append(all, check(b.path, b.file), b.pass(context.Background()))
	}
	return errors.Join(all...)
}

// CheckFile returns what is wrong in the bytes of a file, and its format.
func CheckFile(content []byte) (format uint32, err error) {
	return checkFile(bytes.NewReader(content), int64(len(content)))
}

// Pass looks at the whole file of a view in use once, as Watch does.
func Pass(b *Bolt) error { return b.pass(context.Background()) }

// WithoutSum commits changes that the summary does not know of.
func WithoutSum(b *Bolt, f func(kv.Tx)) error {
	return b.transact(true, func(r *boltReader) error {
		f(&boltTx{boltReader: r})
		return r.tx.Commit()
	})
}

// WithoutChecks makes b hand out what is stored, checksum and all, until the returned function is called.
func WithoutChecks(b *Bolt) (again func()) {
	b.sums = false
	return func() { b.sums = true }
}

// Used returns how many bytes the pages of b take, free ones too.
func Used(b *Bolt) (size int64) {
	_ = b.db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	return size
}
