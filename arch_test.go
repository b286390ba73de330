package pinfold

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The import rules of the floor plan: imports point down only, cores are pure, services meet only through the log and
// gRPC. Test files are free.

// leaves are the packages that a core may import.
var leaves = []string{"internal/fact", "internal/statement", "internal/rules", "internal/kv", "internal/ranking", "internal/roster"}

// impure are packages of the standard library that no core and no fact, statement, kv or roster may import: state is the
// fold of the log, and no clock, randomness, network or scheduling reaches it.
var impure = []string{"context", "crypto/rand", "io", "log", "log/slog", "math/rand", "math/rand/v2", "net", "os", "sync", "sync/atomic", "time/tzdata", "unsafe"}

// banned are names of packages that say nothing.
var banned = []string{"util", "utils", "common", "helpers", "types", "models", "misc", "shared"}

func TestImports(t *testing.T) {
	for dir, imports := range packages(t) {
		for imp := range imports {
			if why := forbidden(dir, imp); why != "" {
				t.Errorf("%s imports %s: %s", dir, imp, why)
			}
		}
		if slices.Contains(banned, filepath.Base(dir)) {
			t.Errorf("%s: the name says nothing", dir)
		}
	}
}

// forbidden returns why the package in dir must not import imp, or "".
func forbidden(dir, imp string) string {
	own, ours := strings.CutPrefix(imp, "pinfold/")
	standard := !ours && !strings.Contains(imp, ".")
	core, isCore := coreOf(dir)
	switch {
	case isCore && ours && !slices.Contains(leaves, own):
		return "a core imports the pure leaves only"
	case isCore && !ours && !standard:
		return "a core imports no dependency"
	case (isCore || slices.Contains(leaves, dir) && dir != "internal/rules") && slices.Contains(impure, imp):
		return "it is not pure"
	case slices.Contains(leaves, dir) && !standard && !slices.Contains(leaves, own):
		return "a pure leaf imports the standard library and other leaves only"
	case dir == "internal/fact" && !standard:
		return "fact imports the standard library only"
	case strings.HasPrefix(own, "cmd/"):
		return "nothing imports a command"
	case strings.HasPrefix(dir, "proto/") && ours && !strings.HasPrefix(own, "proto/"):
		return "proto holds generated code only"
	}
	service, isService := strings.CutPrefix(own, "services/")
	if !ours || !isService {
		return ""
	}
	switch {
	case strings.HasPrefix(dir, "cmd/") && strings.HasSuffix(service, "/server"):
		return ""
	case strings.HasPrefix(dir, "services/"+service+"/server"):
		return ""
	case (dir == "internal/audit" || dir == "internal/crowd") && !strings.HasSuffix(service, "/server"):
		return ""
	case isCore && service == core:
		return ""
	}
	return "services meet only through the log and gRPC"
}

// coreOf returns the service whose core the folder is.
func coreOf(dir string) (string, bool) {
	name, ok := strings.CutPrefix(dir, "services/")
	return name, ok && !strings.Contains(name, "/")
}

// packages returns the imports of each folder of the module, without those of its test files.
func packages(t *testing.T) map[string]map[string]bool {
	t.Helper()
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "tools") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if found[dir] == nil {
			found[dir] = map[string]bool{}
		}
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[dir][imp] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 15 {
		t.Fatalf("only %d packages found", len(found))
	}
	return found
}

// TestForbidden shows that the rules bite.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		dir, imp string
		want     bool
	}{
		{"services/tap", "time", false},
		{"services/tap", "pinfold/internal/kv", false},
		{"services/tap", "context", true},
		{"services/tap", "pinfold/internal/view", true},
		{"services/tap", "google.golang.org/protobuf/proto", true},
		{"services/tap", "pinfold/services/rewards", true},
		{"services/tap/server", "pinfold/services/tap", false},
		{"services/tap/server", "pinfold/services/rewards", true},
		{"services/tap/server", "pinfold/services/rewards/server", true},
		{"services/gateway/server", "pinfold/proto/pinfold/tap/v1", false},
		{"internal/fold", "pinfold/services/tap", true},
		{"internal/audit", "pinfold/services/tap", false},
		{"internal/audit", "pinfold/services/tap/server", true},
		{"internal/fact", "pinfold/internal/kv", true},
		{"internal/fact", "encoding/hex", false},
		{"internal/kv", "github.com/tidwall/btree", true},
		{"cmd/pinfold", "pinfold/services/tap/server", false},
		{"cmd/pinfold", "pinfold/services/tap", true},
		{"internal/serve", "pinfold/cmd/pinfold", true},
	} {
		if got := forbidden(tt.dir, tt.imp) != ""; got != tt.want {
			t.Errorf("%s imports %s: forbidden %t, want %t", tt.dir, tt.imp, got, tt.want)
		}
	}
}
