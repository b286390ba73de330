// Package view keeps the state of a fold: the key-value transaction of package kv on a bbolt file, and in memory.
//
// A view is a cache of the log. It can be deleted at any time and is then rebuilt by folding the log again. Its file
// notices its own damage: it is walked whole when it is opened, and slowly while it is in use, and each value is checked
// when it is read.
package view

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"pinfold/internal/kv"
)

// Store keeps one view. Update has one caller at a time; View may be called by any number of goroutines beside it.
type Store interface {
	// Update runs f in a write transaction and commits it durably. When f or the commit returns an error, nothing of
	// the transaction is kept, except that a commit may have been stored although it was reported as failed.
	Update(f func(kv.Tx) error) error
	// View runs f on the state of the last commit.
	View(f func(Reader) error) error
	// Close releases the store. No call may be in progress.
	Close() error
}

// Reader reads one committed state.
type Reader interface {
	kv.Reader
	// Buckets returns the names of the buckets that hold anything, in ascending order.
	Buckets() []string
}

// checkPut returns the error of a write that bbolt refuses, and of an empty value, which could not be told from none.
func checkPut(bucket string, key, value []byte) error {
	switch {
	case bucket == "":
		return errors.New("a bucket has no name")
	case reserved(bucket):
		return fmt.Errorf("bucket %s: its name begins with a dot, as those of package view do", bucket)
	case len(key) == 0 || len(value) == 0:
		return fmt.Errorf("bucket %s: a key or a value is empty", bucket)
	case len(key) > bbolt.MaxKeySize:
		return fmt.Errorf("bucket %s: a key of %d bytes: want at most %d", bucket, len(key), bbolt.MaxKeySize)
	}
	return nil
}

// Digest is the SHA-256 over the contents of a view.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler: 64 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("digest %.80q: want %d hex digits", text, hex.EncodedLen(len(d)))
	}
	*d = Digest(b)
	return nil
}

// DigestOf returns the digest of all buckets in key order but those of the given names. Equal contents have equal
// digests on every machine: bucket names, keys and values enter it one after the other, each after its length.
func DigestOf(r Reader, except ...string) Digest {
	h := sha256.New()
	var buf []byte
	add := func(b []byte) {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(b)))
		buf = append(buf, b...)
		if len(buf) > 1<<16 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	for _, bucket := range r.Buckets() {
		if slices.Contains(except, bucket) {
			continue
		}
		for k, v := range r.Scan(bucket, nil, nil) {
			add([]byte(bucket))
			add(k)
			add(v)
		}
	}
	h.Write(buf)
	return Digest(h.Sum(nil))
}
