package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"pinfold/audit"
)

// failure is what a command that failed says in JSON, where it has not answered otherwise.
type failure struct {
	Verdict string `json:"verdict,omitempty"` // broken, of an audit that found so
	Error   string `json:"error"`
	Exit    int    `json:"exit_code"`
}

// answer prints the one JSON object of the command.
func (s *session) answer(v any) error {
	s.answered = true
	return json.NewEncoder(s.stdout).Encode(v)
}

// answerEnd sees to it that the command has answered with one JSON object, however it ended: a command that has nothing to
// say answers with an empty one, and one that failed with its error.
func (s *session) answerEnd(err error) {
	if s.output != "json" || s.answered {
		return
	}
	if err == nil {
		_ = s.answer(struct{}{}) // there is nothing that could be lost
		return
	}
	if unread(err) {
		return
	}
	said := failure{Error: err.Error(), Exit: exitCode(err)}
	if isBroken(err) {
		said.Verdict = audit.Broken
	}
	_ = s.answer(said) // it is said on standard error too
}

// wantsJSON reports whether a command line that is not understood asks for JSON.
func wantsJSON(args []string) bool {
	wanted := os.Getenv("PINFOLD_OUTPUT")
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--output="); ok {
			wanted = value
		} else if arg == "--output" && i+1 < len(args) {
			wanted = args[i+1]
		}
	}
	return wanted == "json"
}

// unread reports whether an error is that nobody reads any more what is printed, as behind `| head`: that needs no words.
func unread(err error) bool {
	failed, ok := errors.AsType[*fs.PathError](err)
	return ok && failed.Op == "write" && errors.Is(failed, syscall.EPIPE)
}
