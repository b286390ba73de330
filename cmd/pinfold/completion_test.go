package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompletion asks bash, with the script, what the end of a line may become.
func TestCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Logf("no bash on this machine (%v): the script is not run, only what it asks", err)
	}
	folder := t.TempDir()
	asProgram(t, folder, "pinfold")
	_, script, _ := pinfold(t, "completion", "bash")
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"st":                         "steps status",
		"audit ex":                   "export explain",
		"audit export --ga":          "--games",
		"demo --pho":                 "--phones",
		"demo --phones ":             "perfect real",
		"demo --phones r":            "real",
		"demo --phones=":             "perfect real",
		"demo --phones=r":            "real",
		"--output json stat":         "status",
		"status --ready ":            "gateway rewards steps tap",
		"completion ":                "bash fish zsh",
		"pin ":                       "run tap walk press screenshot",
		"pin run --board ":           "native qemu",
		"pin run a --board ":         "native qemu",
		"audit verify ":              "",
		"status --unknown --output ": "json table",
	} {
		if _, asked, _ := pinfold(t, append([]string{"complete", "--"}, strings.Split(line, " ")...)...); bare(asked) != want {
			t.Errorf("asked for %q: got %q, want %q", line, bare(asked), want)
		}
		if bash == "" {
			continue
		}
		words := strings.NewReplacer("=", " = ").Replace("pinfold " + line)
		shell := exec.CommandContext(t.Context(), bash, "--norc", "-c", fmt.Sprintf(
			`source %s; COMP_WORDS=(%s); [[ %q == *[\ =] ]] && [[ %q != *= ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _pinfold; printf '%%s\n' "${COMPREPLY[@]}"`,
			path, words, line, line))
		shell.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
		if out, err := shell.CombinedOutput(); err != nil || bare(string(out)) != want {
			t.Errorf("bash, %q: got %q, %v, want %q", line, bare(string(out)), err, want)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		if code, script, _ := pinfold(t, "completion", shell); code != exitOK || !strings.Contains(script, " complete -- ") {
			t.Errorf("%s: exit code %d and %q", shell, code, script)
		}
	}
}

// bare is a list of candidates in one line, without what stands before the values of a flag.
func bare(list string) string {
	words := strings.Fields(list)
	for i, word := range words {
		_, value, given := strings.Cut(word, "=")
		if given {
			words[i] = value
		}
	}
	return strings.Join(words, " ")
}
