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

// The import rules of the floor plan: every room stands on a floor, and imports point down only, cores are pure, services
// meet only through the log and gRPC. Test files are free.

// floors says on which floor each room stands. A package belongs to the room with the longest name that holds it.
var floors = map[string]int{
	"cmd/pinfold": 4,
	"examples":    4,

	"audit":    3,
	"crowd":    3,
	"firmware": 3,

	"services/gateway": 2,
	"services/tap":     2,
	"services/rewards": 2,
	"services/steps":   2,
	"client":           2,

	"internal/eventlog":  1,
	"internal/evidence":  1,
	"internal/fact":      1,
	"internal/file":      1,
	"internal/fold":      1,
	"internal/kv":        1,
	"internal/merkle":    1,
	"internal/notary":    1,
	"internal/ranking":   1,
	"internal/roster":    1,
	"internal/rules":     1,
	"internal/serve":     1,
	"internal/statement": 1,
	"internal/view":      1,

	// Beside the floors: every floor may import them, and they import none.
	"proto": 0,
	"art":   0,
}

// leaves are the packages that a core may import.
var leaves = []string{"internal/fact", "internal/statement", "internal/rules", "internal/kv", "internal/ranking", "internal/roster"}

// replays are the rooms that may import every core: they run the folds again.
var replays = []string{"audit", "crowd/world"}

// impure are packages of the standard library that no core and no fact, statement, kv or roster may import: state is the
// fold of the log, and no clock, randomness, network or scheduling reaches it.
var impure = []string{"context", "crypto/rand", "io", "log", "log/slog", "math/rand", "math/rand/v2", "net", "os", "sync", "sync/atomic", "time/tzdata", "unsafe"}

// banned are names of packages that say nothing.
var banned = []string{"util", "utils", "common", "helpers", "types", "models", "misc", "shared"}

func TestImports(t *testing.T) {
	used := map[string]bool{}
	for dir, imports := range packages(t) {
		room, ok := roomOf(dir)
		if !ok && dir != "." {
			t.Errorf("%s stands on no floor: the floor plan has no such room", dir)
		}
		used[room] = true
		for imp := range imports {
			if why := forbidden(dir, imp); why != "" {
				t.Errorf("%s imports %s: %s", dir, imp, why)
			}
		}
		if slices.Contains(banned, filepath.Base(dir)) {
			t.Errorf("%s: the name says nothing", dir)
		}
	}
	for room := range floors {
		if !used[room] {
			t.Errorf("the floor plan has a room %s, and nothing is in it", room)
		}
	}
}

// roomOf returns the room that the folder belongs to.
func roomOf(dir string) (string, bool) {
	for room := dir; room != "."; room = filepath.ToSlash(filepath.Dir(room)) {
		if _, ok := floors[room]; ok {
			return room, true
		}
	}
	return "", false
}

// climbs returns why the package in dir stands too low to import that of ours in own, or "". Of its own floor it imports
// its own room, and on the first floor the others too: they are what all stand on, and Go keeps them from going round.
func climbs(dir, own string) string {
	from, known := roomOf(dir)
	to, there := roomOf(own)
	switch {
	case !known || !there:
		return "one of the two stands on no floor"
	case floors[to] > floors[from]:
		return "imports point down"
	case floors[to] == floors[from] && to != from && floors[from] != 1:
		return "rooms of one floor do not import each other"
	}
	return ""
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
	case strings.HasPrefix(dir, "examples/") && ours && !strings.HasPrefix(own+"/", "client/") && !strings.HasPrefix(own, "proto/"):
		return "an example imports what a stranger's program can"
	case strings.HasPrefix(dir, "proto/") && ours && !strings.HasPrefix(own, "proto/"):
		return "proto holds generated code only"
	}
	if !ours {
		return ""
	}
	if why := climbs(dir, own); why != "" {
		return why
	}
	imported, isService := strings.CutPrefix(own, "services/")
	if !isService {
		return ""
	}
	name, shell := strings.CutSuffix(imported, "/server")
	switch room, _ := roomOf(dir); {
	case strings.HasPrefix(dir, "cmd/") && shell:
		return ""
	case slices.Contains(replays, room) && !shell:
		return ""
	case strings.HasPrefix(dir, "services/"+name+"/server"), isCore && name == core:
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
		// Cores and leaves.
		{"services/tap", "time", false},
		{"services/tap", "pinfold/internal/kv", false},
		{"services/tap", "context", true},
		{"services/tap", "pinfold/internal/view", true},
		{"services/tap", "google.golang.org/protobuf/proto", true},
		{"internal/fact", "pinfold/internal/kv", true},
		{"internal/fact", "encoding/hex", false},
		{"internal/kv", "github.com/tidwall/btree", true},
		// Services.
		{"services/tap", "pinfold/services/rewards", true},
		{"services/tap/server", "pinfold/services/tap", false},
		{"services/tap/server", "pinfold/services/rewards", true},
		{"services/tap/server", "pinfold/services/rewards/server", true},
		{"services/gateway/server", "pinfold/proto/pinfold/tap/v1", false},
		{"audit", "pinfold/services/tap", false},
		{"audit", "pinfold/services/tap/server", true},
		{"crowd", "pinfold/services/tap", true},
		{"crowd/play", "pinfold/services/tap", true},
		{"cmd/pinfold", "pinfold/services/tap/server", false},
		{"cmd/pinfold", "pinfold/services/tap", true},
		// Examples.
		{"examples/tap", "pinfold/client", false},
		{"examples/tap", "pinfold/client/link", false},
		{"examples/tap", "pinfold/proto/pinfold/gateway/v1", false},
		{"examples/tap", "google.golang.org/grpc", false},
		{"examples/tap", "pinfold/internal/fact", true},
		{"examples/tap", "pinfold/crowd", true},
		{"cmd/pinfold", "pinfold/examples/tap", true},
		// Floors: down.
		{"cmd/pinfold", "pinfold/audit", false},
		{"crowd", "pinfold/client/link", false},
		{"firmware/host", "pinfold/client/link", false},
		{"services/gateway/server", "pinfold/internal/notary", false},
		{"internal/notary", "pinfold/proto/pinfold/log/v1", false},
		// Across: within a room, and between the rooms of the first floor.
		{"firmware/host", "pinfold/firmware/host/cpin", false},
		{"internal/notary", "pinfold/internal/evidence", false},
		{"audit", "pinfold/crowd", true},
		{"firmware/host", "pinfold/crowd", true},
		{"client/link", "pinfold/services/tap/server", true},
		{"services/gateway/server", "pinfold/client/link", true},
		// Up.
		{"internal/serve", "pinfold/cmd/pinfold", true},
		{"internal/fold", "pinfold/services/tap", true},
		{"internal/serve", "pinfold/client/link", true},
		{"internal/notary", "pinfold/audit", true},
		{"client/link", "pinfold/crowd", true},
		{"services/tap/server", "pinfold/audit", true},
		{"audit", "pinfold/cmd/pinfold", true},
		{"art", "pinfold/internal/fact", true},
		{"proto/pinfold/log/v1", "pinfold/internal/fact", true},
		// A room that is not in the plan.
		{"internal/stray", "pinfold/internal/fact", true},
		{"internal/fold", "pinfold/internal/stray", true},
	} {
		if got := forbidden(tt.dir, tt.imp) != ""; got != tt.want {
			t.Errorf("%s imports %s: forbidden %t, want %t", tt.dir, tt.imp, got, tt.want)
		}
	}
}
