package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"pinfold/audit"
)

type auditCompareCommand struct {
	A string `arg:"" help:"One archive." type:"existingfile"`
	B string `arg:"" help:"The other archive, of the same Games." type:"existingfile"`
}

// disagreeError says that two archives of the same Games are not of one log.
type disagreeError struct {
	difference audit.Difference
}

func (e *disagreeError) Error() string {
	return fmt.Sprintf("A and B disagree from sequence %d on: at most one of them is the log", e.difference.Seq)
}

// Unwrap lets the command end as one that found a log that does not hold.
func (e *disagreeError) Unwrap() error { return &brokenError{findings: 1} }

// Run prints how the two relate and returns a *disagreeError unless one begins with the other.
func (c *auditCompareCommand) Run(s *session) error {
	a, fileA, err := openArchive(c.A)
	if err != nil {
		return err
	}
	defer fileA.Close()
	b, fileB, err := openArchive(c.B)
	if err != nil {
		return err
	}
	defer fileB.Close()
	result, err := audit.Compare(s.ctx, a, b)
	if err != nil {
		return audited(err)
	}
	var disagree error
	if result.Difference != nil {
		disagree = &disagreeError{difference: *result.Difference}
	}
	return errors.Join(disagree, c.print(s, result))
}

func (c *auditCompareCommand) print(s *session, r audit.Comparison) error {
	if s.output == "json" {
		return s.answer(r)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "games\t%s\n", r.Games)
	fmt.Fprintf(w, "A\t%s, epoch %d\n", c.A, r.EpochA)
	fmt.Fprintf(w, "B\t%s, epoch %d\n", c.B, r.EpochB)
	fmt.Fprintf(w, "agree\t%d facts\n", r.Agree)
	fmt.Fprintf(w, "verdict\t%s\n", verdictOf(r))
	if err := w.Flush(); err != nil || r.Difference == nil {
		return err
	}
	d := r.Difference
	_, err := fmt.Fprintf(s.stdout, "\nsequence %d: %s\n  A  %s\n  B  %s\n  %s\n", d.Seq, d.Kind, d.A, d.B, looksLike(*d))
	return err
}

func verdictOf(r audit.Comparison) string {
	switch r.Verdict {
	case audit.ALonger:
		return fmt.Sprintf("the same, and A goes on for %d facts", r.MoreA)
	case audit.BLonger:
		return fmt.Sprintf("the same, and B goes on for %d facts", r.MoreB)
	case audit.Same:
		return "the same"
	}
	return "they disagree"
}

// looksLike says the kind of a difference in a sentence.
func looksLike(d audit.Difference) string {
	switch d.Kind {
	case audit.StoredTime:
		return "The same fact, stored at another time."
	case audit.Rewritten:
		return fmt.Sprintf("Rewritten: %d %s facts; right behind, the two are the same again.", d.OnlyA, d.Among)
	case audit.OnlyInA:
		return fmt.Sprintf("Put into A or taken out of B: %d %s facts; B goes on where A is behind them.", d.OnlyA, d.Among)
	case audit.OnlyInB:
		return fmt.Sprintf("Put into B or taken out of A: %d %s facts; A goes on where B is behind them.", d.OnlyB, d.Among)
	case audit.Replaced:
		return fmt.Sprintf("Replaced: %d %s facts of A stand where B has %d; behind them, the two are the same again.", d.OnlyA, d.Among, d.OnlyB)
	case audit.Reordered:
		return fmt.Sprintf("Moved: the same facts, in another order (%s).", d.Among)
	}
	return fmt.Sprintf("Parted: the %s facts do not come together again within reach.", d.Among)
}
