package merkle_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// TestAppendAgainstModel appends in random batches, several to a transaction, and wants the roots of the model, and the
// same contents as of one append.
func TestAppendAgainstModel(t *testing.T) {
	dir := t.TempDir()
	d := leaves(2 * 3 * 140)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		bolt, err := view.OpenBolt(filepath.Join(dir, fmt.Sprint(run)))
		if err != nil {
			rt.Fatal(err)
		}
		defer bolt.Close()
		memory := view.NewMemory()
		transactions := rapid.SliceOfN(rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 140)), 1, 3), 1, 2).
			Draw(rt, "batches")
		size := 0
		for _, batches := range transactions {
			for _, store := range []view.Store{bolt, memory} {
				at := size
				err := store.Update(func(tx kv.Tx) error {
					for _, n := range batches {
						if err := merkle.Append(tx, d[at:at+n]...); err != nil {
							return err
						}
						at += n
					}
					return nil
				})
				if err != nil {
					rt.Fatal(err)
				}
			}
			for _, n := range batches {
				size += n
			}
		}
		once := digest(t, grow(t, d[:size]))
		for name, store := range map[string]view.Store{"Bolt": bolt, "Memory": memory} {
			read(t, store, func(r kv.Reader) { checkTree(rt, name, r, d[:size]) })
			if got := digest(t, store); got != once {
				rt.Errorf("%s: other contents than after one append", name)
			}
		}
	})
}

// TestAppendOneByOne comes by every size, and so by those, as 32, whose last chunk is full.
func TestAppendOneByOne(t *testing.T) {
	d := leaves(150)
	store := view.NewMemory()
	for n, leaf := range d {
		if err := store.Update(func(tx kv.Tx) error { return merkle.Append(tx, leaf) }); err != nil {
			t.Fatalf("leaf %d: %v", n+1, err)
		}
		if digest(t, store) != digest(t, grow(t, d[:n+1])) {
			t.Fatalf("leaf %d: other contents than after one append", n+1)
		}
	}
}

func checkTree(t *rapid.T, name string, r kv.Reader, d model) {
	size := fact.Seq(len(d))
	if got := merkle.Size(r); got != size {
		t.Fatalf("%s: size %d, want %d", name, got, size)
	}
	for _, n := range []int{0, len(d), rapid.IntRange(0, len(d)).Draw(t, "size")} {
		if got, err := merkle.Root(r, fact.Seq(n)); err != nil || got != d[:n].root() {
			t.Errorf("%s: root of %d leaves is %v, %v, want %v", name, n, got, err, d[:n].root())
		}
	}
	for i, want := range d {
		if got, err := merkle.LeafAt(r, fact.Seq(i+1)); err != nil || got != want {
			t.Fatalf("%s: leaf %d is %v, %v, want %v", name, i+1, got, err, want)
		}
	}
}

func digest(t *testing.T, store view.Store) view.Digest {
	t.Helper()
	var d view.Digest
	if err := store.View(func(r view.Reader) error { d = view.DigestOf(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEdge wants the roots of the model for every size.
func TestEdge(t *testing.T) {
	d := leaves(300)
	var edge merkle.Edge
	for n := range d {
		if edge.Size() != fact.Seq(n) || edge.Root() != d[:n].root() {
			t.Fatalf("edge of %d leaves has size %d and root %v, want %v", n, edge.Size(), edge.Root(), d[:n].root())
		}
		edge.Add(d[n])
	}
}

// puts counts the writes of each key.
type puts struct {
	kv.Tx
	count map[string]int
}

func (p puts) Put(bucket string, key, value []byte) {
	p.count[fmt.Sprintf("%s %x", bucket, key)]++
	p.Tx.Put(bucket, key, value)
}

// TestAppendWritesOnce wants each value written once, and each of them no longer than a chunk.
func TestAppendWritesOnce(t *testing.T) {
	store := grow(t, leaves(20)) // 38 hashes, all in chunk 0
	err := store.Update(func(tx kv.Tx) error {
		p := puts{Tx: tx, count: map[string]int{}}
		if err := merkle.Append(p, leaves(100)...); err != nil { // 120 leaves have 236 hashes, 4 chunks of 62
			return err
		}
		want := map[string]int{
			"tree 0000000000000000": 1, "tree 0000000000000001": 1, "tree 0000000000000002": 1, "tree 0000000000000003": 1,
			"treesize 73697a65": 1,
		}
		if !maps.Equal(p.count, want) {
			t.Errorf("wrote %v, want %v", p.count, want)
		}
		for k, v := range tx.Scan("tree", nil, nil) {
			if number := binary.BigEndian.Uint64(k); number < 3 && len(v) != 1984 || number == 3 && len(v) != 32*(236-3*62) {
				t.Errorf("chunk %d has %d bytes", number, len(v))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAppendNothing leaves no trace.
func TestAppendNothing(t *testing.T) {
	if digest(t, grow(t, nil)) != digest(t, view.NewMemory()) {
		t.Error("an append of no leaves wrote something")
	}
}

func flip(h merkle.Hash) merkle.Hash { h[7] ^= 1; return h }

// spoiled returns the proof with each hash changed, each left out, and one too many.
func spoiled(proof []merkle.Hash) [][]merkle.Hash {
	bad := [][]merkle.Hash{append(slices.Clone(proof), merkle.Hash{}), append([]merkle.Hash{{}}, proof...)}
	for i := range proof {
		changed := slices.Clone(proof)
		changed[i] = flip(changed[i])
		bad = append(bad, changed, slices.Delete(slices.Clone(proof), i, i+1))
	}
	return bad
}

// TestInclusion takes every leaf of every small tree. A proof binds the size through the root alone, so another size is
// tried with the root that it has.
func TestInclusion(t *testing.T) {
	d := leaves(40)
	read(t, grow(t, d), func(r kv.Reader) {
		for n := 1; n <= len(d); n++ {
			size, root := fact.Seq(n), d[:n].root()
			for seq := fact.Seq(1); seq <= size; seq++ {
				leaf := d[seq-1]
				proof, err := merkle.Inclusion(r, size, seq)
				if want := d[:n].path(int(seq - 1)); err != nil || !slices.Equal(proof, want) {
					t.Fatalf("inclusion of %d in %d is %v, %v, want %v", seq, size, proof, err, want)
				}
				if err := merkle.CheckInclusion(proof, size, root, seq, leaf); err != nil {
					t.Errorf("%d in %d: %v", seq, size, err)
				}
				for _, bad := range spoiled(proof) {
					if merkle.CheckInclusion(bad, size, root, seq, leaf) == nil {
						t.Errorf("%d in %d: a changed proof is taken", seq, size)
					}
				}
				if merkle.CheckInclusion(proof, size, flip(root), seq, leaf) == nil || merkle.CheckInclusion(proof, size, root, seq, flip(leaf)) == nil {
					t.Errorf("%d in %d: a changed root or leaf is taken", seq, size)
				}
				for other := fact.Seq(0); other <= 41; other++ {
					if other != seq && merkle.CheckInclusion(proof, size, root, other, leaf) == nil {
						t.Errorf("%d in %d: taken as proof of %d", seq, size, other)
					}
					if other != size && other <= 40 && merkle.CheckInclusion(proof, other, d[:other].root(), seq, leaf) == nil {
						t.Errorf("%d in %d: taken as proof for size %d", seq, size, other)
					}
				}
			}
		}
	})
}

// TestConsistency takes every pair of small trees.
func TestConsistency(t *testing.T) {
	d := leaves(40)
	read(t, grow(t, d), func(r kv.Reader) {
		for to := fact.Seq(1); to <= 40; to++ {
			for from := fact.Seq(1); from <= to; from++ {
				fromRoot, toRoot := d[:from].root(), d[:to].root()
				proof, err := merkle.Consistency(r, from, to)
				if want := d[:to].proof(int(from), true); err != nil || !slices.Equal(proof, want) {
					t.Fatalf("consistency of %d with %d is %v, %v, want %v", from, to, proof, err, want)
				}
				if err := merkle.CheckConsistency(proof, from, fromRoot, to, toRoot); err != nil {
					t.Errorf("%d with %d: %v", from, to, err)
				}
				for _, bad := range spoiled(proof) {
					if merkle.CheckConsistency(bad, from, fromRoot, to, toRoot) == nil {
						t.Errorf("%d with %d: a changed proof is taken", from, to)
					}
				}
				if merkle.CheckConsistency(proof, from, flip(fromRoot), to, toRoot) == nil || merkle.CheckConsistency(proof, from, fromRoot, to, flip(toRoot)) == nil {
					t.Errorf("%d with %d: a changed root is taken", from, to)
				}
				for other := fact.Seq(0); other <= 40; other++ {
					if other != from && merkle.CheckConsistency(proof, other, fromRoot, to, toRoot) == nil {
						t.Errorf("%d with %d: taken as proof for %d", from, to, other)
					}
					if other != to && merkle.CheckConsistency(proof, from, fromRoot, other, d[:other].root()) == nil {
						t.Errorf("%d with %d: taken as proof with %d", from, to, other)
					}
				}
			}
		}
	})
}

// TestNodes takes every subset of the leaves of every small tree, and wants no node too few, too many or changed.
func TestNodes(t *testing.T) {
	const most = 8
	d := leaves(most)
	read(t, grow(t, d), func(r kv.Reader) {
		for n := 1; n <= most; n++ {
			for subset := range 1 << n {
				var seqs []fact.Seq
				for i := range n {
					if subset>>i&1 == 1 {
						seqs = append(seqs, fact.Seq(i+1))
					}
				}
				nodes, err := merkle.Nodes(r, fact.Seq(n), seqs)
				if err != nil {
					t.Fatal(err)
				}
				checkNodes(t, d[:n], seqs, nodes)
			}
		}
	})
}

func checkNodes(t *testing.T, d model, seqs []fact.Seq, nodes map[int64]merkle.Hash) {
	t.Helper()
	size, root := fact.Seq(len(d)), d.root()
	all := func(nodes map[int64]merkle.Hash) error {
		for _, seq := range seqs {
			if err := merkle.CheckNodes(nodes, size, root, seq, d[seq-1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(nodes); err != nil {
		t.Errorf("%d of %d: %v", seqs, size, err)
	}
	for index, h := range nodes {
		short := maps.Clone(nodes)
		delete(short, index)
		if err := all(short); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("node %d is missing", index)) {
			t.Errorf("%d of %d without node %d: %v", seqs, size, index, err)
		}
		short[index] = flip(h)
		if all(short) == nil {
			t.Errorf("%d of %d: a changed node %d is taken", seqs, size, index)
		}
	}
	for seq := range size + 2 {
		for _, leaf := range append(slices.Clone(d), merkle.Hash{}) {
			right := seq >= 1 && seq <= size && leaf == d[seq-1]
			if !right && merkle.CheckNodes(nodes, size, root, seq, leaf) == nil {
				t.Errorf("%d of %d: another leaf is taken at %d", seqs, size, seq)
			}
		}
	}
}

// TestOutOfRange wants an error that says what is wrong, of every function and for sizes up to the largest number: much
// smaller ones would keep package tlog busy for ever.
func TestOutOfRange(t *testing.T) {
	store := grow(t, leaves(5))
	var h merkle.Hash
	read(t, store, func(r kv.Reader) {
		for _, tt := range []struct {
			name string
			err  error
			want string
		}{
			{"root", second(merkle.Root(r, 6)), "root: size 6: the tree has 5 leaves"},
			{"leaf 0", second(merkle.LeafAt(r, 0)), "leaf: sequence 0: want 1 to 5, the size of the tree"},
			{"leaf 6", second(merkle.LeafAt(r, 6)), "leaf: sequence 6: want 1 to 5, the size of the tree"},
			{"inclusion of 0", second(merkle.Inclusion(r, 5, 0)), "inclusion: sequence 0: want 1 to 5, the size of the tree"},
			{"inclusion behind", second(merkle.Inclusion(r, 4, 5)), "inclusion: sequence 5: want 1 to 4, the size of the tree"},
			{"inclusion in more", second(merkle.Inclusion(r, 6, 5)), "inclusion: size 6: the tree has 5 leaves"},
			{"consistency from 0", second(merkle.Consistency(r, 0, 5)), "consistency: size 0 before size 5: want 1 to 5"},
			{"consistency backwards", second(merkle.Consistency(r, 5, 4)), "consistency: size 5 before size 4: want 1 to 4"},
			{"consistency with more", second(merkle.Consistency(r, 5, 6)), "consistency: size 6: the tree has 5 leaves"},
			{"nodes of 0", second(merkle.Nodes(r, 5, []fact.Seq{1, 0})), "nodes: sequence 0: want 1 to 5, the size of the tree"},
			{"nodes of 6", second(merkle.Nodes(r, 5, []fact.Seq{6})), "nodes: sequence 6: want 1 to 5, the size of the tree"},
			{"nodes in more", second(merkle.Nodes(r, 6, nil)), "nodes: size 6: the tree has 5 leaves"},
			{"check nodes of 0", merkle.CheckNodes(nil, 1, h, 0, h), "nodes: sequence 0: want 1 to 1, the size of the tree"},
		} {
			if tt.err == nil || tt.err.Error() != tt.want {
				t.Errorf("%s: %v, want %q", tt.name, tt.err, tt.want)
			}
		}
	})
	for _, size := range []fact.Seq{1<<61 + 1, 1 << 62, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64} {
		want := fmt.Sprintf(": size %d: want at most %d", size, uint64(1)<<61)
		for name, err := range map[string]error{
			"inclusion":   merkle.CheckInclusion(make([]merkle.Hash, 62), size, h, size, h),
			"consistency": merkle.CheckConsistency(make([]merkle.Hash, 62), 1, h, size, h),
			"nodes":       merkle.CheckNodes(nil, size, h, size/2, h),
		} {
			if err == nil || err.Error() != name+want {
				t.Errorf("%s of size %d: %v", name, size, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestLargest takes the largest tree, up to the point at which the proof, which is made up, does not fit the root.
func TestLargest(t *testing.T) {
	const size = 1 << 61
	var h merkle.Hash
	for _, size := range []fact.Seq{size, size - 1, size - 12345} {
		for _, seq := range []fact.Seq{1, 2, size / 2, size/2 + 1, size - 1, size} {
			nodes := map[int64]merkle.Hash{}
			proof, err := tlog.ProveRecord(int64(size), int64(seq-1), tlog.HashReaderFunc(func(indexes []int64) ([]merkle.Hash, error) {
				for _, index := range indexes {
					nodes[index] = h
				}
				return make([]merkle.Hash, len(indexes)), nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			for index := range nodes {
				if index < 0 {
					t.Fatalf("size %d, sequence %d: node %d", size, seq, index)
				}
			}
			for name, err := range map[string]error{
				"nodes":       merkle.CheckNodes(nodes, size, h, seq, h),
				"inclusion":   merkle.CheckInclusion(proof, size, h, seq, h),
				"consistency": merkle.CheckConsistency(proof, seq, flip(h), size, h),
			} {
				if err == nil || !strings.Contains(err.Error(), "invalid transparency proof") {
					t.Errorf("%s, size %d, sequence %d: %v", name, size, seq, err)
				}
			}
		}
	}
}

// TestDamaged wants an error of whatever needs a hash that is not there, and never a tree that goes on without it.
func TestDamaged(t *testing.T) {
	chunk := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	size := func(n uint64) func(kv.Tx) {
		return func(tx kv.Tx) { tx.Put("treesize", []byte("size"), chunk(n)) }
	}
	for _, tt := range []struct {
		name   string
		damage func(tx kv.Tx)
		want   string // of Append
	}{
		{"last chunk lost", func(tx kv.Tx) { tx.Delete("tree", chunk(3)) }, "hash 189 is missing"},
		{"last chunk short", func(tx kv.Tx) { tx.Put("tree", chunk(3), bytes.Clone(tx.Get("tree", chunk(3)))[:100]) }, "hash 189 is missing"},
		{"last chunk long", func(tx kv.Tx) { tx.Put("tree", chunk(3), append(bytes.Clone(tx.Get("tree", chunk(3))), 0)) }, "last chunk 3 has 1601 bytes, want 1600"},
		{"a chunk that the edge needs lost", func(tx kv.Tx) { tx.Delete("tree", chunk(2)) }, "hash 126 is missing"},
		{"size lost", func(tx kv.Tx) { tx.Delete("treesize", []byte("size")) }, "last chunk 0 has 1984 bytes, want 0"},
		{"size of seven bytes", func(tx kv.Tx) { tx.Put("treesize", []byte("size"), chunk(120)[:7]) }, "last chunk 0 has 1984 bytes, want 0"},
		{"size too small", size(119), "last chunk 3 has 1600 bytes"},
		{"size too large", size(121), "hash 236 is missing"},
		{"size beyond all", size(math.MaxUint64), "size 18446744073709551615: want at most 2305843009213693952"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := grow(t, leaves(120)) // 236 hashes
			err := store.Update(func(tx kv.Tx) error {
				tt.damage(tx)
				err := merkle.Append(tx, leaves(1)...)
				if err == nil || !strings.Contains(err.Error(), "tree: damaged: ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("append: %v, want %q", err, tt.want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	store := grow(t, leaves(120))
	if err := store.Update(func(tx kv.Tx) error { tx.Delete("tree", chunk(1)); return nil }); err != nil {
		t.Fatal(err)
	}
	read(t, store, func(r kv.Reader) {
		for name, err := range map[string]error{
			"root":        second(merkle.Root(r, 50)),
			"leaf":        second(merkle.LeafAt(r, 50)),
			"inclusion":   second(merkle.Inclusion(r, 120, 50)),
			"consistency": second(merkle.Consistency(r, 50, 120)),
			"nodes":       second(merkle.Nodes(r, 120, []fact.Seq{1, 50})),
		} {
			if err == nil || !strings.Contains(err.Error(), "is missing") {
				t.Errorf("%s without chunk 1: %v", name, err)
			}
		}
	})
}

// FuzzCheckNodes lays whatever it is given over the nodes of a real proof: a leaf that is not there is never taken.
func FuzzCheckNodes(f *testing.F) {
	d := leaves(21)
	root := d.root()
	var full map[int64]merkle.Hash
	read(f, grow(f, d), func(r kv.Reader) {
		var err error
		if full, err = merkle.Nodes(r, 21, []fact.Seq{1, 2, 9, 16, 20, 21}); err != nil {
			f.Fatal(err)
		}
	})
	f.Add(uint64(21), uint64(9), uint8(8), []byte{})
	f.Add(uint64(21), uint64(9), uint8(8), make([]byte, 40))
	f.Add(uint64(22), uint64(21), uint8(20), []byte{1})
	f.Add(uint64(1)<<61, uint64(5), uint8(4), []byte{0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3})
	f.Add(uint64(1)<<63-1, uint64(1)<<62, uint8(0), []byte{})
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint8(0), []byte{})
	f.Add(uint64(0), uint64(0), uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, size, seq uint64, leaf uint8, patch []byte) {
		nodes := maps.Clone(full)
		for ; len(patch) >= 8; patch = patch[min(len(patch), 40):] {
			var h merkle.Hash
			copy(h[:], patch[8:])
			nodes[int64(binary.BigEndian.Uint64(patch))] = h
		}
		h := d[int(leaf)%len(d)]
		err := merkle.CheckNodes(nodes, fact.Seq(size), root, fact.Seq(seq), h)
		if err == nil && size == 21 && (seq > 21 || d[seq-1] != h) {
			t.Errorf("leaf %d is taken at %d", leaf, seq)
		}
	})
}
