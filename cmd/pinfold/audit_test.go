package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/crowd"
	"pinfold/internal/eventlog"
)

// exportLog runs `pinfold audit export` and returns what it says it wrote.
func exportLog(t *testing.T, out string, args ...string) exported {
	t.Helper()
	code, stdout, stderr := pinfold(t, append([]string{"audit", "export", "--output", "json", "--out", out}, args...)...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var e exported
	if err := json.Unmarshal([]byte(stdout), &e); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	return e
}

// compareArchive compares each message of an archive with the log and returns their number.
func compareArchive(t *testing.T, path string, log eventlog.Log) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive, err := audit.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	_, live, err := audit.FromLog(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	var want []eventlog.Message
	for m, err := range live {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, m)
	}
	n := 0
	for m, err := range archive.Messages() {
		if err != nil {
			t.Fatal(err)
		}
		if w := want[n]; m.Seq != w.Seq || m.Stored != w.Stored || m.Family != w.Family || !bytes.Equal(m.Payload, w.Payload) {
			t.Fatalf("the archive holds %+v, the log %+v", m, w)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("the archive holds %d facts, the log %d", n, len(want))
	}
	return n
}

// TestExportFolder exports the log of a stopped `pinfold up`, twice.
func TestExportFolder(t *testing.T) {
	data, folder := t.TempDir(), t.TempDir()
	w := startUp(t, data)
	w.play(t, crowd.Synthetic(20, 1, 3))
	w.stop()

	first := filepath.Join(folder, "first.pinfold")
	e := exportLog(t, first, "--data", data)
	log, closeLog := openLog(t, data)
	n := compareArchive(t, first, log)
	closeLog()
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	want := exported{
		File: first, Games: "tokyo2020", Epoch: 1, Facts: uint64(n), LastSeq: e.LastSeq, Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:]),
	}
	if e != want || int(e.LastSeq) != n || n < 100 {
		t.Errorf("got %+v, want %+v", e, want)
	}

	second := filepath.Join(folder, "second.pinfold")
	again := exportLog(t, second, "--data", data)
	if again.File = first; again != e {
		t.Errorf("the second export is %+v, the first %+v", again, e)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v (error %v), want the two archives", left, err)
	}
}

// TestExportCluster exports a log that is being served.
func TestExportCluster(t *testing.T) {
	data := t.TempDir()
	w := startUp(t, data)
	w.play(t, crowd.Synthetic(6, 1, 3))
	w.stop()
	embedded, err := eventlog.StartEmbedded(filepath.Join(data, "log"), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	out := filepath.Join(t.TempDir(), "served.pinfold")
	exportLog(t, out, "--nats", embedded.URL())
	compareArchive(t, out, openGames(t, nc))
}

func TestExportRefuses(t *testing.T) {
	data, folder := t.TempDir(), t.TempDir()
	w := startUp(t, data)
	refused := func(want string, args ...string) {
		t.Helper()
		code, stdout, stderr := pinfold(t, append([]string{"audit", "export"}, args...)...)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %q and %q, want code %d and %q", args, code, stdout, stderr, exitFailed, want)
		}
	}
	out := filepath.Join(folder, "log.pinfold")
	refused("is in use by another process", "--data", data, "--out", out)
	w.stop()
	refused("no log in "+folder, "--data", folder, "--out", out)
	refused("no stream for these Games: paris2024", "--data", data, "--games", "paris2024", "--out", out)
	refused("no such file or directory", "--data", data, "--out", filepath.Join(folder, "nowhere", "log.pinfold"))
	refused("NATS at nats://xxxxx@127.0.0.1:1", "--nats", "nats://me:secret@127.0.0.1:1", "--out", out)
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("the folder holds %v (error %v), want nothing", left, err)
	}

	if err := os.WriteFile(out, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("is there already: --force replaces it", "--data", data, "--out", out)
	if got := readText(t, out); got != "kept" {
		t.Errorf("the file holds %q", got)
	}
	code, stdout, stderr := pinfold(t, "audit", "export", "--data", data, "--out", out, "--force")
	size := strconv.Itoa(len(readText(t, out)))
	if code != exitOK || !strings.Contains(stdout, "bytes          "+size+"\n") {
		t.Errorf("exit code %d, %q and %q, want %s bytes", code, stdout, stderr, size)
	}
}

// TestAuditVerify audits the log of a small crowd, whole and cut, with and without the list of pins that were made.
func TestAuditVerify(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	w := startUp(t, data)
	people := crowd.Synthetic(30, 1, 1)
	w.play(t, people)
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	w.stop()
	archive := filepath.Join(dir, "log.pinfold")
	if code, _, stderr := pinfold(t, "audit", "export", "--data", data, "--out", archive); code != exitOK {
		t.Fatal(stderr)
	}
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	published, err := os.ReadFile("../../internal/rules/tokyo2020.json")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := func(p person) string { key := p.pin.Key(); return fmt.Sprintf("%v,%x\n", p.pin.ID(), key[:]) }
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"the log":            {[]string{"--data", data}, exitOK, `"verdict":"clean"`},
		"an archive":         {[]string{archive}, exitOK, `"findings":[]`},
		"cut short":          {[]string{write("cut", string(whole[:len(whole)/2]))}, exitBroken, "UNREADABLE"},
		"pins never made":    {[]string{archive, "--roster", write("made.csv", line(alice)+line(bob))}, exitBroken, "INVENTED_PIN"},
		"other rules":        {[]string{archive, "--rules", write("rules.json", strings.Replace(string(published), `"step_goal": 10000`, `"step_goal": 9999`, 1))}, exitBroken, `OTHER_RULES","verdict":"broken","expected":"rules that were published","found":"others: step_goal 10000"`},
		"published rules":    {[]string{archive, "--rules", "../../internal/rules/tokyo2020.json"}, exitOK, `"rules_adopted":1`},
		"a broken list":      {[]string{archive, "--roster", write("bad.csv", "# pins\n"+line(alice)+"x,y\n")}, exitFailed, "bad.csv: line 3"},
		"not an archive":     {[]string{write("other", "hello")}, exitFailed, "other"},
		"no such folder":     {[]string{"--data", filepath.Join(dir, "nowhere")}, exitFailed, "no log in"},
		"two logs, one flag": {[]string{archive, "--nats", "nats://127.0.0.1:1"}, exitUsage, "give one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := pinfold(t, append([]string{"audit", "verify", "--output", "json"}, tt.args...)...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit code %d, %.300q and %q, want code %d and %q", code, stdout, stderr, tt.code, tt.want)
			}
		})
	}
}
