package evidence

import (
	"bufio"
	"fmt"
	"io"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// Story is how an award was earned, for people. Times are in milliseconds since the Unix epoch.
type Story struct {
	Wearer  string         `json:"wearer"`
	Award   string         `json:"award"`   // in words
	Friends uint32         `json:"friends"` // that it counts
	Seq     fact.Seq       `json:"seq"`
	Stored  fact.UnixMilli `json:"stored_ms"`

	CauseSeq fact.Seq `json:"cause_seq"`
	Cause    string   `json:"cause"` // what led to the award, in words

	Rules    string   `json:"rules"` // their name
	RulesSeq fact.Seq `json:"rules_seq"`
	Rule     string   `json:"rule"` // what they say of this award, in words

	Taps []Tap `json:"taps"` // one for each friend, in the order in which the friendships were formed; never null
}

// Tap is how a friendship was formed.
type Tap struct {
	Friend int            `json:"friend"`    // from 1
	Other  string         `json:"other"`     // the other wearer
	Tap    string         `json:"tap"`       // its id
	Seq    fact.Seq       `json:"seq"`       // of FriendshipFormed
	Formed fact.UnixMilli `json:"formed_ms"` // when the log stored the later half
	Halves [2]TapHalf     `json:"halves"`    // in log order
}

// TapHalf is what one of the two pins said of a tap.
type TapHalf struct {
	Seq     fact.Seq       `json:"seq"`
	Stored  fact.UnixMilli `json:"stored_ms"`
	Wearer  string         `json:"wearer"`
	Pin     string         `json:"pin"`
	Counter fact.Counter   `json:"counter"`
	Signed  fact.UnixMilli `json:"signed_ms"` // by the pin's clock; 0 = it was never set
	Link    string         `json:"link"`
	RSSI    int8           `json:"rssi_dbm"` // 0 = not measured
	Carrier string         `json:"carrier"`  // the pin whose phone brought the half in
	// ByOther says that the carrier is the other pin of the tap.
	ByOther bool `json:"by_other"`
}

// Explain returns the story of the evidence.
func Explain(ev *Evidence) Story {
	s := Story{
		Wearer: ev.Wearer.String(), Award: ev.What.inWords(), Friends: ev.Friends, Seq: ev.Award.Seq, Stored: ev.Award.Stored,
		CauseSeq: ev.Cause.Seq, Cause: causeInWords(ev.Cause.Fact),
		Rules: ev.Rules.Fact.Rules.Name, RulesSeq: ev.Rules.Seq, Rule: ruleInWords(ev.Rules.Fact.Rules, ev.What),
		Taps: make([]Tap, len(ev.Friendships)),
	}
	for i, f := range ev.Friendships {
		s.Taps[i] = Tap{
			Friend: i + 1, Other: f.Other.String(), Tap: f.Formed.Fact.Tap.String(), Seq: f.Formed.Seq, Formed: f.Later.Stored,
			Halves: [2]TapHalf{tellHalf(f.First), tellHalf(f.Later)},
		}
	}
	return s
}

func tellHalf(h Half) TapHalf {
	half := h.Fact.Half
	return TapHalf{
		Seq: h.Seq, Stored: h.Stored, Wearer: h.Pin.Paired.Fact.Wearer.String(), Pin: half.Pin.String(), Counter: half.Counter,
		Signed: half.Time, Link: half.Link.String(), RSSI: half.RSSI,
		Carrier: h.Fact.Carrier.String(), ByOther: h.Fact.Carrier == half.Peer,
	}
}

func (a Award) inWords() string {
	if a.Medal != 0 {
		return "the " + a.Medal.String() + " medal"
	}
	return "the background " + a.Background
}

func causeInWords(f fact.Fact) string {
	switch f := f.(type) {
	case fact.FriendshipFormed:
		return "a friendship was formed"
	case fact.FriendshipEnded:
		return "a friendship ended, and the rules had changed since the last one was formed"
	case fact.PinPaired:
		return "pin " + f.Proof.Pin.String() + " was paired with the wearer"
	}
	return fmt.Sprintf("a %T", f)
}

func ruleInWords(r fact.Rules, what Award) string {
	if what.Medal != 0 {
		return fmt.Sprintf("%s takes %s or more", what.inWords(), plural(rules.Needed(r, what.Medal), "friend"))
	}
	text := fmt.Sprintf("a background for every %s, in the order of the %s", plural(r.FriendsPerBackground, "friend"), plural(uint32(len(r.Sports)), "sport"))
	if r.StarterBackgrounds > 0 {
		text = plural(r.StarterBackgrounds, "background") + " at once, then " + text
	}
	return fmt.Sprintf("%s, of which %s is number %d", text, what.Background, placeOf(r, what.Background))
}

func plural(n uint32, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Write prints the story.
func (s Story) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "Wearer %s was given %s, with %s.\n", s.Wearer, s.Award, plural(s.Friends, "friend"))
	fmt.Fprintf(b, "  sequence %d, stored %v\n", s.Seq, s.Stored)
	fmt.Fprintf(b, "  because %s, at sequence %d\n", s.Cause, s.CauseSeq)
	fmt.Fprintf(b, "  by the rules of %s, adopted at sequence %d: %s\n", s.Rules, s.RulesSeq, s.Rule)
	for _, t := range s.Taps {
		fmt.Fprintf(b, "\nFriend %d: %s\n", t.Friend, t.Other)
		fmt.Fprintf(b, "  tap %s, formed %v, sequence %d\n", t.Tap, t.Formed, t.Seq)
		for _, h := range t.Halves {
			h.write(b, s.Wearer)
		}
	}
	return b.Flush()
}

func (h TapHalf) write(w io.Writer, wearer string) {
	whose, clock, signal := "the friend's", "at a time unknown, its clock was never set", ""
	if h.Wearer == wearer {
		whose = "the wearer's"
	}
	if h.Signed != 0 {
		clock = "at " + h.Signed.String() + " by its clock"
	}
	if h.RSSI != 0 {
		signal = fmt.Sprintf(", %d dBm", h.RSSI)
	}
	fmt.Fprintf(w, "  half %d: %s pin %s, counter %d, by %s%s\n", h.Seq, whose, h.Pin, h.Counter, h.Link, signal)
	fmt.Fprintf(w, "    signed %s; stored %v, carried by %s\n", clock, h.Stored, h.courier())
}

// courier says whose phone it was.
func (h TapHalf) courier() string {
	switch {
	case h.ByOther:
		return "the other's phone"
	case h.Carrier == h.Pin:
		return "its own phone"
	}
	return "the phone of pin " + h.Carrier
}
