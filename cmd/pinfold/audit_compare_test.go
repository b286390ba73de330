package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/crowd"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// tampered writes a copy of an archive from which change takes, or to which it adds, facts; they are numbered anew.
func tampered(t *testing.T, archive string, change func([]eventlog.Message) []eventlog.Message) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := audit.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var messages []eventlog.Message
	for m, err := range reader.Messages() {
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "tampered.pinfold"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = writeArchive(out, reader.Header(), func(yield func(eventlog.Message, error) bool) {
		for i, m := range change(messages) {
			m.Seq = fact.Seq(i + 1)
			if !yield(m, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestAuditCompare(t *testing.T) {
	_, archive := playedLog(t, crowd.Synthetic(20, 1, 1))
	cut := tampered(t, archive, func(m []eventlog.Message) []eventlog.Message { return m[:len(m)-7] })
	dropped := tampered(t, archive, func(m []eventlog.Message) []eventlog.Message { return append(m[:59:59], m[60:]...) })
	for name, tt := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"the same":  {[]string{archive, archive}, exitOK, []string{"the same\n", archive + ", epoch 1"}},
		"A longer":  {[]string{archive, cut}, exitOK, []string{"A goes on for 7 facts"}},
		"B longer":  {[]string{cut, archive}, exitOK, []string{"B goes on for 7 facts"}},
		"dropped":   {[]string{archive, dropped}, exitBroken, []string{"sequence 60: ONLY_IN_A", "agree    59 facts", "Put into A or taken out of B: 1 ", "pinfold: A and B disagree from sequence 60 on"}},
		"put in":    {[]string{dropped, archive}, exitBroken, []string{"sequence 60: ONLY_IN_B", "Put into B or taken out of A: 1 "}},
		"no B":      {[]string{archive}, exitUsage, []string{"<b>"}},
		"not found": {[]string{archive, "nowhere.pinfold"}, exitUsage, []string{"nowhere.pinfold"}},
		"no A":      {[]string{"audit_compare_test.go", archive}, exitFailed, []string{"audit_compare_test.go: archive: header"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := pinfold(t, append([]string{"audit", "compare"}, tt.args...)...)
			for _, want := range tt.want {
				if code != tt.code || !strings.Contains(stdout+stderr, want) {
					t.Errorf("exit code %d, %q and %q, want code %d and %q", code, stdout, stderr, tt.code, want)
				}
			}
		})
	}
	code, stdout, stderr := pinfold(t, "audit", "compare", archive, dropped, "--output", "json")
	var got audit.Comparison
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	if code != exitBroken || got.Verdict != audit.Different || got.Agree != 59 || got.Difference.Seq != 60 || got.Difference.Kind != audit.OnlyInA || !strings.Contains(stderr, "disagree") {
		t.Errorf("exit code %d, %+v and %q", code, got, stderr)
	}
}
