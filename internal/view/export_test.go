package view

import (
	"errors"

	"go.etcd.io/bbolt"
)

// WithoutSync leaves the writing of b's file to the operating system, for tests of what it holds, not how safely.
func WithoutSync(b *Bolt) *Bolt {
	b.db.NoSync = true
	return b
}

// Check returns all inconsistencies of b's file.
func Check(b *Bolt) error {
	var all []error
	err := b.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			all = append(all, err)
		}
		return nil
	})
	return errors.Join(append(all, err)...)
}
