package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"pinfold/internal/fact"
)

// Kind says what does not hold.
type Kind string

// The kinds of findings. Where nothing else is said, a finding's sequence is that of the fact that it is about.
const (
	// Sequence: the sequences do not go up by one; found at the first one that is not there, or at the one that comes
	// again or too late. What comes again or too late is left out of all other checks.
	Sequence Kind = "SEQUENCE"
	// Beginning: the log does not begin with RulesAdopted and TimePassed.
	Beginning Kind = "BEGINNING"
	// Unreadable: nothing can be read from here on, and nothing from here on was checked.
	Unreadable Kind = "UNREADABLE"
	// Undecodable: the message is no fact that is known.
	Undecodable Kind = "UNDECODABLE"
	// FoldStopped: a fold acts on a fact that cannot be decoded, so what it derived from here on was not checked.
	FoldStopped Kind = "FOLD_STOPPED"
	// BadSignature: the statement is not signed with the key of its pin.
	BadSignature Kind = "BAD_SIGNATURE"
	// BadProof: a pairing without a proof, by that pin, that was made for that wearer of these Games.
	BadProof Kind = "BAD_PROOF"
	// Surplus: the message holds bytes that its fact does not take. They mean nothing, and anything may be hidden there.
	Surplus Kind = "SURPLUS"
	// RestoredDiffers: a Restored that is not of the facts before it, or of this epoch, or where there is to be none; or
	// none where what was kept ends.
	RestoredDiffers Kind = "RESTORED_DIFFERS"
	// OtherRules: rules were adopted that are not among those that were published.
	OtherRules Kind = "OTHER_RULES"
	// Unverifiable: no key is known of the pin that a half or a pairing names, and the half was not refused.
	Unverifiable Kind = "UNVERIFIABLE"
	// WeakKey: a pin was registered with a key for which anybody can make up signatures.
	WeakKey Kind = "WEAK_KEY"
	// InventedPin: a pin was registered that is not in the list of the factory.
	InventedPin Kind = "INVENTED_PIN"
	// ClonedKey: a pin signed two different statements with one counter.
	ClonedKey Kind = "CLONED_KEY"
	// Missing: a derived fact is not in the log. The sequence is that of its cause.
	Missing Kind = "MISSING"
	// Extra: a derived fact does not follow from the log, or stands there a second time.
	Extra Kind = "EXTRA"
	// Changed: a derived fact says something else than what follows from its cause.
	Changed Kind = "CHANGED"
	// Moved: a derived fact stands behind others that follow it.
	Moved Kind = "MOVED"
	// Shifted: from here on the derived facts of the family name causes a fixed number of sequences off: facts before
	// this one were taken out or put in, and the others numbered anew. Said once for each such place; the facts are then
	// compared as if they named the right causes.
	Shifted Kind = "SHIFTED"
	// RewrittenSince: a kept checkpoint does not hold. The sequence is the first of those of which one was rewritten, inserted,
	// dropped or moved since the checkpoint was signed: one more than the size of the last kept checkpoint that holds. Said
	// once, of the first that does not.
	RewrittenSince Kind = "REWRITTEN"
	// Cut: the log ends before the size of a kept checkpoint. The sequence is the first that is not there.
	Cut Kind = "CUT"
	// Equivocation: two kept checkpoints were signed for two different logs, whatever this one is. The sequence is the last
	// of those that the first of the two covers.
	Equivocation Kind = "EQUIVOCATION"
	// ViewDiffers: a service's view is not the fold of the log up to its sequence, or is ahead of a log that should have
	// been read behind it.
	ViewDiffers Kind = "VIEW_DIFFERS"
	// Inconsistent: the state that a fold ended with does not hold together. The sequence is the last of the log.
	Inconsistent Kind = "INCONSISTENT"
)

// allowed are the kinds of what owners of pins can bring about through a gateway and services that do all that they must: it
// is to be looked at, and no fault of the log. One counter on two statements is written by whoever copied a pin's key.
//
// All other kinds are of what a gateway refuses to write, a service never derives, or what contradicts a signed checkpoint, or
// a list or rules that were published and given to compare with.
var allowed = []Kind{ClonedKey}

// Verdict returns what a finding of the kind makes of the log: Suspect or Broken.
func (k Kind) Verdict() string {
	if slices.Contains(allowed, k) {
		return Suspect
	}
	return Broken
}

// Finding is one thing that does not hold, in words for people. It names wearers and pins by the pseudonyms of the log.
type Finding struct {
	Seq      fact.Seq `json:"seq"` // in the log; see the kinds
	Kind     Kind     `json:"kind"`
	Verdict  string   `json:"verdict"` // of the kind
	Expected string   `json:"expected"`
	Found    string   `json:"found"`
}

func (f Finding) String() string {
	return fmt.Sprintf("sequence %d: %s: expected %s, found %s", f.Seq, f.Kind, f.Expected, f.Found)
}

// MaxFindings is the largest number of findings that are reported: the first ones by sequence, and none that leave the log
// suspect before all that break it. Who can make any number of the former cannot hide one of the latter.
const MaxFindings = 10_000

// findings collects findings from all stages, and keeps the first ones by sequence. It has any number of users.
type findings struct {
	mu      sync.Mutex
	list    []Finding
	leftOut uint64
}

func (fs *findings) add(seq fact.Seq, kind Kind, expected, found string) {
	expected, found = printable(expected, maxFindingText), printable(found, maxFindingText)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, Finding{Seq: seq, Kind: kind, Verdict: kind.Verdict(), Expected: expected, Found: found})
	if len(fs.list) >= 2*MaxFindings {
		fs.cut()
	}
}

// cut sorts the findings, those that break the log first, and keeps as many as are reported.
func (fs *findings) cut() {
	slices.SortFunc(fs.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Expected, b.Expected), cmp.Compare(a.Found, b.Found))
	})
	if over := len(fs.list) - MaxFindings; over > 0 {
		fs.leftOut += uint64(over)
		fs.list = fs.list[:MaxFindings]
	}
}

// sorted returns the findings, those that break the log first, each by sequence, and how many more there were.
func (fs *findings) sorted() ([]Finding, uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.cut()
	return fs.list, fs.leftOut
}

// maxFindingText is the length, in bytes, of the longest text of a finding. What a forged fact says may be a million long.
const maxFindingText = 1000

// printable returns the text with at most so many bytes, and without what moves the cursor of a terminal: who wrote the log
// may have wanted to say something else to its auditor.
func printable(text string, size int) string {
	if len(text) > size {
		text = strings.ToValidUTF8(text[:size], "") + "..."
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}

// describe says a fact for people: its name and its fields.
func describe(f fact.Fact) string {
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", f, f), "fact.")
}

// describeRecord says a derived fact with its place among the facts of its cause.
func describeRecord(r fact.Record) string {
	d := r.Derivation
	return fmt.Sprintf("%s, %d of %d of cause %d", describe(r.Fact), d.Index+1, d.Count, d.Cause)
}

// describeStatement says of a half or a step report who signed it and which of the pin's it is.
func describeStatement(f fact.Fact) string {
	switch f := f.(type) {
	case fact.HalfReported:
		return fmt.Sprintf("half of pin %v with pin %v, counter %d", f.Half.Pin, f.Half.Peer, f.Half.Counter)
	case fact.StepsReported:
		return fmt.Sprintf("step report of pin %v, counter %d", f.Report.Pin, f.Report.Counter)
	}
	return describe(f)
}
