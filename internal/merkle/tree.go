package merkle

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// How the tree is kept. Only ever appended to; integers are big-endian.
//
//	tree      chunk number, 8 bytes  ->  the hashes from chunkHashes*number on, 32 bytes each,
//	                                     in the order of tlog.StoredHashIndex; all chunks but the last are full
//	treesize  "size"                 ->  number of leaves, 8 bytes
const (
	treeBucket = "tree"
	sizeBucket = "treesize"
)

var sizeKey = []byte("size")

// chunkHashes is how many hashes one value holds. Two values of 62, with bbolt's 16 bytes, the key and the checksum for each
// and 16 for the page, fit a page of 4096 bytes, and bbolt puts no fewer than two on a page. With 63, half of the file would
// be empty.
const (
	chunkHashes = 62
	chunkSize   = chunkHashes * tlog.HashSize
)

// maxSize is the largest tree. Package tlog counts hashes in an int64, and there are almost two for each leaf: with sizes
// that are much larger its arithmetic overflows, and it does not return.
const maxSize fact.Seq = 1 << 61

func checkSize(size fact.Seq) error {
	if size > maxSize {
		return fmt.Errorf("size %d: want at most %d", size, maxSize)
	}
	return nil
}

// checkLeaf returns an error unless a tree of that size has a leaf for seq.
func checkLeaf(size, seq fact.Seq) error {
	if seq < 1 || seq > size {
		return fmt.Errorf("sequence %d: want 1 to %d, the size of the tree", seq, size)
	}
	return checkSize(size)
}

// checkSizes returns an error unless a tree can have had the size from before it had the size to.
func checkSizes(from, to fact.Seq) error {
	if from < 1 || from > to {
		return fmt.Errorf("size %d before size %d: want 1 to %d", from, to, to)
	}
	return checkSize(to)
}

// Size returns the number of leaves of the tree.
func Size(r kv.Reader) fact.Seq {
	v := r.Get(sizeBucket, sizeKey)
	if len(v) != 8 {
		return 0
	}
	return fact.Seq(binary.BigEndian.Uint64(v))
}

// checkStored returns an error if the tree never had that size.
func checkStored(r kv.Reader, size fact.Seq) error {
	if have := Size(r); size > have {
		return fmt.Errorf("size %d: the tree has %d leaves", size, have)
	}
	return checkSize(size)
}

// Append adds leaves at the end of the tree: the facts that follow the first Size ones. It writes each value that it
// touches once. An error says that the stored tree is damaged; the transaction is then to be given up.
func Append(tx kv.Tx, leaves ...Hash) error {
	if len(leaves) == 0 {
		return nil
	}
	edge, err := storedEdge(tx, Size(tx))
	if err != nil {
		return err
	}
	w, err := newChunkWriter(tx, tlog.StoredHashCount(int64(edge.size)))
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		edge.add(leaf, w.write)
	}
	w.flush()
	tx.Put(sizeBucket, sizeKey, binary.BigEndian.AppendUint64(nil, uint64(edge.size)))
	return nil
}

// storedEdge returns the right edge of the first size leaves of the tree.
func storedEdge(r kv.Reader, size fact.Seq) (Edge, error) {
	if err := checkSize(size); err != nil {
		return Edge{}, fmt.Errorf("tree: damaged: %w", err)
	}
	e := Edge{size: size}
	for level := 63; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		h, err := stored{r}.hash(tlog.StoredHashIndex(level, int64(size>>level)-1))
		if err != nil {
			return Edge{}, err
		}
		e.nodes = append(e.nodes, h)
	}
	return e, nil
}

// chunkWriter writes hashes behind the last one of the tree.
type chunkWriter struct {
	tx     kv.Tx
	number int64  // of the chunk
	chunk  []byte // its hashes so far
}

// newChunkWriter returns a writer of the hashes from the given index on.
func newChunkWriter(tx kv.Tx, index int64) (*chunkWriter, error) {
	w := &chunkWriter{tx: tx, number: index / chunkHashes, chunk: make([]byte, 0, chunkSize)}
	begun := tx.Get(treeBucket, chunkKey(w.number))
	if want := int(index%chunkHashes) * tlog.HashSize; len(begun) != want {
		return nil, fmt.Errorf("tree: damaged: last chunk %d has %d bytes, want %d", w.number, len(begun), want)
	}
	w.chunk = append(w.chunk, begun...)
	return w, nil
}

func (w *chunkWriter) write(h Hash) {
	w.chunk = append(w.chunk, h[:]...)
	if len(w.chunk) == chunkSize {
		w.flush()
		w.number++
		w.chunk = w.chunk[:0]
	}
}

func (w *chunkWriter) flush() {
	if len(w.chunk) > 0 {
		w.tx.Put(treeBucket, chunkKey(w.number), w.chunk)
	}
}

func chunkKey(number int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(number))
}

// stored is the tlog.HashReader of the stored tree.
type stored struct{ r kv.Reader }

// ReadHashes implements tlog.HashReader.
func (s stored) ReadHashes(indexes []int64) ([]Hash, error) {
	hashes := make([]Hash, len(indexes))
	for i, index := range indexes {
		var err error
		if hashes[i], err = s.hash(index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

func (s stored) hash(index int64) (Hash, error) {
	chunk := s.r.Get(treeBucket, chunkKey(index/chunkHashes))
	at := int(index%chunkHashes) * tlog.HashSize
	if len(chunk) < at+tlog.HashSize {
		return Hash{}, fmt.Errorf("tree: damaged: hash %d is missing", index)
	}
	return Hash(chunk[at : at+tlog.HashSize]), nil
}

// Root returns the root of the first size leaves. The error says that the tree has fewer, or is damaged.
func Root(r kv.Reader, size fact.Seq) (Hash, error) {
	if err := checkStored(r, size); err != nil {
		return Hash{}, fmt.Errorf("root: %w", err)
	}
	return tlog.TreeHash(int64(size), stored{r})
}

// LeafAt returns the leaf hash of the fact at seq. The error says that the tree has none there, or is damaged.
func LeafAt(r kv.Reader, seq fact.Seq) (Hash, error) {
	if err := checkLeaf(Size(r), seq); err != nil {
		return Hash{}, fmt.Errorf("leaf: %w", err)
	}
	return stored{r}.hash(tlog.StoredHashIndex(0, int64(seq-1)))
}

// Inclusion returns the proof that the first size leaves have the one of seq at its place (RFC 6962, section 2.1.1). The
// error says that 1 <= seq <= size <= Size does not hold, or that the tree is damaged.
func Inclusion(r kv.Reader, size, seq fact.Seq) ([]Hash, error) {
	if err := cmp.Or(checkLeaf(size, seq), checkStored(r, size)); err != nil {
		return nil, fmt.Errorf("inclusion: %w", err)
	}
	return tlog.ProveRecord(int64(size), int64(seq-1), stored{r})
}

// Consistency returns the proof that the first from leaves begin the first to leaves (RFC 6962, section 2.1.2). The error
// says that 1 <= from <= to <= Size does not hold, or that the tree is damaged.
func Consistency(r kv.Reader, from, to fact.Seq) ([]Hash, error) {
	if err := cmp.Or(checkSizes(from, to), checkStored(r, to)); err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	return tlog.ProveTree(int64(to), int64(from), stored{r})
}

// CheckInclusion returns an error unless the proof shows that the tree of that size and root has the leaf at the place of
// seq. Its arguments may be anything.
func CheckInclusion(proof []Hash, size fact.Seq, root Hash, seq fact.Seq, leaf Hash) error {
	if err := checkLeaf(size, seq); err != nil {
		return fmt.Errorf("inclusion: %w", err)
	}
	if err := tlog.CheckRecord(proof, int64(size), root, int64(seq-1), leaf); err != nil {
		return fmt.Errorf("inclusion of sequence %d in the tree of size %d: %w", seq, size, err)
	}
	return nil
}

// CheckConsistency returns an error unless the proof shows that the tree of size and root to begins with that of size and
// root from. Its arguments may be anything. Nothing is proved of the empty tree, with which every other begins.
func CheckConsistency(proof []Hash, from fact.Seq, fromRoot Hash, to fact.Seq, toRoot Hash) error {
	if err := checkSizes(from, to); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	if err := tlog.CheckTree(proof, int64(to), toRoot, int64(from), fromRoot); err != nil {
		return fmt.Errorf("consistency of the tree of size %d with that of size %d: %w", from, to, err)
	}
	return nil
}

// Nodes returns every hash of which the inclusion proofs of these sequences in the first size leaves consist, by its
// tlog.StoredHashIndex: many proofs share most of theirs. The error is as of Inclusion.
func Nodes(r kv.Reader, size fact.Seq, seqs []fact.Seq) (map[int64]Hash, error) {
	if err := checkStored(r, size); err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	nodes := map[int64]Hash{}
	collect := tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		hashes := make([]Hash, len(indexes))
		for i, index := range indexes {
			h, ok := nodes[index]
			if !ok {
				var err error
				if h, err = (stored{r}).hash(index); err != nil {
					return nil, err
				}
				nodes[index] = h
			}
			hashes[i] = h
		}
		return hashes, nil
	})
	for _, seq := range seqs {
		if err := checkLeaf(size, seq); err != nil {
			return nil, fmt.Errorf("nodes: %w", err)
		}
		if _, err := tlog.ProveRecord(int64(size), int64(seq-1), collect); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// CheckNodes returns an error unless the nodes show that the tree of that size and root has the leaf at the place of seq;
// see Nodes. Its arguments may be anything. Nodes that the proof does not need are not looked at.
func CheckNodes(nodes map[int64]Hash, size fact.Seq, root Hash, seq fact.Seq, leaf Hash) error {
	if err := checkLeaf(size, seq); err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	proof, err := tlog.ProveRecord(int64(size), int64(seq-1), tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		hashes := make([]Hash, len(indexes))
		for i, index := range indexes {
			h, ok := nodes[index]
			if !ok {
				return nil, fmt.Errorf("node %d is missing", index)
			}
			hashes[i] = h
		}
		return hashes, nil
	}))
	if err != nil {
		return fmt.Errorf("nodes: inclusion of sequence %d in the tree of size %d: %w", seq, size, err)
	}
	return CheckInclusion(proof, size, root, seq, leaf)
}
