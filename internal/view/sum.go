package view

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Format is the format of the files, whose number each of them holds. It goes one up whenever the layout here changes, or
// the keys and values of any core, of the tree, or of what was signed. Format 1 had neither number nor checksums.
const Format = 2

// The layout on top of bbolt's. Each value is followed by its checksum of 8 bytes, big-endian. One bucket, whose name no
// core may use, holds the summary of all others, which each transaction brings up to date:
//
//	.view   "sum"   Format, 4 bytes; number of pairs, 8; their checksums added up, 8; all big-endian
//
// The checksum of a value finds what was changed and not what is absent: a flipped bit in a branch page makes a key "not
// found". The sum finds that. It does not depend on the order, so that a transaction adds and subtracts what it changes.
const (
	sumBucket    = ".view"
	sumSize      = 4 + 8 + 8
	checksumSize = 8
)

var sumKey = []byte("sum")

// summary says what all pairs of a file are, in short. Chance has 1 in 2^64 to hide a change from it. It holds off
// accidents: who can write the file can write the summary.
type summary struct {
	pairs uint64
	total uint64 // sum of the checksums, modulo 2^64
}

func (s *summary) add(checksum uint64) { s.pairs, s.total = s.pairs+1, s.total+checksum }

func (s *summary) remove(checksum uint64) { s.pairs, s.total = s.pairs-1, s.total-checksum }

func (s summary) encode() []byte {
	v := binary.BigEndian.AppendUint32(make([]byte, 0, sumSize), Format)
	v = binary.BigEndian.AppendUint64(v, s.pairs)
	return binary.BigEndian.AppendUint64(v, s.total)
}

// decodeSummary is of a value that another format may have written. The summary is zero if it was.
func decodeSummary(v []byte) (format uint32, s summary) {
	if len(v) < 4 {
		return 0, s
	}
	if format = binary.BigEndian.Uint32(v); format == Format && len(v) == sumSize {
		s = summary{pairs: binary.BigEndian.Uint64(v[4:]), total: binary.BigEndian.Uint64(v[12:])}
	}
	return format, s
}

// checksummer computes checksums: XXH64, which is stable, well kept, written in assembly, and passes for random, so that
// sums of it say as much as one. The bucket and the length of the key are in its seed, so that a byte cannot move from
// the key to the value.
type checksummer struct{ digest xxhash.Digest }

func seedOf(bucket string) uint64 { return xxhash.Sum64String(bucket) }

func (c *checksummer) of(seed uint64, key, value []byte) uint64 {
	c.digest.ResetWithSeed(seed + uint64(len(key)))
	_, _ = c.digest.Write(key) // never an error
	_, _ = c.digest.Write(value)
	return c.digest.Sum64()
}

// seal returns a value as it is stored, in a slice of its own, and its checksum.
func (c *checksummer) seal(seed uint64, key, value []byte) (stored []byte, checksum uint64) {
	checksum = c.of(seed, key, value)
	stored = append(make([]byte, 0, len(value)+checksumSize), value...)
	return binary.BigEndian.AppendUint64(stored, checksum), checksum
}

// split parts a stored value from its checksum. It is false of one that is too short to have been stored here.
func split(stored []byte) (value []byte, checksum uint64, ok bool) {
	n := len(stored) - checksumSize
	if n <= 0 {
		return nil, 0, false
	}
	return stored[:n:n], binary.BigEndian.Uint64(stored[n:]), true
}
