package evidence

import (
	"iter"

	"pinfold/internal/kv"
)

// rosterReader reads the buckets of package roster under names of the index's own, so that the index can stand beside
// another fold that keeps a roster.
type rosterReader struct{ r kv.Reader }

func (p rosterReader) Get(bucket string, key []byte) []byte { return p.r.Get(rosterPrefix+bucket, key) }

func (p rosterReader) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return p.r.Scan(rosterPrefix+bucket, prefix, from)
}

// rosterTx writes them.
type rosterTx struct {
	rosterReader
	tx kv.Tx
}

func newRosterTx(tx kv.Tx) rosterTx { return rosterTx{rosterReader: rosterReader{tx}, tx: tx} }

func (p rosterTx) Put(bucket string, key, value []byte) { p.tx.Put(rosterPrefix+bucket, key, value) }
func (p rosterTx) Delete(bucket string, key []byte)     { p.tx.Delete(rosterPrefix+bucket, key) }
