package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"text/tabwriter"

	"pinfold/internal/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

type auditVerifyCommand struct {
	logFlags
	File       string `arg:"" optional:"" help:"Archive to verify. Without it, the log of --data or --nats is." type:"existingfile"`
	Roster     string `help:"File of every pin that was made, in lines of pin id and public key, both in hex, with a comma between. Any other pin is a finding; without the file, invented pins cannot be told." type:"existingfile" placeholder:"FILE"`
	Unfinished bool   `help:"The archive was written while the services still had facts to derive: those that are missing at its end are counted, and are no finding. A log that is read from --data or --nats is always taken so."`
	Workers    int    `help:"How many signatures are verified at a time; 0 = as many as there are processors." default:"0"`
}

// brokenError says that a log was verified and does not hold.
type brokenError struct {
	findings uint64
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("BROKEN: %d findings: this log does not prove what it says", e.findings)
}

// Run prints the report and returns a *brokenError unless the log is clean.
func (c *auditVerifyCommand) Run(s *session) error {
	options := audit.Options{Workers: c.Workers, Unfinished: c.Unfinished || c.File == ""}
	var err error
	if c.Roster != "" {
		if options.Factory, err = readFactory(c.Roster); err != nil {
			return err
		}
	}
	games, last, messages, closeSource, err := c.source(s)
	if err != nil {
		return err
	}
	defer closeSource()
	if progress := s.factsBar("verified", last); progress != nil {
		options.Progress = func(facts uint64) { progress(int(facts)) }
	}
	report, err := audit.Verify(s.ctx, games, messages, options)
	if s.ctx.Err() != nil {
		return interrupted(s.ctx.Err())
	}
	if printErr := s.printReport(games, report); err == nil {
		err = printErr
	}
	if err == nil && report.Verdict != audit.Clean {
		err = &brokenError{findings: uint64(len(report.Findings)) + report.LeftOut}
	}
	return err
}

// source opens what is verified. The last sequence is 0 where it is not known beforehand.
func (c *auditVerifyCommand) source(s *session) (games string, last fact.Seq, messages iter.Seq2[eventlog.Message, error], closeSource func(), err error) {
	if c.File != "" {
		return c.archive()
	}
	log, closeLog, err := c.open(s)
	if err != nil {
		return "", 0, nil, nil, err
	}
	head, messages, err := audit.FromLog(s.ctx, log)
	if err != nil {
		closeLog()
		return "", 0, nil, nil, interrupted(err)
	}
	return c.Games, head.Last, messages, closeLog, nil
}

// archive opens the archive. Of which Games it is, it says itself.
func (c *auditVerifyCommand) archive() (games string, last fact.Seq, messages iter.Seq2[eventlog.Message, error], closeSource func(), err error) {
	if c.NATS != "" {
		return "", 0, nil, nil, errors.New("FILE and --nats are two logs: give one of them")
	}
	file, err := os.Open(c.File)
	if err != nil {
		return "", 0, nil, nil, err
	}
	reader, err := audit.NewReader(file)
	if err != nil {
		file.Close() //nolint:errcheck // it was only read
		return "", 0, nil, nil, fmt.Errorf("%s: %w", c.File, err)
	}
	return reader.Header().Games, 0, reader.Messages(), func() { file.Close() }, nil //nolint:errcheck // it was only read
}

// readFactory reads the pins that were made: lines "pin id,public key" in hex. Empty lines and those that begin with #
// are passed over. The error names the line.
func readFactory(path string) (map[fact.PinID]fact.PublicKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseFactory(path, file)
}

func parseFactory(name string, r io.Reader) (map[fact.PinID]fact.PublicKey, error) {
	made := map[fact.PinID]fact.PublicKey{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, key, err := parsePin(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, n, err)
		}
		made[id] = key
	}
	return made, lines.Err()
}

// parsePin reads a line of the factory's list. The id is the hash of the key, so one of the two would do: a line in which
// they disagree is a mistake that is not to be passed over.
func parsePin(line string) (fact.PinID, fact.PublicKey, error) {
	idText, keyText, _ := strings.Cut(line, ",")
	id, err := fact.ParsePinID(strings.TrimSpace(idText))
	if err != nil {
		return fact.PinID{}, fact.PublicKey{}, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(keyText))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return fact.PinID{}, fact.PublicKey{}, fmt.Errorf("public key %q: want %d hex digits", keyText, 2*ed25519.PublicKeySize)
	}
	key := fact.PublicKey(raw)
	if key.PinID() != id {
		return fact.PinID{}, fact.PublicKey{}, fmt.Errorf("pin %v: the id of its key is %v", id, key.PinID())
	}
	return id, key, nil
}

// maxPrinted is how many findings the table shows; JSON has more.
const maxPrinted = 50

func (s *session) printReport(games string, r audit.Report) error {
	if s.output == "json" {
		return json.NewEncoder(s.stdout).Encode(r)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "games\t%s\n", games)
	fmt.Fprintf(w, "verdict\t%s\n", r.Verdict)
	fmt.Fprintf(w, "facts\t%d\n", r.Facts)
	fmt.Fprintf(w, "halves\t%d\n", r.Halves)
	fmt.Fprintf(w, "friendships\t%d\n", r.Friendships)
	fmt.Fprintf(w, "medals\t%d\n", r.Medals)
	fmt.Fprintf(w, "backgrounds\t%d\n", r.Backgrounds)
	if r.Outstanding > 0 {
		fmt.Fprintf(w, "outstanding\t%d facts that services were still to derive\n", r.Outstanding)
	}
	fmt.Fprintf(w, "findings\t%d\n", uint64(len(r.Findings))+r.LeftOut)
	if err := w.Flush(); err != nil {
		return err
	}
	for i, f := range r.Findings {
		if i == maxPrinted {
			fmt.Fprintf(s.stdout, "The first %d are shown: --output json has more.\n", maxPrinted)
			break
		}
		fmt.Fprintf(s.stdout, "\nsequence %d: %s\n  expected  %s\n  found     %s\n", f.Seq, f.Kind, f.Expected, f.Found)
	}
	return nil
}
