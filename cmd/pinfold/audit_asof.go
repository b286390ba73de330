package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"pinfold/audit"
	"pinfold/internal/fact"
)

// momentFlag says up to where the log is folded.
type momentFlag struct {
	At string `help:"Up to where the log is folded: a sequence, or an instant such as 2021-07-23T20:00:00+09:00, by when facts were stored. Without it, to its end." env:"-" placeholder:"SEQ|INSTANT"`
}

func (f momentFlag) moment() (audit.Moment, error) {
	if f.At == "" {
		return audit.Moment{}, nil
	}
	m, err := audit.ParseMoment(f.At)
	if err != nil {
		err = fmt.Errorf("--at: %w", err)
	}
	return m, err
}

type auditLeaderboardCommand struct {
	sourceFlags
	momentFlag
	Limit int `help:"How many places are shown." env:"-" default:"50"`
}

// Validate implements kong.Validatable.
func (c *auditLeaderboardCommand) Validate() error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit=%d: must be at least 1", c.Limit)
	}
	_, err := c.moment()
	return errors.Join(err, c.sourceFlags.Validate())
}

// Run prints the leaderboard as it was.
func (c *auditLeaderboardCommand) Run(s *session) error {
	until, err := c.moment()
	if err != nil {
		return err
	}
	source, err := c.source(s)
	if err != nil {
		return err
	}
	defer source.close()
	board, err := audit.LeaderboardAt(s.ctx, source.folded(s), until, c.Limit)
	if err != nil {
		return audited(err)
	}
	if s.output == "json" {
		return s.answer(board)
	}
	printPlace(s.stdout, board.At)
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "rank\twearer\tfriends\tmedal\tbackgrounds\n")
	for _, p := range board.Places {
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%d\n", p.Rank, p.Wearer, p.Friends, p.Medal, p.Backgrounds)
	}
	return w.Flush()
}

func printPlace(w io.Writer, at audit.Place) {
	fmt.Fprintf(w, "As of sequence %d, stored %s.\n\n", at.Seq, at.Stored)
}

type auditWearerCommand struct {
	Wearer string `arg:"" help:"The wearer: 26 base32 characters."`
	sourceFlags
	momentFlag
}

// Validate implements kong.Validatable.
func (c *auditWearerCommand) Validate() error {
	_, wearerErr := fact.ParseWearerID(c.Wearer)
	_, momentErr := c.moment()
	return errors.Join(wearerErr, momentErr, c.sourceFlags.Validate())
}

// Run prints what there was of a wearer.
func (c *auditWearerCommand) Run(s *session) error {
	wearer, err := fact.ParseWearerID(c.Wearer)
	if err != nil {
		return err
	}
	until, err := c.moment()
	if err != nil {
		return err
	}
	source, err := c.source(s)
	if err != nil {
		return err
	}
	defer source.close()
	state, err := audit.WearerAt(s.ctx, source.folded(s), until, wearer)
	if err != nil {
		return audited(err)
	}
	if s.output == "json" {
		return s.answer(state)
	}
	return printWearer(s.stdout, state)
}

func printWearer(to io.Writer, state audit.WearerState) error {
	printPlace(to, state.At)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "wearer\t%s\n", state.Wearer)
	if state.Erased {
		fmt.Fprint(w, "erased\tyes\n")
	}
	fmt.Fprintf(w, "friends\t%d\n", state.Friends)
	if state.Rank > 0 {
		fmt.Fprintf(w, "rank\t%d\n", state.Rank)
	}
	if state.Chosen != "" {
		fmt.Fprintf(w, "chosen background\t%s\n", state.Chosen)
	}
	printGiven(w, "medal", state.Medals)
	printGiven(w, "background", state.Backgrounds)
	if len(state.FriendList) > 0 {
		fmt.Fprint(w, "\nfriend\tsequence\tsince\n")
	}
	for _, f := range state.FriendList {
		fmt.Fprintf(w, "%s\t%d\t%s\n", f.Wearer, f.Friendship, f.Formed)
	}
	if len(state.Days) > 0 {
		fmt.Fprint(w, "\nday\tsteps\tgoal\n")
	}
	for _, d := range state.Days {
		goal := ""
		if d.GoalReached {
			goal = "reached"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", d.Day, d.Steps, goal)
	}
	return w.Flush()
}

func printGiven(w io.Writer, kind string, list []audit.Given) {
	if len(list) > 0 {
		fmt.Fprintf(w, "\n%s\tat friends\tgiven\n", kind)
	}
	for _, g := range list {
		given := g.Given
		if given == "" {
			given = "not recorded yet"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", g.Award, g.Friends, given)
	}
}
