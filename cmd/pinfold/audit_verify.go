package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"pinfold/audit"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

type auditVerifyCommand struct {
	sourceFlags
	scratchFlags
	Roster     string      `help:"File of every pin that was made, in lines of pin id and public key, both in hex, with a comma between. Any other pin is a finding; without the file, invented pins cannot be told." env:"-" type:"existingfile" placeholder:"FILE"`
	Rules      []string    `help:"File of the rules that were published. Any others that the log adopts are a finding. May be given again. PINFOLD_RULES is not read: it names those of a gateway." env:"-" sep:"none" type:"existingfile" placeholder:"FILE"`
	Unfinished bool        `help:"The archive was written while the services still had facts to derive: those that are missing at its end are counted, and are no finding. A log that is read from --data or --nats is always taken so." env:"-"`
	Checkpoint []string    `help:"File of signed checkpoints that were kept: the log must begin with what each was signed for. May be given again." env:"-" sep:"none" type:"existingfile" placeholder:"FILE"`
	Key        keyFlag     `name:"checkpoint-key" sep:"none" help:"Public key of a gateway, with which it signs checkpoints, or a file of such keys, as the organisers published them. May be given again." env:"-" placeholder:"KEY"`
	Admin      []string    `help:"Admin listeners of services that run: their views must be what the log folds to. The views of a pinfold up that does not run are compared without it, where its log is read from --data." env:"-" placeholder:"HOST:PORT"`
	Workers    workerCount `help:"How many signatures are verified at a time; 0 = as many as there are processors." default:"0"`
}

// Validate implements kong.Validatable.
func (c auditVerifyCommand) Validate() error {
	if len(c.Checkpoint) > 0 && len(c.Key) == 0 {
		return errors.New("--checkpoint is worth what its signature is: give --checkpoint-key too")
	}
	for _, address := range c.Admin {
		if err := checkAddress("--admin", strings.TrimSpace(address)); err != nil {
			return err
		}
	}
	return errors.Join(c.Key.check(), c.sourceFlags.Validate())
}

// verified is a report, and how long it took.
type verified struct {
	audit.Report
	Seconds        float64 `json:"seconds"`
	FactsPerSecond float64 `json:"facts_per_second"`
}

// Run prints the report and returns a *brokenError if the log is broken. A log that is suspect holds.
func (c *auditVerifyCommand) Run(s *session) error {
	options := audit.Options{Workers: int(c.Workers), Unfinished: c.Unfinished || c.File == "", Scratch: c.Scratch}
	var err error
	if c.Roster != "" {
		if options.Factory, err = readFactory(c.Roster); err != nil {
			return err
		}
	}
	for _, path := range c.Rules {
		published, err := readRules(path)
		if err != nil {
			return err
		}
		options.Rules = append(options.Rules, published)
	}
	live, err := askDigests(s.ctx, c.Admin) // before the log is read, so that the log holds all that they have folded
	if err != nil {
		return interrupted(err)
	}
	source, err := c.source(s)
	if err != nil {
		return err
	}
	defer source.close()
	if c.File == "" && c.NATS == "" {
		resting, err := restingDigests(c.Data)
		if err != nil {
			return err
		}
		live = append(live, resting...)
	}
	options.Epoch, options.Kept = source.epoch, source.kept
	if options.Views, err = viewsOf(source.epoch, live); err != nil {
		return err
	}
	if options.Checkpoints, err = c.checkpoints(s, source.games); err != nil {
		return err
	}
	if progress := s.factsBar("verified", source.last); progress != nil {
		options.Progress = func(facts uint64) { progress(int(facts)) }
	}
	begin := time.Now()
	report, err := audit.Verify(s.ctx, source.games, source.messages, options)
	if s.ctx.Err() != nil {
		return interrupted(s.ctx.Err())
	}
	if report.Verdict == "" {
		return err
	}
	result := verified{Report: report, Seconds: time.Since(begin).Seconds()}
	result.FactsPerSecond = float64(report.Facts) / result.Seconds
	return errors.Join(s.judge(report, err), err, s.printReport(source.games, result))
}

// judge returns a *brokenError if the log is broken, and not merely what was read of it before an error.
func (s *session) judge(r audit.Report, readErr error) error {
	findings := uint64(len(r.Findings)) + r.LeftOut
	broken := slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
		return f.Verdict == audit.Broken && (readErr == nil || f.Kind != audit.Unreadable)
	})
	switch {
	case broken:
		return &brokenError{findings: findings}
	case r.Verdict == audit.Suspect:
		fmt.Fprintf(s.stderr, "SUSPECT: findings: %d. The log holds. Owners of pins did what its rules allow and should not be: somebody is to look at it.\n", findings)
	}
	return nil
}

// checkpoints reads the checkpoints that were kept.
func (c *auditVerifyCommand) checkpoints(s *session, games string) ([]merkle.Checkpoint, error) {
	if len(c.Checkpoint) == 0 {
		return nil, nil
	}
	known, err := c.Key.known(games)
	if err != nil {
		return nil, err
	}
	var all []merkle.Checkpoint
	for _, path := range c.Checkpoint {
		list, err := (&keptFile{path: path, stderr: s.stderr}).checkpoints(games, known)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("%s: no checkpoint: want at least one", path)
		}
		all = append(all, list...)
	}
	return all, nil
}

// The largest list of the factory.
const (
	maxFactory     = 5_000_000 // pins
	maxFactoryLine = 1 << 12   // bytes
)

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
	lines.Buffer(nil, maxFactoryLine)
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, key, err := parsePin(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, n, err)
		}
		if made[id] = key; len(made) > maxFactory {
			return nil, fmt.Errorf("%s: line %d: want at most %d pins", name, n, maxFactory)
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("want lines of less than %d bytes", maxFactoryLine)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", name, n, err)
	}
	return made, nil
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
		return fact.PinID{}, fact.PublicKey{}, fmt.Errorf("public key %.80q: want %d hex digits", keyText, 2*ed25519.PublicKeySize)
	}
	key := fact.PublicKey(raw)
	if key.PinID() != id {
		return fact.PinID{}, fact.PublicKey{}, fmt.Errorf("pin %v: the id of its key is %v", id, key.PinID())
	}
	return id, key, nil
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// maxPrinted is how many findings the table shows; JSON has more.
const maxPrinted = 50

func (s *session) printReport(games string, r verified) error {
	if s.output == "json" {
		return s.answer(r)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "games\t%s\n", games)
	fmt.Fprintf(w, "verdict\t%s\n", r.Verdict)
	fmt.Fprintf(w, "facts\t%d\n", r.Facts)
	fmt.Fprintf(w, "rules\tadopted %s\n", times(r.RulesAdopted))
	fmt.Fprintf(w, "halves\t%d\n", r.Halves)
	fmt.Fprintf(w, "friendships\t%d\n", r.Friendships)
	fmt.Fprintf(w, "medals\t%d\n", r.Medals)
	fmt.Fprintf(w, "backgrounds\t%d\n", r.Backgrounds)
	if r.Outstanding > 0 {
		fmt.Fprintf(w, "outstanding\t%d facts that services were still to derive\n", r.Outstanding)
	}
	fmt.Fprintf(w, "root\t%v\n", r.Root)
	if r.Checkpoints > 0 {
		fmt.Fprintf(w, "checkpoints\t%d hold\n", r.Checkpoints)
	}
	if r.Views > 0 {
		fmt.Fprintf(w, "views\t%d are what the log folds to\n", r.Views)
	}
	fmt.Fprintf(w, "rate\t%.0f facts/s\n", r.FactsPerSecond)
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
