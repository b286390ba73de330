package view

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"pinfold/internal/kv"
)

// Memory is a Store in memory. Its transactions are copies on write, so that one that fails leaves no trace.
type Memory struct {
	mu        sync.Mutex // guards committed; never held while a caller's function runs
	committed buckets
}

type buckets map[string]*btree.Map[string, []byte]

// NewMemory returns an empty view.
func NewMemory() *Memory { return &Memory{committed: buckets{}} }

// Update implements Store.
func (m *Memory) Update(f func(kv.Tx) error) error {
	tx := &memoryTx{memoryReader: memoryReader{m.snapshot()}}
	if err := f(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return tx.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.committed = tx.buckets
	return nil
}

// View implements Store.
func (m *Memory) View(f func(Reader) error) error {
	return f(memoryReader{m.snapshot()})
}

// Close implements Store. The contents stay: a closed Memory can be used again as a file can be opened again.
func (m *Memory) Close() error { return nil }

func (m *Memory) snapshot() buckets {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := make(buckets, len(m.committed))
	for name, b := range m.committed {
		s[name] = b.Copy()
	}
	return s
}

type memoryReader struct{ buckets buckets }

func (r memoryReader) Get(bucket string, key []byte) []byte {
	b := r.buckets[bucket]
	if b == nil {
		return nil
	}
	v, _ := b.Get(string(key))
	return v
}

func (r memoryReader) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		b := r.buckets[bucket]
		if b == nil {
			return
		}
		b.Ascend(max(string(prefix), string(from)), func(k string, v []byte) bool {
			return strings.HasPrefix(k, string(prefix)) && yield([]byte(k), v)
		})
	}
}

func (r memoryReader) Buckets() []string {
	var names []string
	for name, b := range r.buckets {
		if b.Len() > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

type memoryTx struct {
	memoryReader
	err error
}

func (tx *memoryTx) Put(bucket string, key, value []byte) {
	if err := checkPut(bucket, key, value); err != nil {
		if tx.err == nil {
			tx.err = fmt.Errorf("view: %w", err)
		}
		return
	}
	b := tx.buckets[bucket]
	if b == nil {
		b = new(btree.Map[string, []byte])
		tx.buckets[bucket] = b
	}
	b.Set(string(key), slices.Clone(value))
}

func (tx *memoryTx) Delete(bucket string, key []byte) {
	if b := tx.buckets[bucket]; b != nil {
		b.Delete(string(key))
	}
}
