// Package evidence goes back from an award to everything that proves it: the friendships that it counts, the taps that
// made them, the two signed halves of each, the pins that signed, with whom these were paired, and the rules.
//
// The index, which Enter folds from the log, finds the facts; Collect reads them; a Story tells them to people; and a
// certificate, which Issue writes and Check verifies, proves them to anybody who has nothing but the key of the log's
// checkpoints.
package evidence

import (
	"errors"
	"fmt"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// Award is a medal or a background: exactly one of the two is set.
type Award struct {
	Medal      fact.Medal
	Background string // the sport's id
}

// ParseAward reads bronze, silver, gold, or the id of a sport as the rules have it.
func ParseAward(text string) (Award, error) {
	for _, m := range fact.Medals() {
		if text == m.String() {
			return Award{Medal: m}, nil
		}
	}
	a := Award{Background: text}
	if a.check() != nil {
		return Award{}, fmt.Errorf("award %.80q: want bronze, silver, gold, or the id of a sport (1 to %d of a-z, 0-9 and -)", text, maxBackground)
	}
	return a, nil
}

// String returns the text that ParseAward reads.
func (a Award) String() string {
	if a.Medal != 0 {
		return a.Medal.String()
	}
	return a.Background
}

// maxBackground is the length of the longest id of a sport in rules, in bytes.
const maxBackground = 32

func (a Award) check() error {
	switch {
	case (a.Medal != 0) == (a.Background != ""):
		return errors.New("award: want a medal or a background, one of the two")
	case a.Medal > fact.Gold:
		return fmt.Errorf("medal %v: want bronze, silver or gold", a.Medal)
	case len(a.Background) > maxBackground:
		return fmt.Errorf("background %.80q: want at most %d bytes", a.Background, maxBackground)
	}
	for _, c := range a.Background {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("background %.80q: want a-z, 0-9 and -", a.Background)
		}
	}
	return nil
}

// given returns what the fact gives to whom, with how many friends; false if it gives nothing.
func given(f fact.Fact) (w fact.WearerID, what Award, friends uint32, ok bool) {
	switch f := f.(type) {
	case fact.MedalAwarded:
		return f.Wearer, Award{Medal: f.Medal}, f.Friends, true
	case fact.BackgroundUnlocked:
		return f.Wearer, Award{Background: f.Background}, f.Friends, true
	}
	return fact.WearerID{}, Award{}, 0, false
}

// Placed is a fact of a known type in its place in the log.
type Placed[T fact.Fact] struct {
	Seq    fact.Seq
	Stored fact.UnixMilli
	Fact   T
}

// Evidence is what an award rests on, in the order in which the log has it. It holds together: see assemble.
type Evidence struct {
	Wearer  fact.WearerID
	What    Award
	Friends uint32 // as the award's fact has it: the number of Friendships

	Award fact.Entry // MedalAwarded or BackgroundUnlocked
	Cause fact.Entry // FriendshipFormed, which is one of Friendships; FriendshipEnded; or PinPaired
	Rules Placed[fact.RulesAdopted]

	Friendships []Friendship // that the award counts, in the order in which they were formed

	paired   *Pin               // that was paired, where that is the cause
	messages []eventlog.Message // all of the above, by sequence
}

// Messages returns every fact that the award rests on, itself among them, by sequence. They must not be changed.
func (ev *Evidence) Messages() []eventlog.Message { return ev.messages }

// Friendship is one that an award counts.
type Friendship struct {
	Other  fact.WearerID
	Formed Placed[fact.FriendshipFormed]
	First  Half // the mate
	Later  Half // the friendship's cause
}

// Half is one side of a tap, and whose.
type Half struct {
	Placed[fact.HalfReported]
	Pin Pin // that signed it
}

// Pin is who signs.
type Pin struct {
	Registered Placed[fact.PinRegistered]
	Paired     Placed[fact.PinPaired]
}

// Rule is what evidence breaks.
type Rule string

// The rules. Those from Missing to Superfluous are about the facts alone.
const (
	BadCheckpoint Rule = "checkpoint"  // not signed by a known key, of other Games, or it covers less
	NotInLog      Rule = "inclusion"   // the fact does not stand in the log at its sequence
	Missing       Rule = "missing"     // a fact that the award rests on
	Unreadable    Rule = "fact"        // it cannot be decoded, or is not what has to stand there
	BadAward      Rule = "award"       // the award's fact says something else, or its cause is none
	BadFriendship Rule = "friendship"  // not one of the wearer's, or the same friend twice
	BadTap        Rule = "tap"         // the two halves do not meet
	BadPin        Rule = "pin"         // registered or paired twice, paired with somebody else, or its key is no secret
	BadOrder      Rule = "order"       // a fact stands before what it needs
	BadCount      Rule = "count"       // not as many friendships as the award counts
	Threshold     Rule = "threshold"   // the rules do not give the award for so many friends
	Superfluous   Rule = "superfluous" // the award does not rest on this fact
	BadSignature  Rule = "signature"   // a half or a proof is not signed with the pin's key
	BadProof      Rule = "proof"       // it is for another wearer or other Games
)

// Error says which rule evidence breaks, and where.
type Error struct {
	Rule Rule
	Seq  fact.Seq // of the fact; 0 = none
	Err  error
}

func (e *Error) Error() string {
	if e.Seq == 0 {
		return fmt.Sprintf("evidence: %s: %v", e.Rule, e.Err)
	}
	return fmt.Sprintf("evidence: sequence %d: %s: %v", e.Seq, e.Rule, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func flaw(r Rule, seq fact.Seq, format string, args ...any) error {
	return &Error{Rule: r, Seq: seq, Err: fmt.Errorf(format, args...)}
}
