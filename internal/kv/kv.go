// Package kv is the key-value transaction that the cores of the services write against. Package view has the two
// implementations, on bbolt and in memory.
//
// Nothing here returns an error: a core is total. A write that the database refuses is remembered by the transaction,
// which then cannot be committed, so nothing that rests on it is ever kept.
package kv

import "iter"

// Reader reads one consistent state. Keys and values that it hands out are valid until the transaction ends and must
// not be changed.
type Reader interface {
	// Get returns the value of the key in the bucket, or nil if there is none.
	Get(bucket string, key []byte) []byte
	// Scan goes through the keys of the bucket that start with prefix and are not before from, in ascending order.
	// A nil from is the beginning. The bucket must not be written during the scan.
	Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte]
}

// Tx is one write transaction. It reads its own writes.
type Tx interface {
	Reader
	// Put sets the value of the key, making the bucket if need be. Both are copied. Neither may be empty.
	Put(bucket string, key, value []byte)
	// Delete removes the key. One that is not there is no error.
	Delete(bucket string, key []byte)
}
