package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"pinfold/audit"
	"pinfold/internal/fact"
)

type auditWhatIfCommand struct {
	sourceFlags
	Set   []string `help:"A field of the rules and its other value, such as medals.silver=75, with the keys of a rules file. May be given again." env:"-" sep:"none" xor:"rules" required:"" placeholder:"KEY=VALUE"`
	Rules string   `help:"File of the other rules. PINFOLD_RULES is not read: it names those of a gateway." env:"-" xor:"rules" required:"" type:"existingfile" placeholder:"FILE"`
}

// Validate implements kong.Validatable.
func (c *auditWhatIfCommand) Validate() error {
	return errors.Join(audit.CheckSettings(c.Set), c.sourceFlags.Validate())
}

// whatIfAnswer is a what-if as JSON.
type whatIfAnswer struct {
	Games   string         `json:"games"`
	Facts   uint64         `json:"facts"`
	Before  audit.Outcome  `json:"before"`
	After   audit.Outcome  `json:"after"`
	Wearers []audit.Change `json:"wearers"` // who would gain or lose something
}

// Run prints who would gain or lose what under other rules.
func (c *auditWhatIfCommand) Run(s *session) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	source, err := c.source(s)
	if err != nil {
		return err
	}
	defer source.close()
	result, err := audit.WhatIf(s.ctx, source.folded(s), change)
	if err != nil {
		return audited(err)
	}
	return s.printWhatIf(source.games, result)
}

// change returns what makes the other rules of those that the log adopts.
func (c *auditWhatIfCommand) change() (func(fact.Rules) (fact.Rules, error), error) {
	if c.Rules == "" {
		return func(r fact.Rules) (fact.Rules, error) { return audit.ChangeRules(r, c.Set) }, nil
	}
	other, err := readRules(c.Rules)
	return func(fact.Rules) (fact.Rules, error) { return other, nil }, err
}

func (s *session) printWhatIf(games string, r *audit.WhatIfResult) error {
	if s.output == "json" {
		answer := whatIfAnswer{Games: games, Facts: r.Facts, Before: r.Before, After: r.After, Wearers: []audit.Change{}}
		for c := range r.Changes() {
			answer.Wearers = append(answer.Wearers, c)
		}
		return s.answer(answer)
	}
	if err := printOutcomes(s.stdout, games, r); err != nil {
		return err
	}
	changed := 0
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	for c := range r.Changes() {
		if changed++; changed == 1 {
			fmt.Fprint(w, "\nwearer\tfriends\tmedals\tbackgrounds\tgoals\n")
		}
		if changed <= maxPrinted {
			printChange(w, c)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "\n%d wearers would gain or lose something.\n", changed)
	if changed > maxPrinted {
		fmt.Fprintf(s.stdout, "The first %d are shown: --output json has all.\n", maxPrinted)
	}
	return nil
}

func printOutcomes(to io.Writer, games string, r *audit.WhatIfResult) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "games\t%s\n", games)
	fmt.Fprintf(w, "facts\t%d\n\n", r.Facts)
	fmt.Fprint(w, "\tas it is\tother rules\tdifference\n")
	b, a := r.Before, r.After
	for _, row := range []struct {
		name          string
		before, after uint64
	}{
		{"friendships", b.Friendships, a.Friendships},
		{"formed ever", b.FriendshipsFormed, a.FriendshipsFormed},
		{"bronze", b.Bronze, a.Bronze},
		{"silver", b.Silver, a.Silver},
		{"gold", b.Gold, a.Gold},
		{"backgrounds", b.Backgrounds, a.Backgrounds},
		{"step goals", b.StepGoals, a.StepGoals},
	} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%+d\n", row.name, row.before, row.after, int64(row.after-row.before))
	}
	return w.Flush()
}

// printChange writes one line: what is gained with +, what is lost with -.
func printChange(w io.Writer, c audit.Change) {
	friends := fmt.Sprint(c.FriendsAfter)
	if c.FriendsBefore != c.FriendsAfter {
		friends = fmt.Sprintf("%d -> %d", c.FriendsBefore, c.FriendsAfter)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Wearer, friends, signed(c.MedalsGained, c.MedalsLost),
		counted(len(c.BackgroundsGained), len(c.BackgroundsLost)), counted(c.GoalsGained, c.GoalsLost))
}

func signed(gained, lost []string) string {
	var list []string
	for _, name := range gained {
		list = append(list, "+"+name)
	}
	for _, name := range lost {
		list = append(list, "-"+name)
	}
	return strings.Join(list, " ")
}

func counted(gained, lost int) string {
	var list []string
	if gained > 0 {
		list = append(list, fmt.Sprintf("+%d", gained))
	}
	if lost > 0 {
		list = append(list, fmt.Sprintf("-%d", lost))
	}
	return strings.Join(list, " ")
}
