package merkle_test

import (
	"os"
	"path/filepath"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
)

// batch is how many leaves a transaction of the benchmarks appends.
const batch = 1000

func BenchmarkAppendMemory(b *testing.B) { benchmarkAppend(b, view.NewMemory()) }

// BenchmarkAppendBolt forces each batch to the disk. It also tells what a leaf takes in the file, and shows that no more
// of a page than must be is empty: a leaf has two hashes of 32 bytes.
func BenchmarkAppendBolt(b *testing.B) {
	path := filepath.Join(b.TempDir(), "tree")
	store, err := view.OpenBolt(path)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	benchmarkAppend(b, store)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N*batch), "filebytes/leaf")
}

func benchmarkAppend(b *testing.B, store view.Store) {
	d := leaves(batch)
	for b.Loop() {
		if err := store.Update(func(tx kv.Tx) error { return merkle.Append(tx, d...) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkEdge(b *testing.B) {
	var edge merkle.Edge
	leaf := leaves(1)[0]
	for b.Loop() {
		edge.Add(leaf)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkInclusion proves one leaf of 100,000.
func BenchmarkInclusion(b *testing.B) {
	const size = 100_000
	store := grow(b, leaves(size))
	read(b, store, func(r kv.Reader) {
		seq := fact.Seq(1)
		for b.Loop() {
			if _, err := merkle.Inclusion(r, size, seq); err != nil {
				b.Fatal(err)
			}
			seq = seq%size + 1
		}
	})
}
