package view_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// BenchmarkFsync appends a page to a file and forces it to the disk: the machine's own limit of a durable commit.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fsyncs/s")
}

const benchPairs = 200_000

// filled makes a view of benchPairs pairs as the tap core has them: keys of 32 bytes and values of 45.
func filled(b *testing.B, path string) *view.Bolt {
	b.Helper()
	store, err := view.OpenBolt(path)
	if err != nil {
		b.Fatal(err)
	}
	view.WithoutSync(store)
	for from := 0; from < benchPairs; from += 5000 {
		if err := store.Update(func(tx kv.Tx) error {
			for i := from; i < from+5000; i++ {
				tx.Put("pair", benchKey(i), bytes.Repeat([]byte{byte(i) | 1}, 45))
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	return store
}

func benchKey(i int) []byte {
	key := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return key[:]
}

// BenchmarkGet reads values at random, with their checksums checked and without.
func BenchmarkGet(b *testing.B) {
	store := filled(b, filepath.Join(b.TempDir(), "tap.db"))
	defer store.Close()
	keys := make([][]byte, 4096)
	for i := range keys {
		keys[i] = benchKey(i * 31 % benchPairs)
	}
	for _, checked := range []bool{true, false} {
		b.Run(fmt.Sprintf("checked=%t", checked), func(b *testing.B) {
			if !checked {
				defer view.WithoutChecks(store)()
			}
			_ = store.View(func(r view.Reader) error {
				for i := 0; b.Loop(); i++ {
					if r.Get("pair", keys[i%len(keys)]) == nil {
						b.Fatal("no value")
					}
				}
				return nil
			})
		})
	}
}

// BenchmarkOpen opens a view, which is to read all of it, and BenchmarkPass reads all of it beside its use.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "tap.db")
	size := used(b, filled(b, path))
	for b.Loop() {
		store, err := view.OpenBolt(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(size)
	b.ReportMetric(float64(benchPairs*b.N)/b.Elapsed().Seconds(), "pairs/s")
}

func BenchmarkPass(b *testing.B) {
	store := filled(b, filepath.Join(b.TempDir(), "tap.db"))
	defer store.Close()
	for b.Loop() {
		if err := view.Pass(store); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchPairs*b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// used closes a view and returns the bytes of its pages.
func used(b *testing.B, store *view.Bolt) int64 {
	b.Helper()
	size := view.Used(store)
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	return size
}
