package docs_test

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pinfold/internal/rules"
)

// TestReferences: what the code says to be in a section of docs/design.md is there: the section by its number, and in it
// what is quoted, as a heading or in bold.
func TestReferences(t *testing.T) {
	sections := map[string]string{}
	for _, s := range regexp.MustCompile(`(?m)^## `).Split(readText(t, "design.md"), -1)[1:] {
		number, _, _ := strings.Cut(s, ".")
		sections[number] = s
	}
	reference := regexp.MustCompile(`docs/design\.md section (\d+)(?:, "([^"]+)")?`)
	stray := regexp.MustCompile(`(?i)[^/.]\bdesign,? section|the design's `)
	found := 0
	if err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go", ".c", ".h", ".proto", ".md":
		default:
			return nil
		}
		if d.Name() == "design_test.go" {
			return nil
		}
		text := readText(t, path)
		for _, r := range reference.FindAllStringSubmatch(text, -1) {
			found++
			section, there := sections[r[1]]
			if quoted := r[2]; !there || quoted != "" && !strings.Contains(section, "### "+quoted) && !strings.Contains(section, "**"+quoted+"**") &&
				!strings.Contains(section, "**"+quoted+".**") {
				t.Errorf("%s names %s, which is not there", path, r[0])
			}
		}
		if s := stray.FindString(text); s != "" {
			t.Errorf("%s: %q names no document", path, s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found < 40 {
		t.Errorf("%d references", found)
	}
}

// layout is a table of docs/design.md: of each field where it begins.
func layout(t *testing.T, name string) (offsets map[string]int, size int) {
	t.Helper()
	_, text, ok := strings.Cut(readText(t, "design.md"), "**"+name+"**")
	if !ok {
		t.Fatalf("no layout of a %s", name)
	}
	_, text, _ = strings.Cut(text, "|---|---|---|\n")
	offsets = map[string]int{}
	for line := range strings.Lines(text) {
		row := strings.Split(line, "|")
		if len(row) != 5 {
			break
		}
		at, err := strconv.Atoi(strings.TrimSpace(row[1]))
		if err != nil {
			t.Fatal(err)
		}
		if at != size {
			t.Errorf("%s: a field at %d, where the one before ends at %d", name, at, size)
		}
		field := regexp.MustCompile("^`?([^`:;,]+)").FindStringSubmatch(strings.TrimSpace(row[3]))[1]
		offsets[field] = at
		if n, err := strconv.Atoi(strings.TrimSpace(row[2])); err == nil {
			size += n
		}
	}
	return offsets, size
}

// TestLayouts cuts the vectors by the tables of docs/design.md.
func TestLayouts(t *testing.T) {
	var vectors struct {
		Halves []struct {
			Bytes, Pin, Peer, Nonce string
			PeerNonce               string `json:"peer_nonce"`
			Counter                 int
			TimeMS                  int `json:"time_ms"`
			Link                    int
		}
		Steps []struct {
			Bytes, Pin string
			Counter    int
			FirstSlot  int `json:"first_slot"`
			Steps      []int
		}
		Proofs []struct {
			Bytes, Pin, Challenge string
			TimeMS                int `json:"time_ms"`
		}
	}
	if err := json.Unmarshal([]byte(readText(t, "../proto/testdata/statements.json")), &vectors); err != nil {
		t.Fatal(err)
	}
	check := func(raw string, at, size int, want string) {
		t.Helper()
		if got := raw[2*at : 2*(at+size)]; got != want {
			t.Errorf("%d bytes at %d: got %s, want %s, in %s", size, at, got, want, raw)
		}
	}
	number := func(n, size int) string {
		return strings.Repeat("0", max(0, 2*size-len(strconv.FormatInt(int64(n), 16)))) + strconv.FormatInt(int64(n), 16)
	}
	magic := func(m string) string { return hex.EncodeToString([]byte(m)) }

	half, size := layout(t, "half")
	for _, v := range vectors.Halves {
		check(v.Bytes, half["PFH1"], 4, magic("PFH1"))
		check(v.Bytes, half["pin"], 8, v.Pin)
		check(v.Bytes, half["peer"], 8, v.Peer)
		check(v.Bytes, half["nonce of the pin"], 16, v.Nonce)
		check(v.Bytes, half["nonce of the peer"], 16, v.PeerNonce)
		check(v.Bytes, half["counter"], 4, number(v.Counter, 4))
		check(v.Bytes, half["time by the pin's clock"], 8, number(v.TimeMS, 8))
		check(v.Bytes, half["link"], 1, number(v.Link, 1))
		if len(v.Bytes) != 2*size {
			t.Errorf("a half of %d bytes, the table says %d", len(v.Bytes)/2, size)
		}
	}
	report, size := layout(t, "step report")
	for _, v := range vectors.Steps {
		check(v.Bytes, report["PFS1"], 4, magic("PFS1"))
		check(v.Bytes, report["pin"], 8, v.Pin)
		check(v.Bytes, report["counter"], 4, number(v.Counter, 4))
		check(v.Bytes, report["first slot"], 4, number(v.FirstSlot, 4))
		check(v.Bytes, report["n"], 1, number(len(v.Steps), 1))
		check(v.Bytes, report["steps in each slot"], 2, number(v.Steps[0], 2))
		if len(v.Bytes) != 2*(size+2*len(v.Steps)) {
			t.Errorf("a step report of %d bytes and %d slots, the table says %d", len(v.Bytes)/2, len(v.Steps), size)
		}
	}
	proof, size := layout(t, "proof")
	for _, v := range vectors.Proofs {
		check(v.Bytes, proof["PFP1"], 4, magic("PFP1"))
		check(v.Bytes, proof["pin"], 8, v.Pin)
		check(v.Bytes, proof["challenge"], 32, v.Challenge)
		check(v.Bytes, proof["time"], 8, number(v.TimeMS, 8))
		if len(v.Bytes) != 2*size {
			t.Errorf("a proof of %d bytes, the table says %d", len(v.Bytes)/2, size)
		}
	}
	if len(vectors.Halves) == 0 || len(vectors.Steps) == 0 || len(vectors.Proofs) == 0 {
		t.Error("no vectors")
	}
}

// TestRulesExample: the file of rules in docs/rules.md is one.
func TestRulesExample(t *testing.T) {
	for _, b := range blocks(t, readText(t, "rules.md")) {
		if b.mark != "json" {
			continue
		}
		r, err := rules.Parse([]byte(b.text))
		if err != nil || r.Sports[1].Japanese != "Sailing" {
			t.Errorf("got %+v, %v", r, err)
		}
		return
	}
	t.Error("there is no example")
}
