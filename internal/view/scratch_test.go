package view_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bbolterrors "go.etcd.io/bbolt/errors"

	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestScratchLeavesNothing: two scratch views in one folder are two, and leave no file.
func TestScratchLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	var stores []view.Store
	for _, value := range []string{"one", "two"} {
		s, err := view.OpenScratch(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(func(tx kv.Tx) error { tx.Put("b", []byte("k"), []byte(value)); return nil }); err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	for i, want := range []string{"one", "two"} {
		_ = stores[i].View(func(r view.Reader) error {
			if got := string(r.Get("b", []byte("k"))); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
		if err := stores[i].Close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the folder holds %v (error %v), want nothing", left, err)
	}
	if _, err := view.OpenScratch(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestOpenReadOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tap.db")
	if _, err := view.OpenReadOnly(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	written, err := view.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := written.Update(func(tx kv.Tx) error { tx.Put("b", []byte("k"), []byte("v")); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := view.OpenReadOnly(path); err == nil || !strings.Contains(err.Error(), "does another process use it?") {
		t.Errorf("got %v, want an error of a view that is being written", err)
	}
	if err := written.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := view.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.View(func(r view.Reader) error {
		if got := string(r.Get("b", []byte("k"))); got != "v" {
			t.Errorf("got %q, want v", got)
		}
		return nil
	})
	if err := s.Update(func(kv.Tx) error { return nil }); !errors.Is(err, bbolterrors.ErrDatabaseReadOnly) {
		t.Errorf("got %v, want %v", err, bbolterrors.ErrDatabaseReadOnly)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed (error %v)", err)
	}
	if err := os.WriteFile(path, []byte("no view"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := view.OpenReadOnly(path); err == nil {
		t.Error("no error of a file that is no view")
	}
}

func TestDigestText(t *testing.T) {
	d := view.DigestOf(nothing{})
	text, err := d.MarshalText()
	if err != nil || string(text) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("got %q, %v, want the SHA-256 of nothing", text, err)
	}
	var back view.Digest
	if err := back.UnmarshalText(text); err != nil || back != d {
		t.Errorf("got %v, %v, want %v", back, err, d)
	}
	for _, bad := range []string{"", "e3", string(text) + "00", "g" + string(text[1:])} {
		if err := back.UnmarshalText([]byte(bad)); err == nil || back != d {
			t.Errorf("%q: got %v, %v, want an error and no change", bad, back, err)
		}
	}
}

// nothing is the state of a new view.
type nothing struct{ view.Reader }

func (nothing) Buckets() []string { return nil }
