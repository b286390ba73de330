package notary_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/view"
)

// firstSigned writes the file of what was signed as the first version did: bbolt without format and checksums.
func firstSigned(t *testing.T, folder string, pairs map[string]map[string]string) {
	t.Helper()
	path := filepath.Join(folder, "signed.db")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error {
		for name, bucket := range pairs {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for k, v := range bucket {
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

func size(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// TestTakeOver takes what the first version signed, and refuses what the key did not sign.
func TestTakeOver(t *testing.T) {
	private, _, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key string, n uint64) string {
		signer, _, err := merkle.NewSigner(key, games)
		if err != nil {
			t.Fatal(err)
		}
		text, err := merkle.Checkpoint{Games: games, Size: fact.Seq(n), Root: merkle.Hash{byte(n)}}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := func() map[string]map[string]string {
		return map[string]map[string]string{
			"unasked": {size(10): sign(private, 10), size(20): sign(private, 20)},
			"newest":  {"checkpoint": sign(private, 25), "unasked": size(20)},
		}
	}
	for name, tt := range map[string]struct {
		change func(pairs map[string]map[string]string)
		want   string
	}{
		"all signed":            {func(map[string]map[string]string) {}, ""},
		"nothing signed":        {func(p map[string]map[string]string) { clear(p) }, ""},
		"none unasked":          {func(p map[string]map[string]string) { delete(p, "unasked"); delete(p["newest"], "unasked") }, ""},
		"by another key":        {func(p map[string]map[string]string) { p["unasked"][size(10)] = sign(other, 10) }, "signed by no known key"},
		"newest by another key": {func(p map[string]map[string]string) { p["newest"]["checkpoint"] = sign(other, 25) }, "the newest checkpoint: "},
		"a flipped byte": {func(p map[string]map[string]string) {
			p["newest"]["checkpoint"] = strings.Replace(sign(private, 25), "25", "24", 1)
		}, "the newest checkpoint: "},
		"in another's place":       {func(p map[string]map[string]string) { p["unasked"][size(10)] = sign(private, 20) }, "stands in another's place"},
		"the last one lost":        {func(p map[string]map[string]string) { delete(p["unasked"], size(20)) }, "is of 20 facts, and there is one of 10"},
		"the newest lost":          {func(p map[string]map[string]string) { delete(p["newest"], "checkpoint") }, "the newest checkpoint is of 0 facts"},
		"the newest is older":      {func(p map[string]map[string]string) { p["newest"]["checkpoint"] = sign(private, 10) }, "the newest checkpoint is of 10 facts"},
		"the note of the last one": {func(p map[string]map[string]string) { delete(p["newest"], "unasked") }, "is of 0 facts, and there is one of 20"},
		"a short note":             {func(p map[string]map[string]string) { p["newest"]["unasked"] = "20" }, "a size of 2 bytes"},
		"another bucket":           {func(p map[string]map[string]string) { p["tree"] = map[string]string{"k": "v"} }, "bucket \"tree\""},
		"another key's name":       {func(p map[string]map[string]string) { p["newest"]["oldest"] = "v" }, "a key \"oldest\""},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			pairs := good()
			tt.change(pairs)
			firstSigned(t, folder, pairs)
			for range 2 { // the second time it is of this format, or refused as before
				b, err := notary.OpenSigned(folder, games, private)
				if tt.want != "" {
					damaged, ok := errors.AsType[*view.DamagedError](err)
					if !ok || damaged.Cache || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), filepath.Join(folder, "signed.db")) {
						t.Fatalf("got %v, want %q", err, tt.want)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				list, err := notary.Unasked(b, 0, 10)
				if err != nil || len(list) != len(pairs["unasked"]) {
					t.Errorf("%d checkpoints, %v, want %d", len(list), err, len(pairs["unasked"]))
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
