package view_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	bbolterrors "go.etcd.io/bbolt/errors"

	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestStore runs the contract of Store on all that implements it.
func TestStore(t *testing.T) {
	contract := []struct {
		name string
		test func(t *testing.T, s view.Store)
	}{
		{"GetPutDelete", testGetPutDelete},
		{"Scan", testScan},
		{"ScanBreaks", testScanBreaks},
		{"ScanWhileWritingElsewhere", testScanWhileWritingElsewhere},
		{"ReadOwnWrites", testReadOwnWrites},
		{"PutCopies", testPutCopies},
		{"Rollback", testRollback},
		{"Panic", testPanic},
		{"RefusedWrites", testRefusedWrites},
		{"Buckets", testBuckets},
		{"Digest", testDigest},
		{"DigestOfOneChange", testDigestOfOneChange},
		{"Isolation", testIsolation},
		{"Readers", testReaders},
	}
	for name, open := range map[string]func(t *testing.T) view.Store{
		"Bolt":   func(t *testing.T) view.Store { return openBolt(t) },
		"Memory": func(*testing.T) view.Store { return view.NewMemory() },
		"Scratch": func(t *testing.T) view.Store {
			s, err := view.OpenScratch(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range contract {
				t.Run(c.name, func(t *testing.T) {
					s := open(t)
					c.test(t, s)
					if b, ok := s.(*view.Bolt); ok {
						closeBolt(t, b)
					} else if err := s.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
			}
		})
	}
}

func openBolt(t testing.TB) *view.Bolt {
	t.Helper()
	return openBoltAt(t, filepath.Join(t.TempDir(), "views", "tap.db")) // the folder is made
}

// closeBolt closes a store after a look at the whole of its file.
func closeBolt(t interface{ Errorf(string, ...any) }, b *view.Bolt) {
	if err := view.Check(b); err != nil {
		t.Errorf("the file is inconsistent: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func openBoltAt(t testing.TB, path string) *view.Bolt {
	t.Helper()
	b, err := view.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents are what a view holds: bucket -> key -> value.
type contents map[string]map[string]string

func (c contents) put(bucket, key, value string) {
	if c[bucket] == nil {
		c[bucket] = map[string]string{}
	}
	c[bucket][key] = value
}

func (c contents) clone() contents {
	d := contents{}
	for bucket, kvs := range c {
		d[bucket] = maps.Clone(kvs)
	}
	return d
}

// write puts all of c in one transaction, in the order of the keys or against it.
func (c contents) write(t *testing.T, s view.Store, backwards bool) {
	t.Helper()
	mustUpdate(t, s, func(tx kv.Tx) {
		for _, bucket := range order(maps.Keys(c), backwards) {
			for _, key := range order(maps.Keys(c[bucket]), backwards) {
				tx.Put(bucket, []byte(key), []byte(c[bucket][key]))
			}
		}
	})
}

func order(keys func(func(string) bool), backwards bool) []string {
	sorted := slices.Sorted(keys)
	if backwards {
		slices.Reverse(sorted)
	}
	return sorted
}

func mustUpdate(t *testing.T, s view.Store, f func(tx kv.Tx)) {
	t.Helper()
	if err := s.Update(func(tx kv.Tx) error { f(tx); return nil }); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func mustView(t *testing.T, s view.Store, f func(r view.Reader)) {
	t.Helper()
	if err := s.View(func(r view.Reader) error { f(r); return nil }); err != nil {
		t.Fatalf("view: %v", err)
	}
}

// read returns all that the view holds, as Buckets and Scan tell it.
func read(t *testing.T, s view.Store) contents {
	t.Helper()
	c := contents{}
	mustView(t, s, func(r view.Reader) {
		for _, bucket := range r.Buckets() {
			for k, v := range r.Scan(bucket, nil, nil) {
				c.put(bucket, string(k), string(v))
			}
		}
	})
	return c
}

func wantContents(t *testing.T, s view.Store, want contents) {
	t.Helper()
	if got := read(t, s); !maps.EqualFunc(got, want, maps.Equal[map[string]string, map[string]string]) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// scan returns what a scan yields as one line.
func scan(r kv.Reader, bucket string, prefix, from []byte) string {
	var all []string
	for k, v := range r.Scan(bucket, prefix, from) {
		all = append(all, fmt.Sprintf("%s=%s", k, v))
	}
	return strings.Join(all, " ")
}

func testGetPutDelete(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		tx.Put("a", []byte("k"), []byte("1"))
		tx.Put("a", []byte("l"), []byte("2"))
		tx.Put("b", []byte("k"), []byte("3"))
	})
	mustUpdate(t, s, func(tx kv.Tx) {
		tx.Put("a", []byte("k"), []byte("one"))
		tx.Delete("a", []byte("l"))
		tx.Delete("a", []byte("never there"))
		tx.Delete("no bucket", []byte("k"))
	})
	mustView(t, s, func(r view.Reader) {
		for _, tt := range []struct{ bucket, key, want string }{
			{"a", "k", "one"}, {"b", "k", "3"}, {"a", "l", ""}, {"b", "l", ""}, {"c", "k", ""}, {"", "k", ""}, {"a", "", ""},
		} {
			got := r.Get(tt.bucket, []byte(tt.key))
			if string(got) != tt.want || (got == nil) != (tt.want == "") {
				t.Errorf("%q %q: got %q, want %q, or nil for none", tt.bucket, tt.key, got, tt.want)
			}
		}
	})
}

func testScan(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		for _, k := range []string{"b2", "a", "c", "b", "b10", "b1", "\x00", "\xff", "\xff\xff"} {
			tx.Put("x", []byte(k), []byte("v"+k))
		}
		tx.Put("w", []byte("b5"), []byte("another bucket"))
	})
	for _, tt := range []struct {
		prefix, from string
		want         string
	}{
		{"", "", "\x00=v\x00 a=va b=vb b1=vb1 b10=vb10 b2=vb2 c=vc \xff=v\xff \xff\xff=v\xff\xff"},
		{"b", "", "b=vb b1=vb1 b10=vb10 b2=vb2"},
		{"b1", "", "b1=vb1 b10=vb10"},
		{"b", "b1", "b1=vb1 b10=vb10 b2=vb2"},
		{"b", "b11", "b2=vb2"},                    // between two keys
		{"b", "a", "b=vb b1=vb1 b10=vb10 b2=vb2"}, // before the prefix
		{"b", "b3", ""}, // behind the last of the prefix
		{"b", "c", ""},  // behind the prefix
		{"b1", "b", "b1=vb1 b10=vb10"},
		{"", "b2", "b2=vb2 c=vc \xff=v\xff \xff\xff=v\xff\xff"},
		{"\xff", "", "\xff=v\xff \xff\xff=v\xff\xff"},
		{"\xff\xff\xff", "", ""},
		{"d", "", ""},
	} {
		mustView(t, s, func(r view.Reader) {
			if got := scan(r, "x", []byte(tt.prefix), []byte(tt.from)); got != tt.want {
				t.Errorf("prefix %q from %q: got %q, want %q", tt.prefix, tt.from, got, tt.want)
			}
		})
		// A transaction sees the same, before it has written and after.
		mustUpdate(t, s, func(tx kv.Tx) {
			if got := scan(tx, "x", []byte(tt.prefix), []byte(tt.from)); got != tt.want {
				t.Errorf("prefix %q from %q in a transaction: got %q, want %q", tt.prefix, tt.from, got, tt.want)
			}
		})
	}
	mustView(t, s, func(r view.Reader) {
		if got := scan(r, "no bucket", nil, nil); got != "" {
			t.Errorf("no bucket: got %q, want nothing", got)
		}
	})
}

func testScanBreaks(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		for i := range 10 {
			tx.Put("x", []byte{'a' + byte(i)}, []byte("v"))
		}
	})
	mustView(t, s, func(r view.Reader) {
		all := r.Scan("x", nil, nil)
		for range 2 { // a scan can be gone through again
			var got []byte
			for k := range all {
				got = append(got, k...)
				if len(got) == 3 {
					break
				}
			}
			if string(got) != "abc" {
				t.Errorf("got %q, want %q", got, "abc")
			}
		}
	})
}

func testScanWhileWritingElsewhere(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		for i := range 100 {
			tx.Put("due", fmt.Appendf(nil, "%03d", i), []byte("v"))
		}
	})
	mustUpdate(t, s, func(tx kv.Tx) {
		n := 0
		for k, v := range tx.Scan("due", nil, nil) {
			tx.Put(fmt.Sprintf("done%d", n%3), k, v)
			n++
		}
		if n != 100 {
			t.Errorf("got %d keys, want 100", n)
		}
	})
}

func testReadOwnWrites(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		tx.Put("x", []byte("a"), []byte("1"))
		tx.Put("x", []byte("c"), []byte("3"))
	})
	mustUpdate(t, s, func(tx kv.Tx) {
		tx.Put("x", []byte("b"), []byte("2"))
		tx.Put("x", []byte("a"), []byte("one"))
		tx.Delete("x", []byte("c"))
		tx.Put("new", []byte("k"), []byte("v"))
		if got, want := scan(tx, "x", nil, nil), "a=one b=2"; got != want {
			t.Errorf("scan: got %q, want %q", got, want)
		}
		for _, tt := range []struct{ bucket, key, want string }{{"x", "a", "one"}, {"x", "b", "2"}, {"x", "c", ""}, {"new", "k", "v"}} {
			if got := string(tx.Get(tt.bucket, []byte(tt.key))); got != tt.want {
				t.Errorf("%s %s: got %q, want %q", tt.bucket, tt.key, got, tt.want)
			}
		}
		tx.Put("x", []byte("c"), []byte("again"))
		tx.Delete("new", []byte("k"))
		if got, want := scan(tx, "x", nil, nil), "a=one b=2 c=again"; got != want {
			t.Errorf("scan: got %q, want %q", got, want)
		}
		if got := tx.Get("new", []byte("k")); got != nil {
			t.Errorf("got %q, want none", got)
		}
	})
	wantContents(t, s, contents{"x": {"a": "one", "b": "2", "c": "again"}})
}

// testPutCopies reuses a key and a value, as a core with a scratch buffer does, and keeps what Get handed out.
func testPutCopies(t *testing.T, s view.Store) {
	mustUpdate(t, s, func(tx kv.Tx) {
		key, value := []byte("k1"), []byte("v1")
		tx.Put("x", key, value)
		first := tx.Get("x", []byte("k1"))
		copy(key, "k2")
		copy(value, "v2")
		tx.Put("x", key, value)
		copy(key, "zz")
		copy(value, "zz")
		tx.Put("x", []byte("k1"), []byte("v9"))
		if string(first) != "v1" {
			t.Errorf("got %q behind a later write, want v1: it is valid until the transaction ends", first)
		}
	})
	wantContents(t, s, contents{"x": {"k1": "v9", "k2": "v2"}})
}

func testRollback(t *testing.T, s view.Store) {
	had := contents{"x": {"a": "1", "b": "2"}}
	had.write(t, s, false)
	broken := errors.New("broken")
	err := s.Update(func(tx kv.Tx) error {
		tx.Put("x", []byte("a"), []byte("one"))
		tx.Delete("x", []byte("b"))
		tx.Put("new", []byte("k"), []byte("v"))
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	wantContents(t, s, had)
	if err := s.View(func(view.Reader) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("view: got %v, want %v", err, broken)
	}
	mustUpdate(t, s, func(tx kv.Tx) { tx.Put("x", []byte("c"), []byte("3")) })
	wantContents(t, s, contents{"x": {"a": "1", "b": "2", "c": "3"}})
}

// testPanic checks that a core that panics leaves no trace, and no lock.
func testPanic(t *testing.T, s view.Store) {
	contents{"x": {"a": "1"}}.write(t, s, false)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("got no panic")
			}
		}()
		_ = s.Update(func(tx kv.Tx) error {
			tx.Put("x", []byte("a"), []byte("one"))
			panic("a bug in a core")
		})
	}()
	wantContents(t, s, contents{"x": {"a": "1"}})
	mustUpdate(t, s, func(tx kv.Tx) { tx.Put("x", []byte("b"), []byte("2")) })
	wantContents(t, s, contents{"x": {"a": "1", "b": "2"}})
}

// testRefusedWrites checks that after a write that cannot be kept nothing of the transaction is.
func testRefusedWrites(t *testing.T, s view.Store) {
	had := contents{"x": {"a": "1"}}
	had.write(t, s, false)
	long := bytes.Repeat([]byte("k"), 32768)
	for _, tt := range []struct {
		name, bucket string
		key, value   []byte
	}{
		{"nil key", "x", nil, []byte("v")},
		{"empty key", "x", []byte{}, []byte("v")},
		{"nil value", "x", []byte("k"), nil},
		{"empty value", "x", []byte("k"), []byte{}},
		{"empty value in a new bucket", "new", []byte("k"), []byte{}},
		{"empty key in a new bucket", "new", nil, []byte("v")},
		{"bucket without a name", "", []byte("k"), []byte("v")},
		{"key too long", "x", append(long, 'k'), []byte("v")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ran := false
			err := s.Update(func(tx kv.Tx) error {
				tx.Put("x", []byte("before"), []byte("v"))
				tx.Put(tt.bucket, tt.key, tt.value)
				tx.Put("x", []byte("behind"), []byte("v"))
				ran = true // the core notices nothing
				return nil
			})
			if err == nil || !ran || strings.Count(err.Error(), "view:") != 1 {
				t.Errorf("got %v, want an error of the view, at the end of the transaction", err)
			}
			wantContents(t, s, had)
		})
	}
	mustUpdate(t, s, func(tx kv.Tx) { tx.Put("x", long, []byte("v")) }) // as long as bbolt takes
	wantContents(t, s, contents{"x": {"a": "1", string(long): "v"}})
}

func testBuckets(t *testing.T, s view.Store) {
	buckets := func() (names []string) {
		mustView(t, s, func(r view.Reader) { names = r.Buckets() })
		return names
	}
	if got := buckets(); len(got) > 0 {
		t.Errorf("empty view: got %q", got)
	}
	mustUpdate(t, s, func(tx kv.Tx) {
		for _, b := range []string{"pin", "due", "pair", "p", "\xff"} {
			tx.Put(b, []byte("k"), []byte("v"))
		}
	})
	if got, want := buckets(), []string{"due", "p", "pair", "pin", "\xff"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	mustUpdate(t, s, func(tx kv.Tx) { tx.Delete("pair", []byte("k")) })
	if got, want := buckets(), []string{"due", "p", "pin", "\xff"}; !slices.Equal(got, want) {
		t.Errorf("with one emptied: got %q, want %q", got, want)
	}
}

func digest(t *testing.T, s view.Store, except ...string) (d view.Digest) {
	t.Helper()
	mustView(t, s, func(r view.Reader) { d = view.DigestOf(r, except...) })
	return d
}

// expected computes a digest from its definition: bucket, key and value of each entry, each behind its length.
func (c contents) digest() view.Digest {
	var all []byte
	add := func(s string) {
		all = binary.BigEndian.AppendUint64(all, uint64(len(s)))
		all = append(all, s...)
	}
	for _, bucket := range slices.Sorted(maps.Keys(c)) {
		for _, key := range slices.Sorted(maps.Keys(c[bucket])) {
			add(bucket)
			add(key)
			add(c[bucket][key])
		}
	}
	return sha256.Sum256(all)
}

func testDigest(t *testing.T, s view.Store) {
	if got, want := digest(t, s), (contents{}).digest(); got != want {
		t.Errorf("empty view: got %v, want %v", got, want)
	}
	c := contents{}
	for i := range 2000 { // some 100 kB, more than is hashed at once
		c.put(fmt.Sprint("bucket", i%3), fmt.Sprint("key", i), strings.Repeat("v", i%100+1))
	}
	c.put("runner", "p", "a position")
	c.write(t, s, false)
	if got, want := digest(t, s), c.digest(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	except := c.clone()
	delete(except, "runner")
	delete(except, "bucket1")
	if got, want := digest(t, s, "bucket1", "runner", "no bucket"), except.digest(); got != want {
		t.Errorf("without two buckets: got %v, want %v", got, want)
	}
	// The same contents by another way: written backwards, over other values, with entries and a bucket that go again.
	mustUpdate(t, s, func(tx kv.Tx) {
		for bucket, kvs := range c {
			for key := range kvs {
				tx.Delete(bucket, []byte(key))
			}
		}
		tx.Put("bucket0", []byte("gone"), []byte("v"))
		tx.Put("gone", []byte("k"), []byte("v"))
		tx.Put("bucket2", []byte("key2"), []byte("another"))
	})
	c.write(t, s, true)
	mustUpdate(t, s, func(tx kv.Tx) {
		tx.Delete("bucket0", []byte("gone"))
		tx.Delete("gone", []byte("k"))
	})
	if got, want := digest(t, s), c.digest(); got != want {
		t.Errorf("written again: got %v, want %v", got, want)
	}
}

// testDigestOfOneChange makes each small change to the same contents and wants a digest of its own for each.
func testDigestOfOneChange(t *testing.T, s view.Store) {
	base := contents{"pair": {"ab": "cd", "ac": "ce"}, "pin": {"k": "v"}}
	changes := map[string]func(c contents){
		"none":                             func(contents) {},
		"a value":                          func(c contents) { c["pair"]["ab"] = "ce" },
		"a longer value":                   func(c contents) { c["pair"]["ab"] = "cd\x00" },
		"a key":                            func(c contents) { delete(c["pair"], "ab"); c["pair"]["aa"] = "cd" },
		"a byte from the key to the value": func(c contents) { delete(c["pair"], "ab"); c["pair"]["a"] = "bcd" },
		"a byte from the value to the key": func(c contents) { delete(c["pair"], "ab"); c["pair"]["abc"] = "d" },
		"a byte from the bucket to the key": func(c contents) {
			delete(c, "pin")
			c.put("pi", "nk", "v")
		},
		"an entry to another bucket": func(c contents) { delete(c["pair"], "ab"); c["pin"]["ab"] = "cd" },
		"one more":                   func(c contents) { c["pin"]["l"] = "v" },
		"one more bucket":            func(c contents) { c.put("q", "k", "v") },
		"one less":                   func(c contents) { delete(c["pair"], "ac") },
		"one bucket less":            func(c contents) { delete(c, "pin") },
		"two values swapped":         func(c contents) { c["pair"]["ab"], c["pair"]["ac"] = "ce", "cd" },
		"two entries joined":         func(c contents) { c["pair"] = map[string]string{"ab": "cdac" + "ce"} },
	}
	seen := map[view.Digest]string{}
	for name, change := range changes {
		c := base.clone()
		change(c)
		mustUpdate(t, s, func(tx kv.Tx) { // away with what the change before left
			for bucket, kvs := range read(t, s) {
				for key := range kvs {
					tx.Delete(bucket, []byte(key))
				}
			}
		})
		c.write(t, s, false)
		d := digest(t, s)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s: got the same digest", name, other)
		}
		seen[d] = name
		if len(d.String()) != 64 || strings.Trim(d.String(), "0123456789abcdef") != "" {
			t.Errorf("got %q, want 64 hex digits", d)
		}
	}
}

// testIsolation commits while a View runs: the View stays on its state, the next one sees the new.
func testIsolation(t *testing.T, s view.Store) {
	contents{"x": {"a": "1", "b": "1"}}.write(t, s, false)
	mustView(t, s, func(r view.Reader) {
		for i := range 3 {
			mustUpdate(t, s, func(tx kv.Tx) {
				tx.Put("x", []byte("a"), fmt.Appendf(nil, "new%d", i))
				tx.Delete("x", []byte("b"))
				tx.Put("y", []byte("c"), []byte("1"))
				for k := range 300 { // much more than a new file holds: growing must not wait for who reads
					tx.Put("z", fmt.Appendf(nil, "%d-%d", i, k), make([]byte, 4096))
				}
			})
			if got, want := scan(r, "x", nil, nil), "a=1 b=1"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := r.Get("y", []byte("c")); got != nil {
				t.Errorf("got %q, want none", got)
			}
			if got, want := r.Buckets(), []string{"x"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	mustUpdate(t, s, func(tx kv.Tx) {
		for i := range 3 {
			for k := range 300 {
				tx.Delete("z", fmt.Appendf(nil, "%d-%d", i, k))
			}
		}
	})
	wantContents(t, s, contents{"x": {"a": "new2"}, "y": {"c": "1"}})

	// A transaction that is not committed is seen by nobody.
	_ = s.Update(func(tx kv.Tx) error {
		tx.Put("x", []byte("a"), []byte("not yet"))
		wantContents(t, s, contents{"x": {"a": "new2"}, "y": {"c": "1"}})
		return nil
	})
	wantContents(t, s, contents{"x": {"a": "not yet"}, "y": {"c": "1"}})
}

// testReaders reads from several goroutines while one writes. Each transaction writes the same number under all keys, so
// a state that mixes two of them shows.
func testReaders(t *testing.T, s view.Store) {
	const keys, commits, readers = 50, 40, 4
	write := func(n int) {
		mustUpdate(t, s, func(tx kv.Tx) {
			for k := range keys {
				tx.Put(fmt.Sprint("b", k%3), []byte{1, byte(k)}, fmt.Appendf(nil, "%d", n))
			}
		})
	}
	write(0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for last := ""; ; {
				select {
				case <-done:
					return
				default:
				}
				values := map[string]bool{}
				_ = s.View(func(r view.Reader) error {
					for _, b := range r.Buckets() {
						for _, v := range r.Scan(b, nil, nil) {
							values[string(v)] = true
							last = string(v)
						}
					}
					return nil
				})
				if len(values) != 1 {
					t.Errorf("got the values %v in one view, the last one %s, want one value", values, last)
					return
				}
			}
		})
	}
	for n := range commits {
		write(n + 1)
	}
	close(done)
	wg.Wait()
}

func TestReopenBolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	c := contents{"x": {"a": "1", "b": "2"}, "y": {"c": "3"}}
	b := openBoltAt(t, path)
	c.write(t, b, false)
	closeBolt(t, b)
	b = openBoltAt(t, path)
	wantContents(t, b, c)
	if got, want := digest(t, b), c.digest(); got != want {
		t.Errorf("got digest %v, want %v", got, want)
	}
	mustUpdate(t, b, func(tx kv.Tx) { tx.Delete("y", []byte("c")) })
	closeBolt(t, b)
	b = openBoltAt(t, path)
	wantContents(t, b, contents{"x": {"a": "1", "b": "2"}})
	closeBolt(t, b)
}

func TestReopenMemory(t *testing.T) {
	m := view.NewMemory()
	c := contents{"x": {"a": "1"}}
	c.write(t, m, false)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, m, c)
}

func TestOpenBoltTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	b := openBoltAt(t, path)
	if second, err := view.OpenBolt(path); !errors.Is(err, bbolterrors.ErrTimeout) ||
		!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, %v, want a timeout that names the file and the likely reason", second, err)
	}
	contents{"x": {"a": "1"}}.write(t, b, false) // the first is as good as before
	closeBolt(t, b)
	b = openBoltAt(t, path)
	wantContents(t, b, contents{"x": {"a": "1"}})
	closeBolt(t, b)
}

func TestOpenBoltRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"a folder":     dir,
		"below a file": filepath.Join(notADatabase(t, dir), "tap.db"),
	} {
		if b, err := view.OpenBolt(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, %v, want an error that names %s", name, b, err, path)
		}
	}
}

// notADatabase writes a file that bbolt did not.
func notADatabase(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
