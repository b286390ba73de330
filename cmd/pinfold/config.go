package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// configReport is what --print-config prints.
type configReport struct {
	Command string        `json:"command"`
	Flags   []configValue `json:"flags"`
}

// configValue is one flag with its value, as text, and where that came from: "flag", "environment NAME" or "default".
type configValue struct {
	Flag   string `json:"flag"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// printConfig prints what the command would run with.
func (s *session) printConfig(command *kong.Context) error {
	report := configReport{Command: command.Command()}
	for _, f := range command.Flags() {
		if f.Name != "help" && f.Name != "print-config" {
			value := withoutSecrets(fmt.Sprint(command.FlagValue(f)))
			report.Flags = append(report.Flags, configValue{Flag: "--" + f.Name, Value: value, Origin: origin(command, f)})
		}
	}
	if s.output == "json" {
		return s.answer(report)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "flag\tvalue\torigin")
	for _, v := range report.Flags {
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Flag, v.Value, v.Origin)
	}
	return w.Flush()
}

// origin returns where the value of a flag came from. As kong has it, the command line wins over the environment, and
// the environment over the default, also where the variable is empty.
func origin(command *kong.Context, f *kong.Flag) string {
	for _, p := range command.Path {
		if p.Flag == f && !p.Resolved {
			return "flag"
		}
	}
	for _, name := range f.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return "environment " + name
		}
	}
	return "default"
}

// withoutSecrets hides who logs in to a URL, or to several that are separated by commas, and with what. Other text is
// returned as it is.
func withoutSecrets(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		scheme, rest, isURL := strings.Cut(u, "://")
		if at := strings.LastIndex(rest, "@"); isURL && at >= 0 {
			list[i] = scheme + "://xxxxx" + rest[at:]
		}
	}
	return strings.Join(list, ",")
}
