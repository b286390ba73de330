package main

import (
	"errors"
	"fmt"

	"pinfold/audit"
)

// brokenError says that a log was verified and does not hold.
type brokenError struct {
	findings uint64
}

func (e *brokenError) Error() string {
	if e.findings == 1 {
		return "BROKEN: 1 finding: this log does not prove what it says"
	}
	return fmt.Sprintf("BROKEN: %d findings: this log does not prove what it says", e.findings)
}

// unsoundError says that a log, or an archive, cannot be read for what stands in it.
type unsoundError struct{ err error }

func (e *unsoundError) Error() string { return "BROKEN: " + e.err.Error() }

func (e *unsoundError) Unwrap() error { return e.err }

// audited tells what is wrong with what was read from what went wrong while it was read.
func audited(err error) error {
	if audit.InLog(err) {
		return &unsoundError{err}
	}
	return interrupted(err)
}

// isBroken reports whether an audit found that something does not hold.
func isBroken(err error) bool {
	var broken *brokenError
	var parted *partedError
	var unproven *unprovenError
	var unsound *unsoundError
	return errors.As(err, &broken) || errors.As(err, &parted) || errors.As(err, &unproven) || errors.As(err, &unsound)
}
