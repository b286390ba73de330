package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"

	"pinfold/audit"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// firstVersion is the folder of a `pinfold up` of the first version, after a crowd of 20 met for a day, with a checkpoint
// every 20 facts.
const firstVersion = "testdata/first-version.tar.zst"

func unpack(t *testing.T, archive, folder string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, h.Name)
		content, err := io.ReadAll(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, fs.FileMode(h.Mode))); err != nil {
			t.Fatal(err)
		}
	}
}

// signedByFirst reads what the first version signed.
func signedByFirst(t *testing.T, path string) (notes []string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("unasked")).ForEach(func(_, v []byte) error { notes = append(notes, string(v)); return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return notes
}

// record keeps what a process says.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// TestFirstVersion opens a folder that the first version made: the views are rebuilt, and not called damaged; what was
// signed is taken over; the log is gone on with.
func TestFirstVersion(t *testing.T) {
	data := t.TempDir()
	unpack(t, firstVersion, data)
	signed := signedByFirst(t, filepath.Join(data, "keys", "signed.db"))
	if len(signed) != 273/20 {
		t.Fatalf("%d checkpoints", len(signed))
	}
	var said record
	w := startUpLogging(t, data, slog.New(slog.NewTextHandler(&said, nil)))
	totals, err := w.gateway.GetTotals(t.Context(), rewardsv1.GetTotalsRequest_builder{MinSeq: 273}.Build())
	if err != nil || totals.GetBackgrounds() != 2 {
		t.Errorf("got %v, %v, want 2 backgrounds", totals, err)
	}
	listed, err := gatewayv1.NewAuditServiceClient(w.conn).ListCheckpoints(t.Context(), gatewayv1.ListCheckpointsRequest_builder{PageSize: 500}.Build())
	if err != nil || !slices.Equal(listed.GetCheckpoints(), signed) {
		t.Errorf("%d checkpoints, %v, want the %d that were signed", len(listed.GetCheckpoints()), err, len(signed))
	}
	w.enrol(t, newPerson(1), newPerson(2))
	w.stop()
	for _, name := range []string{"gateway", "tap", "rewards", "steps", "tree"} {
		if path := filepath.Join(data, "views", name+".db"); !strings.Contains(said.String(), "a file of another version: it is rebuilt from the log\" service=gateway file="+path) &&
			!strings.Contains(said.String(), "service="+name+" file="+path) {
			t.Errorf("%s was not rebuilt", name)
		}
	}
	if strings.Contains(said.String(), "damaged") {
		t.Errorf("it said %s", said.String())
	}
	v := verifyJSON(t, exitOK, "--data", data)
	if v.Verdict != audit.Clean || v.Views != 4 || v.Friendships != 22 || v.Halves != 58 {
		t.Errorf("got %+v", v)
	}
}
