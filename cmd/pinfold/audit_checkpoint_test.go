package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// signEvery lets the gateway sign a checkpoint unasked each so many facts.
func signEvery(facts uint64) func(*upCommand) {
	return func(c *upCommand) { c.CheckpointEvery = factCount(facts) }
}

// people returns those of the numbers from first to last.
func people(first, last int) (list []person) {
	for i := first; i <= last; i++ {
		list = append(list, newPerson(i))
	}
	return list
}

// publicKey returns the key of the checkpoints of a `pinfold up`, and its file.
func publicKey(t *testing.T, data string) (key, path string) {
	t.Helper()
	path = filepath.Join(data, "keys", "checkpoint.pub")
	return strings.TrimSpace(readText(t, path)), path
}

// keptIn returns the checkpoints of the file.
func keptIn(t *testing.T, path, key string) (list []merkle.Checkpoint) {
	t.Helper()
	verifier, err := merkle.NewVerifier(key, "tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := merkle.SplitCheckpoints(readText(t, path))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		c, err := merkle.OpenCheckpoint(text, "tokyo2020", note.VerifierList(verifier))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func otherKey(t *testing.T, games string) (private, public string) {
	t.Helper()
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// TestCheckpointKey fetches checkpoints with all sorts of keys.
func TestCheckpointKey(t *testing.T) {
	dir := t.TempDir()
	w := startUp(t, t.TempDir())
	key, keyFile := publicKey(t, w.data)
	_, wrong := otherKey(t, "tokyo2020")
	_, otherGames := otherKey(t, "paris2024")
	secretFile := filepath.Join(w.data, "keys", "checkpoint.key")
	t.Chdir(dir)
	write(t, "pinfold", "the binary, in the folder that it is called in")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}

	fetch := []string{"audit", "checkpoint", "--gateway", w.at.Gateway}
	for name, tt := range map[string]struct {
		args   []string
		code   int
		stderr string // what it says there; "" = nothing
	}{
		"the gateway's word":         {nil, exitOK, "The key is the gateway's word: " + key + "\n"},
		"as text":                    {[]string{"--checkpoint-key", key}, exitOK, ""},
		"as a file":                  {[]string{"--checkpoint-key", keyFile}, exitOK, ""},
		"one of two keys":            {[]string{"--checkpoint-key", write(t, "two.pub", wrong+"\n"+key+"\n"+wrong+"\n")}, exitOK, ""},
		"another key":                {[]string{"--checkpoint-key", wrong}, exitFailed, "signed by no known key"},
		"another key, in a file":     {[]string{"--checkpoint-key", write(t, "wrong.pub", wrong+"\n")}, exitFailed, "signed by no known key"},
		"a key of other Games":       {[]string{"--checkpoint-key", otherGames}, exitFailed, `name "pinfold/paris2024": want "pinfold/tokyo2020"`},
		"other Games":                {[]string{"--games", "paris2024"}, exitFailed, `name "pinfold/tokyo2020": want "pinfold/paris2024"`},
		"other Games with their key": {[]string{"--games", "paris2024", "--checkpoint-key", otherGames}, exitFailed, "signed by no known key"},
		"the private key":            {[]string{"--checkpoint-key", secretFile}, exitFailed, "want name+hash+key"},
		"no key":                     {[]string{"--checkpoint-key", "nowhere.pub"}, exitUsage, `there is no file "nowhere.pub", nor is that a public key: want name+hash+key`},
		"no key, with a plus":        {[]string{"--checkpoint-key", "no+where.pub"}, exitUsage, "there is no such file, nor is it a public key: "},
		"the private key itself":     {[]string{"--checkpoint-key", readText(t, secretFile)}, exitUsage, "there is no such file, nor is it a public key: "},
		"keys without end":           {[]string{"--checkpoint-key", "/dev/zero"}, exitFailed, "/dev/zero: more than 65536 bytes"},
		"kept without end":           {[]string{"--keep", "/dev/zero"}, exitFailed, "/dev/zero: more than 67108864 bytes"},
		"an empty file":              {[]string{"--checkpoint-key", write(t, "empty", "")}, exitFailed, "want name+hash+key"},
		"a folder":                   {[]string{"--checkpoint-key", dir}, exitFailed, "is a directory"},
		"all of nothing":             {[]string{"--all"}, exitUsage, "give --keep too"},
		"no gateway":                 {[]string{"--gateway", dead.Addr().String()}, exitFailed, "gateway at " + dead.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := pinfold(t, append(fetch, tt.args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("exit code %d and %q, want code %d and %q", code, stderr, tt.code, tt.stderr)
			}
			if strings.Contains(stdout+stderr, strings.TrimSpace(readText(t, secretFile))) {
				t.Error("the private key is shown")
			}
			if code != exitOK {
				if stdout != "" {
					t.Errorf("it printed %q", stdout)
				}
				return
			}
			if !strings.HasPrefix(stdout, "pinfold/tokyo2020\n") || len(keptIn(t, write(t, "fetched", stdout), key)) != 1 {
				t.Errorf("it printed %q, want a checkpoint", stdout)
			}
			code, stdout, _ = pinfold(t, append(fetch, append(tt.args, "--output", "json")...)...)
			var got map[string]string
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK {
				t.Fatalf("exit code %d and %q: %v", code, stdout, err)
			}
			if got["public_key"] != key || len(keptIn(t, write(t, "fetched", got["checkpoint"]), key)) != 1 || len(got) != 2 {
				t.Errorf("as JSON: %q", stdout)
			}
		})
	}
}

// keeper keeps the checkpoints of a `pinfold up` in a file.
type keeper struct {
	data, path string
}

// keep fetches what there is to keep, and returns what the file has now behind what it had before.
func (k keeper) keep(t *testing.T, w *world, args ...string) (added []merkle.Checkpoint) {
	t.Helper()
	key, _ := publicKey(t, k.data)
	before, _ := os.ReadFile(k.path)
	printed := mustRun(t, append([]string{"audit", "checkpoint", "--gateway", w.at.Gateway, "--checkpoint-key", key, "--keep", k.path}, args...)...)
	after := readText(t, k.path)
	more, ok := strings.CutPrefix(after, string(before))
	if !ok {
		t.Fatalf("what was kept has changed: %q, and was %q", after, before)
	}
	if !strings.HasSuffix(after, printed+"\n") {
		t.Errorf("%q was printed, and the file ends with %.300q", printed, more)
	}
	all := keptIn(t, k.path, key)
	for i, c := range all[1:] {
		if c.Size <= all[i].Size {
			t.Errorf("a checkpoint of %d facts was kept behind one of %d", c.Size, all[i].Size)
		}
	}
	return all[len(all)-strings.Count(more, "pinfold/tokyo2020\n"):]
}

// wantNoMore keeps again, and again while the log grows by itself, which it does once a minute.
func (k keeper) wantNoMore(t *testing.T, w *world, args ...string) {
	t.Helper()
	for range 3 {
		if len(k.keep(t, w, args...)) == 0 {
			return
		}
	}
	t.Error("each time there is another checkpoint")
}

// wantAll returns which checkpoints there are to be of more than so many facts, up to the newest, where one is signed
// each so many facts.
func wantAll(after, every, newest fact.Seq) (sizes []fact.Seq) {
	for size := after - after%every + every; size < newest; size += every {
		sizes = append(sizes, size)
	}
	return append(sizes, newest)
}

func sizesOf(list []merkle.Checkpoint) (sizes []fact.Seq) {
	for _, c := range list {
		sizes = append(sizes, c.Size)
	}
	return sizes
}

// TestCheckpointKeep keeps the checkpoints of a log that grows, over restarts of what signs them, and holds all against
// the log in the end.
func TestCheckpointKeep(t *testing.T) {
	k := keeper{data: t.TempDir(), path: filepath.Join(t.TempDir(), "kept")}
	w := startUp(t, k.data, signEvery(5))
	if got := k.keep(t, w); len(got) != 1 {
		t.Fatalf("the first time %d checkpoints were kept", len(got))
	}
	k.wantNoMore(t, w)
	k.wantNoMore(t, w, "--all")
	w.enrol(t, people(1, 6)...)
	if got := k.keep(t, w); len(got) != 1 || got[0].Size < 14 {
		t.Fatalf("of 14 facts or more it kept %v", sizesOf(got))
	}
	k.wantNoMore(t, w)

	last := k.last(t)
	w.enrol(t, people(7, 13)...)
	got := sizesOf(k.keep(t, w, "--all"))
	if want := wantAll(last, 5, got[len(got)-1]); !slices.Equal(got, want) {
		t.Errorf("behind %d facts it kept %v, want %v", last, got, want)
	}
	k.wantNoMore(t, w, "--all")

	last = k.last(t)
	w.enrol(t, people(14, 17)...) // signed, but not fetched before the restart
	w.stop()
	w = startUp(t, k.data, signEvery(5))
	w.enrol(t, people(18, 20)...)
	got = sizesOf(k.keep(t, w, "--all"))
	if want := wantAll(last, 5, got[len(got)-1]); !slices.Equal(got, want) {
		t.Errorf("over a restart, behind %d facts, it kept %v, want %v", last, got, want)
	}
	w.stop()

	// With one for each fact there are more than a page has.
	w = startUp(t, k.data, signEvery(1))
	k.wantNoMore(t, w, "--all")
	last = k.last(t)
	w.register(t, people(1000, 1599)...)
	got = sizesOf(k.keep(t, w, "--all"))
	if want := wantAll(last, 1, got[len(got)-1]); !slices.Equal(got, want) || len(got) < 600 {
		t.Errorf("behind %d facts it kept %v, want %v", last, got, want)
	}
	k.wantNoMore(t, w, "--all")
	w.stop()
	k.wantInLog(t)
}

// last returns how many facts the newest checkpoint covers that was kept.
func (k keeper) last(t *testing.T) fact.Seq {
	t.Helper()
	key, _ := publicKey(t, k.data)
	all := keptIn(t, k.path, key)
	return all[len(all)-1].Size
}

// wantInLog compares all that was kept with the log.
func (k keeper) wantInLog(t *testing.T) {
	t.Helper()
	log, closeLog := openLog(t, k.data)
	defer closeLog()
	key, _ := publicKey(t, k.data)
	var e merkle.Edge
	for _, c := range keptIn(t, k.path, key) {
		for e.Size() < c.Size {
			m, ok, err := log.At(t.Context(), e.Size()+1)
			if err != nil || !ok {
				t.Fatalf("sequence %d: %t, %v", e.Size()+1, ok, err)
			}
			leaf, err := merkle.Leaf(m)
			if err != nil {
				t.Fatal(err)
			}
			e.Add(leaf)
		}
		if c.Root != e.Root() {
			t.Errorf("the checkpoint of %d facts does not fit the log", c.Size)
		}
	}
}

// register registers the pins of people, with a fact for each.
func (w *world) register(t *testing.T, people ...person) {
	t.Helper()
	var b gatewayv1.RegisterPinsRequest_builder
	for _, p := range people {
		b.Pins = append(b.Pins, registration(p.pin))
	}
	if _, err := gatewayv1.NewOperatorServiceClient(w.conn).RegisterPins(t.Context(), b.Build()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointKeptTorn: a file whose last checkpoint is torn, as by a full disk, is told, and used and kept on as if that
// one had never been begun.
func TestCheckpointKeptTorn(t *testing.T) {
	w := startUp(t, t.TempDir(), signEvery(2))
	w.enrol(t, people(1, 2)...)
	key, _ := publicKey(t, w.data)
	path := filepath.Join(t.TempDir(), "kept")
	k := keeper{data: w.data, path: path}
	k.keep(t, w, "--all")
	kept := readText(t, path)
	texts, err := merkle.SplitCheckpoints(kept)
	if err != nil || len(texts) < 3 {
		t.Fatalf("%d checkpoints are kept, %v", len(texts), err)
	}
	before := strings.TrimSuffix(kept, texts[len(texts)-1]+"\n")
	last := kept[len(before):]
	archive := filepath.Join(t.TempDir(), "log.pinfold")
	for _, torn := range []string{last[:1], last[:20], last[:strings.Index(last, "—")], last[:len(last)-10], last[:40] + "\x00\x00"} {
		write(t, path, before+torn)
		code, printed, said := pinfold(t, "audit", "checkpoint", "--gateway", w.at.Gateway, "--checkpoint-key", key, "--keep", path, "--all")
		if code != exitOK || !strings.Contains(said, path+": checkpoints: the last one, at line ") || !strings.Contains(said, fmt.Sprintf("the %d before it count", len(texts)-1)) {
			t.Fatalf("torn at %q: exit code %d and %q, want that it is told", torn, code, said)
		}
		if after := readText(t, path); !strings.HasPrefix(after, before+"pinfold/tokyo2020\n") || !strings.HasSuffix(after, printed+"\n") {
			t.Errorf("torn at %q: the file holds %q, want %q and %q behind it", torn, after, before, printed)
		}
		if list := keptIn(t, path, key); len(list) < len(texts) {
			t.Errorf("torn at %q: %d checkpoints are kept now, want %d or more", torn, len(list), len(texts))
		}
	}
	write(t, path, before+last[:20])
	w.stop()
	mustRun(t, "audit", "export", "--data", w.data, "--out", archive)
	code, printed, said := pinfold(t, "audit", "verify", archive, "--checkpoint", path, "--checkpoint-key", key)
	if code != exitOK || !strings.Contains(printed, fmt.Sprintf("checkpoints  %d hold", len(texts)-1)) || !strings.Contains(said, "is torn") {
		t.Errorf("verify: exit code %d, %q and %q, want that all but the torn one hold", code, printed, said)
	}
	if readText(t, path) != before+last[:20] {
		t.Error("verify has changed the file")
	}
}

// TestCheckpointKeptDamaged: with a file that is not what it was, nothing is compared and nothing is added.
func TestCheckpointKeptDamaged(t *testing.T) {
	dir := t.TempDir()
	w := startUp(t, t.TempDir(), signEvery(2))
	w.enrol(t, people(1, 2)...)
	key, _ := publicKey(t, w.data)
	path := filepath.Join(dir, "kept")
	k := keeper{data: w.data, path: path}
	k.keep(t, w, "--all")
	kept := readText(t, path)
	texts, err := merkle.SplitCheckpoints(kept)
	if err != nil || len(texts) < 3 {
		t.Fatalf("%d checkpoints are kept, %v", len(texts), err)
	}
	sign := func(games, by string) string {
		private, _ := otherKey(t, by)
		signer, _, err := merkle.NewSigner(private, by)
		if err != nil {
			t.Fatal(err)
		}
		text, err := merkle.Checkpoint{Games: games, Size: 3}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, tt := range map[string]struct{ text, want string }{
		"cut in the first":      {texts[0][:len(texts[0])-10] + "\n" + texts[1], "checkpoint 1"},
		"no signature within":   {strings.Replace(kept, "—", "-", 1), "no signature"},
		"something else behind": {kept + "a note of mine", "no signature"},
		"another size":          {strings.Replace(kept, "\n4\n", "\n5\n", 1), "checkpoint 2: checkpoint: the signature of key"},
		"another root":          {strings.Replace(kept, "\n4\n", "\n4\nA", 1), "does not fit"},
		"signed by another key": {kept + sign("tokyo2020", "tokyo2020"), "signed by no known key"},
		"of other Games":        {sign("paris2024", "paris2024") + kept, "checkpoint 1: checkpoint: signed by no known key"},
		"something else":        {"hello\n", "no signature"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.text == kept {
				t.Fatal("it was not changed")
			}
			write(t, path, tt.text)
			for _, more := range [][]string{nil, {"--all"}, {"--checkpoint-key", key}} {
				code, stdout, stderr := pinfold(t, append([]string{"audit", "checkpoint", "--gateway", w.at.Gateway, "--keep", path}, more...)...)
				if code != exitFailed || !strings.Contains(stderr, tt.want) || !strings.Contains(stderr, "kept: ") {
					t.Errorf("exit code %d, %s, want code %d and %q", code, stderr, exitFailed, tt.want)
				}
				if stdout != "" || strings.Contains(stderr, "BROKEN") {
					t.Errorf("it printed %q and %q", stdout, stderr)
				}
				if got := readText(t, path); got != tt.text {
					t.Errorf("the file holds %q, and held %q", got, tt.text)
				}
			}
		})
	}
	write(t, path, kept)
	k.wantNoMore(t, w, "--all")
}

// copyKey gives a `pinfold up` that is yet to start the key of another.
func copyKey(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(to, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(to, "keys", "checkpoint.key"), readText(t, filepath.Join(from, "keys", "checkpoint.key")))
}

// TestCheckpointParted holds what was kept of one log against another one that the same key signs for: while it is
// shorter nothing can be said, and then it is found out, of the same size and longer.
func TestCheckpointParted(t *testing.T) {
	k := keeper{data: t.TempDir(), path: filepath.Join(t.TempDir(), "kept")}
	w := startUp(t, k.data, signEvery(5))
	w.enrol(t, people(1, 5)...)
	k.keep(t, w)
	size := k.last(t)
	w.stop()
	kept := readText(t, k.path)
	key, _ := publicKey(t, k.data)

	other := t.TempDir()
	copyKey(t, k.data, other)
	w = startUp(t, other, signEvery(5))
	fetch := []string{"audit", "checkpoint", "--gateway", w.at.Gateway, "--keep", k.path}
	ask := func(code int, want string) {
		t.Helper()
		for _, more := range [][]string{nil, {"--all"}, {"--checkpoint-key", key}} {
			got, stdout, stderr := pinfold(t, append(fetch, more...)...)
			if got != code || !strings.Contains(stderr, want) {
				t.Errorf("%v: exit code %d, %s, want code %d and %q", more, got, stderr, code, want)
			}
			if broken := code == exitBroken; broken != strings.Contains(stderr, "BROKEN") || broken != (stdout != "") {
				t.Errorf("%v: exit code %d, it printed %q and %q", more, got, stdout, stderr)
			}
			if readText(t, k.path) != kept {
				t.Fatalf("%v: the file has changed", more)
			}
		}
	}
	ask(exitFailed, "of "+size.String()+": it is behind")
	w.register(t, people(100, 100+int(size)-3)...)
	ask(exitBroken, "the checkpoint of "+size.String()+" facts that was kept does not hold: the log whose checkpoint of "+size.String()+" facts")
	w.register(t, people(200, 220)...)
	ask(exitBroken, "the checkpoint of "+size.String()+" facts that was kept does not hold")
	w.stop()

	w = startUp(t, k.data, signEvery(5)) // the right one can be followed on
	fetch[3] = w.at.Gateway
	w.enrol(t, people(6, 6)...)
	if got := k.keep(t, w); len(got) != 1 {
		t.Errorf("%d checkpoints were added", len(got))
	}
}

// refusedUp runs `pinfold up` on a folder on which it is to end by itself, and returns what it says.
func refusedUp(t *testing.T, data string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // if it does not
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{
		"up", "--data", data, "--listen", "127.0.0.1:0", "--tap-listen", "127.0.0.1:0", "--rewards-listen", "127.0.0.1:0",
		"--steps-listen", "127.0.0.1:0", "--admin", "", "--log-level", "error",
	}, &stdout, &stderr)
	if code != exitDiverged {
		t.Errorf("exit code %d, %s, want %d", code, stderr.String(), exitDiverged)
	}
	return stderr.String()
}

// replaceFolder puts a copy of one folder in the place of another.
func replaceFolder(t *testing.T, folder, with string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(folder, os.DirFS(with)); err != nil {
		t.Fatal(err)
	}
}

// TestUpOtherLog starts `pinfold up` on a folder whose log is not the one for which it has signed: an older copy, and
// another one that is longer. It refuses, with its views and without them, until it has the right one again.
func TestUpOtherLog(t *testing.T) {
	k := keeper{data: t.TempDir(), path: filepath.Join(t.TempDir(), "kept")}
	older, newest, other := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "log"), t.TempDir()
	log, views := filepath.Join(k.data, "log"), filepath.Join(k.data, "views")
	w := startUp(t, k.data)
	w.enrol(t, people(1, 3)...)
	w.stop()
	replaceFolder(t, older, log)
	w = startUp(t, k.data)
	w.enrol(t, people(4, 6)...)
	k.keep(t, w) // a checkpoint of all facts is signed
	w.stop()
	replaceFolder(t, newest, log)
	w = startUp(t, other)
	w.enrol(t, people(11, 18)...)
	w.stop()
	signed := readText(t, filepath.Join(k.data, "keys", "signed.db"))

	replaceFolder(t, log, older)
	said := refusedUp(t, k.data)
	if !strings.Contains(said, "the log ends at") {
		t.Errorf("an older log: %s", said)
	}
	if err := os.RemoveAll(views); err != nil {
		t.Fatal(err)
	}
	said = refusedUp(t, k.data)
	if !strings.Contains(said, "a checkpoint of "+k.last(t).String()+" facts was signed, and the log ends at sequence ") {
		t.Errorf("an older log, without views: %s", said)
	}
	replaceFolder(t, log, filepath.Join(other, "log"))
	if err := os.RemoveAll(views); err != nil {
		t.Fatal(err)
	}
	said = refusedUp(t, k.data)
	if !strings.Contains(said, "the facts up to sequence "+k.last(t).String()+" are not those for which a checkpoint was signed") {
		t.Errorf("another log, without views: %s", said)
	}
	if readText(t, filepath.Join(k.data, "keys", "signed.db")) != signed {
		t.Error("something was signed of a log that is another one")
	}

	replaceFolder(t, log, newest)
	if err := os.RemoveAll(views); err != nil {
		t.Fatal(err)
	}
	w = startUp(t, k.data)
	w.enrol(t, people(7, 8)...)
	if got := k.keep(t, w); len(got) != 1 {
		t.Errorf("%d checkpoints were added, want one", len(got))
	}
	w.stop()
	k.wantInLog(t)
}
