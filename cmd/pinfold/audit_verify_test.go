package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/crowd"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// verifyJSON audits and returns the report, which must come with this exit code.
func verifyJSON(t *testing.T, want int, args ...string) verified {
	t.Helper()
	code, stdout, stderr := pinfold(t, append([]string{"audit", "verify", "--output", "json"}, args...)...)
	if code != want {
		t.Fatalf("%v: exit code %d, %.500q and %q, want code %d", args, code, stdout, stderr, want)
	}
	var v verified
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	return v
}

func wantKind(t *testing.T, v verified, kind audit.Kind) {
	t.Helper()
	if len(v.Findings) != 1 || v.Findings[0].Kind != kind {
		t.Errorf("got %v, want one finding of %s", v.Findings, kind)
	}
}

func verifyRefuses(t *testing.T, wantCode int, want string, args ...string) {
	t.Helper()
	code, stdout, stderr := pinfold(t, append([]string{"audit", "verify"}, args...)...)
	if code != wantCode || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("%v: exit code %d, %q and %q, want code %d and %q", args, code, stdout, stderr, wantCode, want)
	}
}

// TestAuditVerifyRate: the rate is printed, and the keys of the JSON object are those that auditors' scripts know.
func TestAuditVerifyRate(t *testing.T) {
	data, archive := playedLog(t, crowd.Synthetic(8, 1, 1))
	v := verifyJSON(t, exitOK, archive, "--scratch", t.TempDir())
	if v.Seconds <= 0 || v.FactsPerSecond*v.Seconds < float64(v.Facts)*0.999 || v.FactsPerSecond*v.Seconds > float64(v.Facts)*1.001 {
		t.Errorf("%d facts in %v s: got a rate of %v", v.Facts, v.Seconds, v.FactsPerSecond)
	}
	_, stdout, _ := pinfold(t, "audit", "verify", "--data", data)
	for _, want := range []string{"\nrate         ", " facts/s\n", "\nviews        4 are what the log folds to\n", "\nroot         " + v.Root.String() + "\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got %q, want %q in it", stdout, want)
		}
	}
	_, stdout, _ = pinfold(t, "audit", "verify", "--output", "json", archive)
	var object map[string]any
	if err := json.Unmarshal([]byte(stdout), &object); err != nil {
		t.Fatal(err)
	}
	want := []string{"backgrounds", "facts", "facts_per_second", "findings", "friendships", "halves", "medals", "root", "rules_adopted", "seconds", "size", "verdict"}
	if got := slices.Sorted(maps.Keys(object)); !slices.Equal(got, want) {
		t.Errorf("got the keys %v, want %v", got, want)
	}
}

// TestAuditVerifyLive asks a `pinfold up` that runs for its digests, and holds them against the log that it leaves.
func TestAuditVerifyLive(t *testing.T) {
	data := t.TempDir()
	w := startUp(t, data)
	w.play(t, crowd.Synthetic(20, 1, 1))
	live, err := askDigests(t.Context(), []string{w.at.Admin})
	if err != nil {
		t.Fatal(err)
	}
	w.enrol(t, newPerson(1), newPerson(2)) // the log goes on
	w.stop()
	archive := filepath.Join(t.TempDir(), "log.pinfold")
	exportLog(t, archive, "--data", data)
	var services []string
	for _, d := range live {
		services = append(services, d.Service)
	}
	if !slices.Equal(services, serviceNames) {
		t.Fatalf("got digests of %v, want %v", services, serviceNames)
	}
	var answer []serve.ViewDigest
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/digest" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer admin.Close()
	address := strings.TrimPrefix(admin.URL, "http://")

	answer = live
	if v := verifyJSON(t, exitOK, archive, "--admin", address); v.Views != 4 {
		t.Errorf("%d views equal, want 4", v.Views)
	}
	if v := verifyJSON(t, exitOK, archive, "--admin", address+", "+address); v.Views != 8 {
		t.Errorf("%d views equal, want 8 of two processes", v.Views)
	}
	for i := range live {
		answer = slices.Clone(live)
		answer[i].Digest[31] ^= 1
		wantKind(t, verifyJSON(t, exitBroken, archive, "--admin", address), audit.ViewDiffers)
	}
	answer = slices.Clone(live)
	answer[1].Seq += 1_000_000
	wantKind(t, verifyJSON(t, exitBroken, archive, "--admin", address), audit.ViewDiffers)
	answer = slices.Clone(live)
	answer[2].Epoch = 2
	verifyRefuses(t, exitFailed, "the view of rewards is of epoch 2 of the log, the log that is read of epoch 1", archive, "--admin", address)
	answer = []serve.ViewDigest{{Service: "tea", Seq: 1}}
	verifyRefuses(t, exitFailed, `service "tea"`, archive, "--admin", address)
	verifyRefuses(t, exitFailed, "connection refused", archive, "--admin", address+","+freeAddress(t))
}

// TestAuditVerifyAtRest compares the views of a stopped `pinfold up`, one of which was changed by hand.
func TestAuditVerifyAtRest(t *testing.T) {
	data, _ := playedLog(t, crowd.Synthetic(8, 1, 1))
	if v := verifyJSON(t, exitOK, "--data", data); v.Views != 4 {
		t.Errorf("%d views equal, want 4", v.Views)
	}
	path := func(service string) string { return filepath.Join(data, "views", service+".db") }
	store, err := view.OpenBolt(path("rewards"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Update(changeAny); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	v := verifyJSON(t, exitBroken, "--data", data)
	wantKind(t, v, audit.ViewDiffers)
	if v.Views != 3 || !strings.Contains(v.Findings[0].Expected, "a view of rewards") {
		t.Errorf("%d views equal, %v: want 3, and rewards to differ", v.Views, v.Findings)
	}
	if err := os.Remove(path("rewards")); err != nil { // it is rebuilt at the next start
		t.Fatal(err)
	}
	if v := verifyJSON(t, exitOK, "--data", data); v.Views != 3 {
		t.Errorf("%d views equal, want 3", v.Views)
	}
	if err := os.Rename(path("steps"), path("rewards")); err != nil {
		t.Fatal(err)
	}
	verifyRefuses(t, exitDiverged, "it is the view of another service", "--data", data)

	// It reports what is damaged, and changes nothing.
	for name, content := range map[string][]byte{
		"empty": {}, "zeroed": make([]byte, 1<<16), "of another kind": []byte("some text\n"),
	} {
		if err := errors.Join(os.Remove(path("tap")), os.WriteFile(path("tap"), content, 0o400)); err != nil {
			t.Fatal(err)
		}
		verifyRefuses(t, exitDiverged, path("tap")+" is damaged: ", "--data", data)
		if now, err := os.ReadFile(path("tap")); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: the file was changed (error %v)", name, err)
		}
	}
	if err := errors.Join(os.Remove(path("tap")), os.Mkdir(path("tap"), 0o700)); err != nil {
		t.Fatal(err)
	}
	verifyRefuses(t, exitDiverged, path("tap")+" is damaged: it is a folder", "--data", data)
}

// changeAny changes a value of a core.
func changeAny(tx kv.Tx) error {
	for _, bucket := range tx.(view.Reader).Buckets() {
		if bucket == "runner" {
			continue
		}
		for k, v := range tx.Scan(bucket, nil, nil) {
			tx.Put(bucket, slices.Clone(k), append(slices.Clone(v[:len(v)-1]), v[len(v)-1]^1))
			return nil
		}
	}
	return io.EOF
}

// TestAuditVerifyCheckpoints holds an archive against checkpoints that were kept.
func TestAuditVerifyCheckpoints(t *testing.T) {
	_, archive := playedLog(t, crowd.Synthetic(8, 1, 1))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private, public, err := merkle.GenerateKey("tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := merkle.NewSigner(private, "tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(c merkle.Checkpoint) string {
		text, err := c.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	whole := verifyJSON(t, exitOK, archive)
	end := merkle.Checkpoint{Games: "tokyo2020", Size: whole.Size, Root: whole.Root}
	forged, later := end, end
	forged.Root[0] ^= 1
	later.Size++
	begin := merkle.Checkpoint{Games: "tokyo2020", Root: new(merkle.Edge).Root()}
	key := write("key", public+"\n")
	two := write("two", sign(end)+"\n"+sign(begin))

	if v := verifyJSON(t, exitOK, archive, "--checkpoint", two, "--checkpoint-key", public); v.Checkpoints != 2 {
		t.Errorf("%d checkpoints hold, want 2", v.Checkpoints)
	}
	v := verifyJSON(t, exitOK, archive, "--checkpoint", write("one", sign(begin)), "--checkpoint", write("other", sign(end)), "--checkpoint-key", key)
	if v.Checkpoints != 2 {
		t.Errorf("%d checkpoints of two files hold, want 2", v.Checkpoints)
	}
	broken := func(kind audit.Kind, seq fact.Seq, c merkle.Checkpoint) {
		t.Helper()
		v := verifyJSON(t, exitBroken, archive, "--checkpoint", write("broken", sign(c)), "--checkpoint-key", key)
		if wantKind(t, v, kind); v.Findings[0].Seq != seq {
			t.Errorf("found at sequence %d, want %d", v.Findings[0].Seq, seq)
		}
	}
	broken(audit.RewrittenSince, 1, forged)
	broken(audit.Cut, end.Size+1, later)

	_, stranger, err := merkle.GenerateKey("tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	_, otherGames, err := merkle.GenerateKey("paris2024")
	if err != nil {
		t.Fatal(err)
	}
	verifyRefuses(t, exitUsage, "give --checkpoint-key too", archive, "--checkpoint", two)
	verifyRefuses(t, exitFailed, "signed by no known key", archive, "--checkpoint", two, "--checkpoint-key", stranger)
	verifyRefuses(t, exitFailed, fmt.Sprintf("want %q", merkle.Origin("tokyo2020")), archive, "--checkpoint", two, "--checkpoint-key", otherGames)
	verifyRefuses(t, exitFailed, "no checkpoint: want at least one", archive, "--checkpoint", write("empty", "\n"), "--checkpoint-key", key)
	verifyRefuses(t, exitFailed, "does not fit", archive, "--checkpoint", write("changed", strings.Replace(sign(end), end.Size.String(), "7", 1)), "--checkpoint-key", key)
}
