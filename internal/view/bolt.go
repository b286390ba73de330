package view

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"pinfold/internal/kv"
)

// Bolt is a Store in one bbolt file, which notices when the file is damaged: a transaction that meets damage is a
// *DamagedError, and so is every later one.
type Bolt struct {
	db       *bbolt.DB
	path     string
	file     *os.File // bbolt's own, to be read beside it; nil of a scratch file
	pageSize uint64
	cache    bool   // the file can be made again
	sums     bool   // the file has checksums: all but scratch files, and those of the first format
	remove   string // path of the file that Close is to remove, or ""
	remade   error  // see Remade

	condemning sync.Once
	condemned  chan struct{} // closed when damage was met
	damaged    error         // what it was
}

// Update implements Store.
func (b *Bolt) Update(f func(kv.Tx) error) (err error) {
	return b.transact(true, func(r *boltReader) error {
		tx := &boltTx{boltReader: r}
		tx.begin()
		if err := f(tx); err != nil {
			return err
		}
		return tx.commit()
	})
}

// View implements Store.
func (b *Bolt) View(f func(Reader) error) error {
	return b.transact(false, func(r *boltReader) error { return f(r) })
}

// transact runs f in a transaction of bbolt, which it rolls back unless f committed it.
func (b *Bolt) transact(writable bool, f func(*boltReader) error) (err error) {
	if err := b.sound(); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer b.caught(&err)
	tx, err := b.begin(writable)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // of what was committed it is none
	return f(newBoltReader(b, tx))
}

// begin begins a transaction of bbolt, which takes the newer of the meta pages that hold. It does so behind its locks and
// panics where neither holds: nothing that is open could end then, nor could the file be closed. So look first.
func (b *Bolt) begin(writable bool) (*bbolt.Tx, error) {
	if err := b.checkMeta(writable); err != nil {
		return nil, b.condemn(err.Error())
	}
	defer guard()
	return b.db.Begin(writable)
}

// checkMeta returns an error where bbolt cannot begin. Who is to write wants both meta pages, as who opens a file does; who
// reads may come while one of them is written.
func (b *Bolt) checkMeta(writable bool) (err error) {
	switch {
	case b.file == nil:
		return nil
	case writable:
		_, err = readMeta(b.file, math.MaxInt64)
		return err
	}
	for range 3 { // two commits may go by while the two are read
		for id := range uint64(2) {
			if _, err = metaPage(b.file, math.MaxInt64, id, b.pageSize); err == nil {
				return nil
			}
		}
	}
	return err
}

// Close implements Store.
func (b *Bolt) Close() error {
	err := b.db.Close()
	if b.remove != "" {
		err = errors.Join(err, os.Remove(b.remove))
		b.remove = ""
	}
	return err
}

// boltReader remembers the buckets it has found, since a look-up by name walks the root page each time.
type boltReader struct {
	tx    *bbolt.Tx
	sums  bool
	found map[string]*boltBucket
	checksummer
}

type boltBucket struct {
	*bbolt.Bucket
	name string
	seed uint64
}

func newBoltReader(b *Bolt, tx *bbolt.Tx) *boltReader {
	return &boltReader{tx: tx, sums: b.sums, found: make(map[string]*boltBucket, 16)}
}

// bucket returns nil when there is none.
func (r *boltReader) bucket(name string) *boltBucket {
	b := r.found[name]
	if b == nil {
		defer guard()
		if found := r.tx.Bucket([]byte(name)); found != nil {
			b = r.remember(name, found)
		}
	}
	return b
}

func (r *boltReader) remember(name string, found *bbolt.Bucket) *boltBucket {
	b := &boltBucket{Bucket: found, name: name, seed: seedOf(name)}
	r.found[name] = b
	return b
}

// get returns the value as it is stored.
func (b *boltBucket) get(key []byte) []byte {
	defer guard()
	return b.Get(key)
}

// open returns the value of what is stored.
func (r *boltReader) open(b *boltBucket, key, stored []byte) []byte {
	if !r.sums {
		return stored
	}
	value, checksum, ok := split(stored)
	if !ok || r.of(b.seed, key, value) != checksum {
		panic(damage{"bucket " + b.name + ": a value does not have its checksum"})
	}
	return value
}

func (r *boltReader) Get(bucket string, key []byte) []byte {
	b := r.bucket(bucket)
	if b == nil {
		return nil
	}
	stored := b.get(key)
	if stored == nil {
		return nil
	}
	return r.open(b, key, stored)
}

func (r *boltReader) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		b := r.bucket(bucket)
		if b == nil {
			return
		}
		start := prefix
		if bytes.Compare(from, prefix) > 0 {
			start = from
		}
		c := cursor{b.Cursor()}
		for k, v := c.seek(start); k != nil && bytes.HasPrefix(k, prefix); k, v = c.next() {
			if !yield(k, r.open(b, k, v)) {
				return
			}
		}
	}
}

// cursor is bbolt's, guarded.
type cursor struct{ c *bbolt.Cursor }

func (c cursor) seek(key []byte) (k, v []byte) {
	defer guard()
	return c.c.Seek(key)
}

func (c cursor) next() (k, v []byte) {
	defer guard()
	return c.c.Next()
}

func (r *boltReader) Buckets() []string {
	defer guard()
	var names []string
	c := r.tx.Cursor()
	for name, _ := c.First(); name != nil; name, _ = c.Next() {
		if k, _ := r.tx.Bucket(name).Cursor().First(); k != nil && !reserved(string(name)) {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return names
}

// reserved reports whether the bucket is one of this package.
func reserved(bucket string) bool { return strings.HasPrefix(bucket, ".") }

type boltTx struct {
	*boltReader
	summary summary // of what the transaction leaves
	err     error
}

func (tx *boltTx) fail(err error) {
	if tx.err == nil && err != nil {
		tx.err = fmt.Errorf("view: %w", err)
	}
}

func (tx *boltTx) Put(bucket string, key, value []byte) {
	if err := checkPut(bucket, key, value); err != nil {
		tx.fail(err)
		return
	}
	b := tx.bucket(bucket)
	if b == nil {
		if b = tx.create(bucket); b == nil {
			return
		}
	}
	// bbolt keeps the value's slice, not a copy, until the commit; the caller may reuse it.
	if !tx.sums {
		tx.fail(b.put(key, bytes.Clone(value)))
		return
	}
	tx.forget(b, key)
	stored, checksum := tx.seal(b.seed, key, value)
	tx.summary.add(checksum)
	tx.fail(b.put(key, stored))
}

func (tx *boltTx) create(bucket string) *boltBucket {
	defer guard()
	made, err := tx.tx.CreateBucket([]byte(bucket))
	if err != nil {
		tx.fail(err)
		return nil
	}
	return tx.remember(bucket, made)
}

func (b *boltBucket) put(key, stored []byte) error {
	defer guard()
	return b.Put(key, stored)
}

func (tx *boltTx) Delete(bucket string, key []byte) {
	if b := tx.bucket(bucket); b != nil {
		if tx.sums {
			tx.forget(b, key)
		}
		tx.fail(b.remove(key))
	}
}

func (b *boltBucket) remove(key []byte) error {
	defer guard()
	return b.Delete(key)
}

// forget takes the pair of the key, if there is one, out of the summary.
func (tx *boltTx) forget(b *boltBucket, key []byte) {
	if stored := b.get(key); stored != nil {
		_, checksum, _ := split(stored) // a wrong one makes a wrong summary, which is noticed
		tx.summary.remove(checksum)
	}
}

// begin reads the summary that the transaction before left.
func (tx *boltTx) begin() {
	if !tx.sums {
		return
	}
	v := tx.Get(sumBucket, sumKey)
	if v == nil {
		panic(damage{"its summary is missing"})
	}
	_, tx.summary = decodeSummary(v)
}

// commit writes the summary and commits.
func (tx *boltTx) commit() error {
	if tx.err == nil && tx.sums {
		b := tx.bucket(sumBucket)
		stored, _ := tx.seal(b.seed, sumKey, tx.summary.encode())
		tx.fail(b.put(sumKey, stored))
	}
	if tx.err != nil {
		return tx.err
	}
	defer guard()
	return tx.tx.Commit()
}
