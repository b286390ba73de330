package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"text/tabwriter"
)

type versionCommand struct{}

// build is of what a program was built; "" = the build does not say.
type build struct {
	Version string            `json:"version"`
	Commit  string            `json:"commit"`
	Time    string            `json:"commit_time"` // RFC 3339
	Dirty   *bool             `json:"dirty"`       // the sources were not those of the commit; null = not known
	Go      string            `json:"go"`
	Modules map[string]string `json:"modules"`
}

// modules are those whose versions matter to who runs the system: they keep the log and the views, and speak between processes.
var modules = []string{
	"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "go.etcd.io/bbolt", "google.golang.org/grpc", "google.golang.org/protobuf",
}

func (c *versionCommand) Run(s *session) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program was built without build information")
	}
	return s.printBuild(buildOf(info))
}

func buildOf(info *debug.BuildInfo) build {
	b := build{Version: info.Main.Version, Go: info.GoVersion, Modules: map[string]string{}}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			dirty := setting.Value == "true"
			b.Dirty = &dirty
		}
	}
	versions := map[string]string{}
	for _, m := range info.Deps {
		versions[m.Path] = m.Version
	}
	for _, path := range modules {
		b.Modules[path] = versions[path]
	}
	return b
}

func (s *session) printBuild(b build) error {
	if s.output == "json" {
		return s.answer(b)
	}
	unknown := func(text string) string {
		if text == "" {
			return "unknown"
		}
		return text
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "pinfold\t%s\n", unknown(b.Version))
	fmt.Fprintf(w, "commit\t%s\n", unknown(b.Commit))
	fmt.Fprintf(w, "of\t%s\n", unknown(b.Time))
	dirty := ""
	if b.Dirty != nil {
		dirty = yesNo(*b.Dirty)
	}
	fmt.Fprintf(w, "dirty\t%s\n", unknown(dirty))
	fmt.Fprintf(w, "go\t%s\n", b.Go)
	for _, path := range modules {
		fmt.Fprintf(w, "%s\t%s\n", path, unknown(b.Modules[path]))
	}
	return w.Flush()
}
