package view_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestAgainstMap does the same random transactions on both stores and on a plain map, and wants the same answers.
func TestAgainstMap(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		bolt, err := view.OpenBolt(filepath.Join(dir, fmt.Sprint(run)))
		if err != nil {
			rt.Fatal(err)
		}
		defer closeBolt(rt, bolt)
		stores := map[string]view.Store{"Bolt": view.WithoutSync(bolt), "Memory": view.NewMemory()}
		model := contents{}
		for range rapid.IntRange(1, 6).Draw(rt, "transactions") {
			model = model.transact(rt, stores)
			for name, s := range stores {
				model.compare(rt, name, s)
			}
		}
	})
}

var errGiveUp = errors.New("give up")

// write is one random change; reading is what is asked behind it.
type write struct {
	op            string
	bucket, key   string
	value         string
	prefix, from  string
	scannedBucket string
}

func drawWrite(t *rapid.T) write {
	bucket := rapid.SampledFrom([]string{"a", "b", "runner"})
	// Few and short keys, so that they meet again.
	key := rapid.StringOfN(rapid.RuneFrom([]rune("xyz")), 1, 3, -1)
	return write{
		op:            rapid.SampledFrom([]string{"put", "put", "put", "delete", "fill", "clear", "refused"}).Draw(t, "op"),
		bucket:        bucket.Draw(t, "bucket"),
		key:           key.Draw(t, "key"),
		value:         rapid.StringOfN(rapid.RuneFrom([]rune("v")), 1, 2000, -1).Draw(t, "value"),
		prefix:        rapid.OneOf(rapid.Just(""), key).Draw(t, "prefix"),
		from:          rapid.OneOf(rapid.Just(""), key).Draw(t, "from"),
		scannedBucket: bucket.Draw(t, "scanned"),
	}
}

// apply does the write to a transaction. Fill and clear are large enough to split and empty the pages of a file.
func (w write) apply(tx kv.Tx) {
	switch w.op {
	case "put":
		tx.Put(w.bucket, []byte(w.key), []byte(w.value))
	case "delete":
		tx.Delete(w.bucket, []byte(w.key))
	case "fill":
		for i := range 100 {
			tx.Put(w.bucket, fmt.Appendf(nil, "%s%02d", w.key, i), []byte(w.value))
		}
	case "clear":
		for i := range 100 {
			tx.Delete(w.bucket, fmt.Appendf(nil, "%s%02d", w.key, i))
		}
	case "refused":
		tx.Put(w.bucket, []byte(w.key), nil)
	}
}

// mapTx is the transaction on the model.
type mapTx struct {
	contents
	refused bool
}

func (m *mapTx) Put(bucket string, key, value []byte) {
	if len(value) == 0 {
		m.refused = true
		return
	}
	m.put(bucket, string(key), string(value))
}

func (m *mapTx) Delete(bucket string, key []byte) { delete(m.contents[bucket], string(key)) }

func (m *mapTx) Get(bucket string, key []byte) []byte {
	if v, ok := m.contents[bucket][string(key)]; ok {
		return []byte(v)
	}
	return nil
}

func (m *mapTx) Scan(bucket string, prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(m.contents[bucket])) {
			if strings.HasPrefix(k, string(prefix)) && k >= string(from) && !yield([]byte(k), []byte(m.contents[bucket][k])) {
				return
			}
		}
	}
}

// transact runs one transaction everywhere and returns the model behind it.
func (c contents) transact(t *rapid.T, stores map[string]view.Store) contents {
	writes := rapid.SliceOfN(rapid.Custom(drawWrite), 0, 8).Draw(t, "writes")
	giveUp := rapid.IntRange(0, 4).Draw(t, "give up") == 0
	model := &mapTx{contents: c.clone()}
	var want []string
	for _, w := range writes {
		w.apply(model)
		want = append(want, w.ask(model))
	}
	for name, s := range stores {
		err := s.Update(func(tx kv.Tx) error {
			for i, w := range writes {
				w.apply(tx)
				if got := w.ask(tx); got != want[i] {
					t.Fatalf("%s: behind %+v: got %.200q, want %.200q", name, w, got, want[i])
				}
			}
			if giveUp {
				return errGiveUp
			}
			return nil
		})
		switch {
		case giveUp && !errors.Is(err, errGiveUp):
			t.Fatalf("%s: got %v, want %v", name, err, errGiveUp)
		case !giveUp && (err != nil) != model.refused:
			t.Fatalf("%s: got %v, want an error: %v", name, err, model.refused)
		}
	}
	if giveUp || model.refused {
		return c
	}
	return model.contents
}

// ask reads what the write may have changed.
func (w write) ask(r kv.Reader) string {
	return string(r.Get(w.bucket, []byte(w.key))) + "; " + scan(r, w.scannedBucket, []byte(w.prefix), []byte(w.from))
}

// compare checks that the store holds what the model does.
func (c contents) compare(t *rapid.T, name string, s view.Store) {
	err := s.View(func(r view.Reader) error {
		buckets := slices.DeleteFunc(slices.Sorted(maps.Keys(c)), func(b string) bool { return len(c[b]) == 0 })
		if got := r.Buckets(); !slices.Equal(got, buckets) {
			t.Fatalf("%s: got the buckets %q, want %q", name, got, buckets)
		}
		for _, b := range buckets {
			if got, want := scan(r, b, nil, nil), scan(&mapTx{contents: c}, b, nil, nil); got != want {
				t.Fatalf("%s: bucket %s: got %.200q, want %.200q", name, b, got, want)
			}
		}
		if got, want := view.DigestOf(r), c.digest(); got != want {
			t.Fatalf("%s: got the digest %v, want %v", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
