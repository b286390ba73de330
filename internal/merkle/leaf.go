// Package merkle commits to the prefix of the log: a hash tree over its facts as in RFC 6962, whose root changes when any
// fact before it does. It has the leaves, the tree, what proves a fact or an earlier tree to be in it, and checkpoints,
// the signed notes that say how large the tree is and what its root is.
//
// The hashes and their order are those of golang.org/x/mod/sumdb/tlog, so the proofs are those of Certificate
// Transparency.
package merkle

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"pinfold/internal/eventlog"
)

// Hash is the SHA-256 of a leaf or of a node.
type Hash = tlog.Hash

// leafHeadSize is the stored time and the family, what stands before the payload, in bytes.
const leafHeadSize = 8 + 1

// Leaf returns the leaf hash (RFC 6962, section 2.1) of a fact of the log: the time at which it was stored (8 bytes,
// big-endian i64 milliseconds since the Unix epoch), the code of its family (1 byte), and the payload. That is a fact as
// an archive holds it, without its sequence: the leaf's place in the tree gives that, sequence n being leaf n-1. The
// error names a family that has no code.
func Leaf(m eventlog.Message) (Hash, error) {
	code, ok := eventlog.FamilyCode(m.Family)
	if !ok {
		return Hash{}, fmt.Errorf("leaf of sequence %d: family %.80q has no code", m.Seq, m.Family)
	}
	data := make([]byte, 0, leafHeadSize+len(m.Payload))
	data = binary.BigEndian.AppendUint64(data, uint64(m.Stored))
	data = append(data, code)
	return tlog.RecordHash(append(data, m.Payload...)), nil
}
