package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The libraries that complete for kong stand on others that nobody keeps any more, and bash completes through them only what
// is on the PATH. These few lines ask kong's own model, so what is completed is what is parsed.

//go:embed completion
var completionScripts embed.FS

type completionCommand struct {
	Shell string `arg:"" help:"The shell: ${enum}." enum:"bash,zsh,fish"`
}

// Help implements kong.HelpProvider.
func (c *completionCommand) Help() string {
	return `For bash, in ~/.bashrc: eval "$(pinfold completion bash)". For zsh, in ~/.zshrc behind compinit: eval "$(pinfold completion zsh)".
For fish: pinfold completion fish >~/.config/fish/completions/pinfold.fish`
}

func (c *completionCommand) Run(s *session) error {
	script, err := completionScripts.ReadFile("completion/pinfold." + c.Shell)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return s.answer(map[string]string{"shell": c.Shell, "script": string(script)})
	}
	_, err = s.stdout.Write(script)
	return err
}

// candidatesCommand is what the scripts ask.
type candidatesCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words behind the program's name, the last of which is completed."`
}

func (c *candidatesCommand) Run(s *session, parser *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	list := candidates(parser.Model.Node, words)
	if s.output == "json" {
		return s.answer(map[string][]string{"candidates": list})
	}
	for _, word := range list {
		if _, err := fmt.Fprintln(s.stdout, word); err != nil {
			return err
		}
	}
	return nil
}

// candidates returns what the last word may become: commands, flags, or the values of an enum. Where it may be anything, such
// as a file, there are none.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	var flags []*kong.Flag
	flags = append(flags, node.Flags...)
	var open *kong.Flag // whose value comes next
	arguments := 0
	for _, word := range before {
		switch child := childOf(node, word); {
		case open != nil:
			open = nil
		case strings.HasPrefix(word, "--"):
			if flag := flagOf(flags, word[2:]); flag != nil && !flag.IsBool() {
				open = flag
			}
		case child != nil:
			node, flags = child, append(flags, child.Flags...)
		default:
			arguments++
		}
	}
	name, value, given := strings.Cut(last, "=")
	switch {
	case open != nil:
		return valuesOf(open.Value, "", last)
	case strings.HasPrefix(last, "--") && given:
		if flag := flagOf(flags, name[2:]); flag != nil {
			return valuesOf(flag.Value, name+"=", value)
		}
		return nil
	case strings.HasPrefix(last, "-"):
		return flagsOf(flags, last)
	case len(node.Positional) > arguments:
		return valuesOf(node.Positional[arguments], "", last)
	}
	return childrenOf(node, last)
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

func childrenOf(node *kong.Node, prefix string) (names []string) {
	for _, child := range node.Children {
		if !child.Hidden && strings.HasPrefix(child.Name, prefix) {
			names = append(names, child.Name)
		}
	}
	return names
}

func flagOf(flags []*kong.Flag, name string) *kong.Flag {
	for _, flag := range flags {
		if flag.Name == name {
			return flag
		}
	}
	return nil
}

func flagsOf(flags []*kong.Flag, prefix string) (names []string) {
	for _, flag := range flags {
		if name := "--" + flag.Name; !flag.Hidden && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// valuesOf returns the values of an enum that begin with prefix, each behind what stands before it.
func valuesOf(of *kong.Value, before, prefix string) (values []string) {
	for _, value := range of.EnumSlice() {
		if value != "" && strings.HasPrefix(value, prefix) {
			values = append(values, before+value)
		}
	}
	slices.Sort(values)
	return values
}
