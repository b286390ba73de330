package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"pinfold/internal/fact"
	"pinfold/internal/file"
	"pinfold/internal/rules"
)

// rulesCommand is about files of rules, which docs/rules.md describes.
type rulesCommand struct {
	Check rulesCheckCommand `cmd:"" help:"Check a file of rules, and say all that is wrong with it."`
	Show  rulesShowCommand  `cmd:"" help:"Show rules: those of a file, or the default ones. With --output json, as a file of rules has them."`
}

type rulesCheckCommand struct {
	File string `arg:"" help:"File of rules, as docs/rules.md describes one." type:"existingfile"`
}

// rulesReport is what rules check prints.
type rulesReport struct {
	File     string   `json:"file"`
	Good     bool     `json:"good"`
	Problems []string `json:"problems"`
}

// Run fails if there is anything wrong with the file.
func (c *rulesCheckCommand) Run(s *session) error {
	document, err := file.Read(c.File, rules.MaxFile)
	if err != nil {
		return err
	}
	report := rulesReport{File: c.File, Good: true, Problems: []string{}}
	for _, problem := range rules.Problems(document) {
		report.Good, report.Problems = false, append(report.Problems, problem.Error())
	}
	if s.output == "json" {
		err = s.answer(report)
	} else {
		for _, problem := range report.Problems {
			fmt.Fprintln(s.stdout, problem)
		}
		if report.Good {
			fmt.Fprintln(s.stdout, "good")
		}
	}
	if !report.Good {
		return errors.Join(err, fmt.Errorf("%s: %d problems", c.File, len(report.Problems)))
	}
	return err
}

type rulesShowCommand struct {
	File string `arg:"" optional:"" help:"File of rules. Without it, the default ones are shown." type:"existingfile"`
}

func (c *rulesShowCommand) Run(s *session) error {
	document := rules.Default()
	if c.File != "" {
		var err error
		if document, err = file.Read(c.File, rules.MaxFile); err != nil {
			return err
		}
	}
	r, err := rules.Parse(document)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if s.output == "json" {
		return s.answer(json.RawMessage(document))
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\n", r.Name)
	fmt.Fprintf(w, "sports\t%d, a background each %d friends, %d at the start\n", len(r.Sports), r.FriendsPerBackground, r.StarterBackgrounds)
	fmt.Fprintf(w, "medals\tbronze from %d friends, silver from %d, gold from %d\n", r.Medals.Bronze, r.Medals.Silver, r.Medals.Gold)
	fmt.Fprintf(w, "step goal\t%d a day\n", r.StepGoal)
	fmt.Fprintf(w, "time zone\t%s\n", rules.ZoneName(document))
	fmt.Fprintf(w, "opens\t%s\n", orAlways(r.Opens))
	fmt.Fprintf(w, "closes\t%s, and %v for what comes late\n", orAlways(r.Closes), r.UploadGrace)
	fmt.Fprintf(w, "halves wait\t%v\n", r.PendingFor)
	for i, sport := range r.Sports {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", i+1, sport.ID, sport.English, sport.Japanese, sport.French)
	}
	return w.Flush()
}

func orAlways(t fact.UnixMilli) string {
	if t == 0 {
		return "always"
	}
	return t.String()
}

// rulesFile names a file of rules, which is read before anything is made.
type rulesFile string

// Validate implements kong.Validatable.
func (f rulesFile) Validate() error {
	if f == "" {
		return nil
	}
	_, err := readRules(string(f))
	return err
}

// readRules reads a file of rules. Its errors name the file.
func readRules(path string) (fact.Rules, error) {
	document, err := file.Read(path, rules.MaxFile)
	if err != nil {
		return fact.Rules{}, err
	}
	problems := rules.Problems(document)
	if len(problems) > 1 {
		return fact.Rules{}, fmt.Errorf("%s: %w, and %d problems more: pinfold rules check shows all", path, problems[0], len(problems)-1)
	}
	r, err := rules.Parse(document)
	if err != nil {
		return fact.Rules{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
