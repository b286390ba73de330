package view_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"pinfold/internal/kv"
	"pinfold/internal/view"
)

var seed = flag.Uint64("seed", 0, "seed of the flips; 0 = a random one, printed")

func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64N(1 << 40)
	}
	t.Logf("seed %d; again: -seed %d", s, s)
	return rand.New(rand.NewPCG(s, 0))
}

// some are contents with branch pages, inline buckets and a value over several pages.
func some() contents {
	c := contents{}
	for i := range 300 {
		c.put("half", fmt.Sprintf("key %06d", i*7919%300), strings.Repeat("value", i%9+1))
	}
	c.put("small", "k", "v")
	c.put("large", "k", strings.Repeat("long", 2500))
	return c
}

// writeView makes a view of the contents, in several transactions so that pages come free, and returns its bytes.
func writeView(t *testing.T, path string, c contents) []byte {
	t.Helper()
	b := view.WithoutSync(openBoltAt(t, path))
	for range 2 {
		c.write(t, b, false)
		mustUpdate(t, b, func(tx kv.Tx) {
			for i := range 100 {
				tx.Put("gone", fmt.Appendf(nil, "key %d", i), []byte("value"))
			}
		})
		mustUpdate(t, b, func(tx kv.Tx) {
			for i := range 100 {
				tx.Delete("gone", fmt.Appendf(nil, "key %d", i))
			}
		})
	}
	closeBolt(t, b)
	// bbolt makes a file longer than it needs.
	content := readFile(t, path)
	used := len(bytes.TrimRight(content, "\x00"))
	content = content[:(used+page-1)/page*page]
	writeAt(t, path, content)
	return content
}

const page = 4096

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeAt(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEveryByte flips a bit of every fourth byte of a file in turn. What the check lets pass does no harm, be it all at once.
func TestEveryByte(t *testing.T) {
	rng := newRand(t)
	path := filepath.Join(t.TempDir(), "tap.db")
	c := some()
	content := writeView(t, path, c)
	end := len(content)
	harmless, found := bytes.Clone(content), 0
	for i := rng.IntN(4); i < end; i += 4 {
		bit := byte(1) << rng.IntN(8)
		content[i] ^= bit
		if format, err := view.CheckFile(content); err != nil || format != view.Format {
			found++
		} else {
			harmless[i] ^= bit
		}
		content[i] ^= bit
	}
	t.Logf("%d of %d flips were found", found, end/4)
	if found < end/4/10 {
		t.Errorf("%d of %d flips were found: want more, though most pages are free", found, end/4)
	}
	writeAt(t, path, harmless)
	b := openBoltAt(t, path)
	if err := b.Remade(); err != nil {
		t.Fatalf("flips that do no harm one by one do together: %v", err)
	}
	wantContents(t, b, c)
	for range 3 {
		c.put("half", fmt.Sprint(rng.Uint64()), "more")
		c.put("large", "k", strings.Repeat("more", 3000))
		c.write(t, view.WithoutSync(b), true)
	}
	wantContents(t, b, c)
	if err := errors.Join(view.Pass(b), b.Close()); err != nil { // bbolt's own look finds pages that no list names, which is no harm
		t.Error(err)
	}
	if format, err := view.CheckFile(readFile(t, path)); err != nil || format != view.Format {
		t.Errorf("behind more writes: format %d, %v", format, err)
	}
}

// TestZeroed zeroes and cuts a file page by page.
func TestZeroed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	content := writeView(t, path, some())
	for at := 0; at < len(content); at += page {
		zeroed := bytes.Clone(content)
		clear(zeroed[at:min(at+page, len(zeroed))])
		for name, damaged := range map[string][]byte{"zeroed": zeroed, "cut": content[:at], "cut within": content[:at+1]} {
			writeAt(t, path, damaged)
			b, err := view.OpenReadOnly(path)
			if err != nil {
				if _, ok := errors.AsType[*view.DamagedError](err); !ok || !strings.Contains(err.Error(), path) {
					t.Errorf("%s at %d: got %v, want a damaged file that is named", name, at, err)
				}
				continue
			}
			wantContents(t, b, some())
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDamagedCache: a damaged cache is set aside and made anew, once; one of the first format is not called damaged.
func TestDamagedCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	content := writeView(t, path, some())
	for name, damaged := range map[string][]byte{
		"empty": {}, "short": []byte("no view"), "of another kind": bytes.Repeat([]byte("not a database\n"), 1000),
		"zeroed": make([]byte, len(content)), "cut": content[:len(content)/2],
	} {
		writeAt(t, path, damaged)
		if _, err := view.OpenReadOnly(path); !isDamaged(err) {
			t.Errorf("%s: to be read: got %v", name, err)
		}
		b := openBoltAt(t, path)
		wantContents(t, b, contents{})
		reason, ok := errors.AsType[*view.DamagedError](b.Remade())
		if !ok || reason.Path != path || !reason.Cache || !strings.Contains(reason.Error(), path) {
			t.Errorf("%s: got %v", name, b.Remade())
		} else if aside := readFile(t, reason.Aside); !bytes.Equal(aside, damaged) {
			t.Errorf("%s: %d other bytes were set aside", name, len(aside))
		}
		contents{"x": {"a": "1"}}.write(t, b, false)
		closeBolt(t, b)
		b = openBoltAt(t, path)
		if b.Remade() != nil {
			t.Errorf("%s: made anew again: %v", name, b.Remade())
		}
		wantContents(t, b, contents{"x": {"a": "1"}})
		closeBolt(t, b)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v (%v), want the view and the last one that was damaged", left, err)
	}
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*view.DamagedError](err)
	return ok
}

// writeFirstFormat writes a file as the first version did: bbolt and nothing else.
func writeFirstFormat(t *testing.T, path string, c contents) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error {
		for name, pairs := range c {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for k, v := range pairs {
				if err := b.Put([]byte(k), []byte(v)); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestFirstFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	writeFirstFormat(t, path, some())
	other, ok := errors.AsType[*view.FormatError](second(view.OpenReadOnly(path)))
	if !ok || other.Format != 1 || !strings.Contains(other.Error(), path) {
		t.Errorf("to be read: got %v", other)
	}
	b := openBoltAt(t, path)
	wantContents(t, b, contents{})
	if _, ok := errors.AsType[*view.FormatError](b.Remade()); !ok {
		t.Errorf("got %v", b.Remade())
	}
	closeBolt(t, b)
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v (%v), want the view", left, err)
	}
}

func second[T any](_ T, err error) error { return err }

var errNotGood = errors.New("not good")

// TestKept: a file that is no cache is refused where it is damaged, and taken over once from the first format.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "signed.db")
	never := func(view.Reader, kv.Tx) error { t.Error("taken over"); return nil }
	open := func(takeOver func(view.Reader, kv.Tx) error) *view.Bolt {
		t.Helper()
		b, err := view.OpenKept(path, takeOver)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open(never)
	some().write(t, b, false)
	closeBolt(t, b)
	b = open(never)
	wantContents(t, b, some())
	closeBolt(t, b)

	good := readFile(t, path)
	for name, damaged := range map[string][]byte{
		"empty": {}, "short": []byte("no view"), "zeroed": make([]byte, len(good)), "cut": good[:3*page], "a meta page": flipped(good, 70),
	} {
		writeAt(t, path, damaged)
		_, err := view.OpenKept(path, never)
		reason, ok := errors.AsType[*view.DamagedError](err)
		if !ok || reason.Cache || reason.Aside != "" || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
		if !bytes.Equal(readFile(t, path), damaged) {
			t.Errorf("%s: the file was changed", name)
		}
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	writeFirstFormat(t, path, some())
	first := readFile(t, path)
	if _, err := view.OpenKept(path, func(view.Reader, kv.Tx) error { return errNotGood }); !errors.Is(err, errNotGood) || !bytes.Equal(readFile(t, path), first) {
		t.Errorf("got %v, want %v, and the file as it was", err, errNotGood)
	}
	b = open(func(from view.Reader, to kv.Tx) error {
		for k, v := range from.Scan("half", nil, nil) {
			to.Put("half", k, v)
		}
		return nil
	})
	wantContents(t, b, contents{"half": some()["half"]})
	closeBolt(t, b)
	closeBolt(t, open(never))
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v (%v), want the file", left, err)
	}
}

func flipped(content []byte, i int) []byte {
	c := bytes.Clone(content)
	c[i] ^= 1
	return c
}

// TestDamagedInUse changes a file under a view in use: reads are refused from then on, nothing else ends.
func TestDamagedInUse(t *testing.T) {
	get := func(b *view.Bolt) error {
		return b.View(func(r view.Reader) error { r.Get("half", []byte("key 000200")); return nil })
	}
	write := func(b *view.Bolt) error { return b.Update(func(kv.Tx) error { return nil }) }
	for name, tt := range map[string]struct {
		harm func(t *testing.T, path string, content []byte)
		meet func(*view.Bolt) error
	}{
		"a value, read": {harmValue, get},
		"a value, scanned": {harmValue, func(b *view.Bolt) error {
			return b.View(func(r view.Reader) error { view.DigestOf(r); return nil })
		}},
		"a value, in a transaction": {harmValue, func(b *view.Bolt) error {
			return b.Update(func(tx kv.Tx) error { tx.Put("half", []byte("new"), tx.Get("half", []byte("key 000200"))); return nil })
		}},
		"a value, looked for": {harmValue, view.Pass},
		"cut, read":           {harmCut, get},
		"cut, written": {harmCut, func(b *view.Bolt) error {
			return b.Update(func(tx kv.Tx) error { tx.Put("half", []byte("key 000200"), []byte("new")); return nil })
		}},
		"cut, looked for":            {harmCut, view.Pass},
		"zeroed, read":               {harmAll, get},
		"zeroed, written":            {harmAll, write},
		"zeroed, looked for":         {harmAll, view.Pass},
		"emptied, read":              {harmEmpty, get},
		"emptied, written":           {harmEmpty, write},
		"emptied, looked for":        {harmEmpty, view.Pass},
		"a meta page, written":       {harmOneMeta(0), write},
		"another meta page, written": {harmOneMeta(1), write},
		"all zeros, read":            {harmMeta, get},
		"all zeros, written":         {harmMeta, write},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tap.db")
			content := writeView(t, path, some())
			b := openBoltAt(t, path)
			watched := make(chan error)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { watched <- b.Watch(ctx) }()
			tt.harm(t, path, content)
			err := tt.meet(b)
			if !isDamaged(err) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want a damaged file that is named", err)
			}
			if again := <-watched; !errors.Is(again, err) {
				t.Errorf("Watch: got %v, want %v", again, err)
			}
			for _, again := range []error{b.View(func(view.Reader) error { return nil }), b.Update(func(kv.Tx) error { return nil })} {
				if !errors.Is(again, err) {
					t.Errorf("later: got %v, want %v", again, err)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEmptiedWhileRead: what is open when the meta pages go can end, and the file can be closed.
func TestEmptiedWhileRead(t *testing.T) {
	for name, open := range map[string]func(*view.Bolt, func()) error{
		"a reader": func(b *view.Bolt, f func()) error { return b.View(func(view.Reader) error { f(); return nil }) },
		"a writer": func(b *view.Bolt, f func()) error { return b.Update(func(kv.Tx) error { f(); return errNotGood }) },
	} {
		path := filepath.Join(t.TempDir(), "tap.db")
		content := writeView(t, path, some())
		b := openBoltAt(t, path)
		err := open(b, func() {
			harmMeta(t, path, content)
			if err := b.View(func(view.Reader) error { return nil }); !isDamaged(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v, want a damaged file that is named", name, err)
			}
		})
		if err != nil && !errors.Is(err, errNotGood) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func harmValue(t *testing.T, path string, content []byte) {
	change(t, path, content, func(c []byte) []byte {
		at := bytes.LastIndex(c, []byte("key 000200"))
		for i := range c { // wherever the key stands, in use or not
			if bytes.HasPrefix(c[i:], []byte("key 000200value")) {
				c[i+len("key 000200")] ^= 1
				at = i
			}
		}
		if at < 0 {
			t.Fatal("no such key")
		}
		return c
	})
}

func harmCut(t *testing.T, path string, _ []byte) {
	if err := os.Truncate(path, 2*4096); err != nil {
		t.Fatal(err)
	}
}

// harmEmpty takes the meta pages too, which bbolt reads at the begin of each transaction.
func harmEmpty(t *testing.T, path string, _ []byte) {
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

func harmMeta(t *testing.T, path string, content []byte) {
	change(t, path, content, func(c []byte) []byte { clear(c); return c })
}

// harmOneMeta flips a bit of a meta page: of the newer one, bbolt would take the older, and forget what was written last.
func harmOneMeta(id int) func(*testing.T, string, []byte) {
	return func(t *testing.T, path string, content []byte) {
		change(t, path, content, func(c []byte) []byte { return flipped(c, id*page+70) })
	}
}

func harmAll(t *testing.T, path string, content []byte) {
	change(t, path, content, func(c []byte) []byte { clear(c[2*4096:]); return c })
}

// change writes into the file, which stays the same one.
func change(t *testing.T, path string, content []byte, f func([]byte) []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(f(bytes.Clone(content)), 0); err != nil {
		t.Fatal(err)
	}
}

// TestAbsence removes a pair as a flip in a branch page does, so that every checksum that is left holds.
func TestAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.db")
	writeView(t, path, some())
	b := openBoltAt(t, path)
	if err := view.WithoutSum(b, func(tx kv.Tx) { tx.Delete("half", []byte("key 000200")) }); err != nil {
		t.Fatal(err)
	}
	if err := view.Pass(b); !isDamaged(err) || !strings.Contains(err.Error(), "pairs") {
		t.Errorf("a view in use: got %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := view.OpenReadOnly(path); !isDamaged(err) {
		t.Errorf("a view at rest: got %v", err)
	}
}

// TestFaultsOfCallers: what a caller does wrong is no damage.
func TestFaultsOfCallers(t *testing.T) {
	b := openBolt(t)
	for name, wrong := range map[string]func(){
		"its own": func() { panic("a bug in a core") },
		"nil":     func() { var c contents; c["x"]["y"] = "z" },
		"index":   func() { _ = []byte{}[len(name(t))] },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			_ = b.View(func(view.Reader) error { wrong(); return nil })
		}()
	}
	contents{"x": {"a": "1"}}.write(t, b, false)
	closeBolt(t, b)
}

func name(t *testing.T) string { return t.Name() }

func TestOpenMissing(t *testing.T) {
	if _, err := view.OpenReadOnly(filepath.Join(t.TempDir(), "tap.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
