package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// owned is a file of another owner.
type owned struct {
	fs.FileInfo
	uid uint32
}

// Sys implements fs.FileInfo.
func (o owned) Sys() any {
	s := *o.FileInfo.Sys().(*syscall.Stat_t)
	s.Uid = o.uid
	return &s
}

func TestOwner(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	me, other := uint32(os.Geteuid()), uint32(os.Geteuid()+1)
	if err := checkOpen(path, info, info, "rule"); err != nil {
		t.Error(err)
	}
	if err := checkOpen(path, info, owned{info, other}, "rule"); err == nil || !strings.HasPrefix(err.Error(), path+": owned by uid ") {
		t.Errorf("a file of another user: %v", err)
	}
	if err := checkFolder(folder, owned{mustStat(t, folder), other}); err == nil || !strings.Contains(err.Error(), ": owned by uid ") {
		t.Errorf("a folder of another user: %v", err)
	}
	for _, uid := range []uint32{me, 0} {
		if err := checkFolder(folder, owned{mustStat(t, folder), uid}); err != nil {
			t.Error(err)
		}
	}
}

// TestExchanged: another file than the one that was looked at is not taken.
func TestExchanged(t *testing.T) {
	folder := t.TempDir()
	var infos [2]fs.FileInfo
	for i, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		infos[i] = mustStat(t, filepath.Join(folder, name))
	}
	if err := checkOpen("a", infos[0], infos[1], "rule"); err == nil || !strings.Contains(err.Error(), "exchanged") {
		t.Error(err)
	}
}

func mustStat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
