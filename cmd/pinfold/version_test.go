package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	code, stdout, stderr := pinfold(t, "version", "--output", "json")
	var b build
	if err := json.Unmarshal([]byte(stdout), &b); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if b.Go != runtime.Version() {
		t.Errorf("built with %q, want %q", b.Go, runtime.Version())
	}
	for _, path := range modules {
		if !strings.HasPrefix(b.Modules[path], "v") {
			t.Errorf("%s: version %q", path, b.Modules[path])
		}
	}
	code, stdout, _ = pinfold(t, "version")
	if code != exitOK || !strings.Contains(stdout, runtime.Version()) || !strings.Contains(stdout, "dirty") {
		t.Errorf("exit code %d and %q", code, stdout)
	}
}

func TestBuildOf(t *testing.T) {
	b := buildOf(&debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "c0ffee"}, {Key: "vcs.time", Value: "2021-07-23T11:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}})
	if b.Commit != "c0ffee" || b.Time != "2021-07-23T11:00:00Z" || b.Dirty == nil || !*b.Dirty {
		t.Errorf("got %+v, want the commit, when it was made, and that the sources were others", b)
	}
	if b := buildOf(&debug.BuildInfo{}); b.Dirty != nil {
		t.Error("without a commit it says whether the sources were those of one")
	}
}
