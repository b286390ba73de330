// Package fact holds the nouns of the log: ids, quantities, and every fact as plain Go.
//
// A fact is an immutable event. It is reported from outside by the gateway, or derived by a service from another fact.
// How facts are written in bytes is the business of package eventlog; what follows from them, that of the services.
package fact

// Family groups the facts that one writer appends. Each family is one subject of the log.
type Family string

// The families of docs/design.md section 6, with who writes them.
const (
	Roster     Family = "roster"     // gateway, fenced
	Clock      Family = "time"       // gateway, fenced
	Tap        Family = "tap"        // gateway
	Step       Family = "step"       // gateway
	Wearer     Family = "wearer"     // gateway
	Friendship Family = "friendship" // tap
	Award      Family = "award"      // rewards
	Goal       Family = "goal"       // steps
)

// Families lists every family.
func Families() []Family {
	return []Family{Roster, Clock, Tap, Step, Wearer, Friendship, Award, Goal}
}

// Derived reports whether the facts of the family are derived by a service.
func (f Family) Derived() bool { return f == Friendship || f == Award || f == Goal }

// Fact is one of the facts of this package and nothing else.
type Fact interface {
	// Family returns the family that the fact is appended to.
	Family() Family
}

// Derivation names a derived fact: which fact led to it, its place among the facts of that cause, and their number.
// It is zero for a reported fact.
type Derivation struct {
	Cause Seq
	Index uint32
	Count uint32
}

// After reports whether the fact stands after that of o in its family.
func (d Derivation) After(o Derivation) bool {
	return d.Cause > o.Cause || d.Cause == o.Cause && d.Index > o.Index
}

// Record is a fact as it is appended.
type Record struct {
	Fact       Fact
	Derivation Derivation
}

// Entry is a fact in its place in the log.
type Entry struct {
	Seq    Seq
	Stored UnixMilli // when the log stored it
	Record
}

// Order says who ordered a fact: an app by its session, or a desk by its operator's name, or nobody who is known. It is
// for people and the audit; no fold reads it.
type Order struct {
	Session  SessionID // zero = no session
	Operator string    // the name of a desk, never of a person, [a-z0-9-]{1,32}; "" = no operator
}

// PinRegistered admits a pin to the Games. The id follows from the key.
type PinRegistered struct {
	Key  PublicKey
	Kind PinKind
	Order
}

// PinPaired gives a pin to a wearer, for ever. Proof, signature and random let anybody verify that the pin was there.
type PinPaired struct {
	Wearer    WearerID
	Proof     Proof
	Signature Signature
	Random    [16]byte // what, with the Games and the wearer, makes the proof's challenge
	Order
}

// PinRetired ends a pin's service: later statements of it have no effect.
type PinRetired struct {
	Pin    PinID
	Reason Retirement
	Order
}

// WearerErased ends a wearer's part in the Games. What they were to others stays: a friend once made is counted on.
type WearerErased struct {
	Wearer WearerID
	Order
}

// RulesAdopted puts rules into force from its place in the log on.
type RulesAdopted struct {
	Rules Rules
	Order
}

// TimePassed says what a gateway's clock showed.
type TimePassed struct {
	Time UnixMilli
}

// TimeCorrected is an operator's: from its place in the log on, the folds' time is this one, earlier or later than before.
type TimeCorrected struct {
	Time UnixMilli
	Order
}

// Restored is the first fact that a restored log has of its own: the Kept facts before it, with the root of the tree over
// them, stood in the log of the epoch before.
type Restored struct {
	Epoch    uint32 // of this log, 2 or more
	Kept     Seq    // 1 less than the place of this fact
	Root     [32]byte
	Operator string // as in Order
	// WithoutWithdrawals says that no list of withdrawals was given, so that what was withdrawn after the archive was made
	// may have come back.
	WithoutWithdrawals bool
}

// HalfReported carries one half of a tap, as its author signed it.
type HalfReported struct {
	Half      Half
	Signature Signature
	Carrier   PinID // whose phone carried it
}

// StepsReported carries a step report, as its author signed it.
type StepsReported struct {
	Report    StepReport
	Signature Signature
	Carrier   PinID // whose phone carried it
}

// Unfriended ends a friendship by the wish of one of the two. It has no effect when that friendship is no longer current.
type Unfriended struct {
	Wearer     WearerID // who ends it
	Pin        PinID    // a pin of that wearer,
	Counter    Counter  // and its counter at that moment: only a half of it with a higher one forms the pair again
	Friendship Seq      // the friendship's cause
	Order
}

// Blocked ends a friendship, if there is one, and keeps the pair from forming one until it is unblocked.
type Blocked struct {
	Wearer  WearerID // who blocks
	Pin     PinID    // a pin of that wearer,
	Counter Counter  // and its counter, as in Unfriended
	Other   WearerID
	After   Seq // the last Blocked or Unblocked of the same side that took effect, as its author knew it; 0 = none
	Order
}

// Unblocked takes the same wearer's Blocked back.
type Unblocked struct {
	Wearer WearerID
	Other  WearerID
	After  Seq // the Blocked that it takes back
	Order
}

// FriendshipRevoked is an operator's: the friendship ends and the pair never forms one again.
// It has no effect when that friendship is no longer current.
type FriendshipRevoked struct {
	Friendship Seq // its cause
	Reason     Revocation
	Order
}

// BackgroundChosen sets what the wearer's pin displays. It has no effect when the background is not held.
type BackgroundChosen struct {
	Wearer     WearerID
	Background string // the sport's id
	Order
}

// AwardRevoked is an operator's: the award is no longer held, and is not given again.
type AwardRevoked struct {
	Cause  Seq // the award's
	Index  uint32
	Reason Revocation
	Order
}

// FriendshipFormed says that both halves of a tap are in the log. The later one is its cause.
type FriendshipFormed struct {
	Lo, Hi WearerID // the pair in ascending order
	Tap    TapID
	Mate   Seq // the half that came first
}

// FriendshipEnded says that a friendship is no more.
type FriendshipEnded struct {
	Lo, Hi     WearerID // the pair in ascending order
	Friendship Seq      // its cause
	Ending     Ending
}

// HalfRefused gives a reported half its outcome, where that is a refusal.
type HalfRefused struct {
	Half    Seq // of the HalfReported
	Refusal Refusal
}

// BackgroundUnlocked gives a wearer a background.
type BackgroundUnlocked struct {
	Wearer     WearerID
	Background string // the sport's id
	Friends    uint32 // the friend count that led to it
}

// MedalAwarded gives a wearer a medal.
type MedalAwarded struct {
	Wearer  WearerID
	Medal   Medal
	Friends uint32 // the friend count that led to it
}

// StepGoalReached says that a wearer's steps of a local day reached the goal of the rules.
type StepGoalReached struct {
	Wearer WearerID
	Day    Day
	Steps  uint32 // when the goal was reached
}

func (PinRegistered) Family() Family { return Roster }
func (PinPaired) Family() Family     { return Roster }
func (PinRetired) Family() Family    { return Roster }
func (WearerErased) Family() Family  { return Roster }
func (RulesAdopted) Family() Family  { return Roster }

func (TimePassed) Family() Family    { return Clock }
func (TimeCorrected) Family() Family { return Clock }
func (Restored) Family() Family      { return Clock }

func (HalfReported) Family() Family      { return Tap }
func (Unfriended) Family() Family        { return Tap }
func (Blocked) Family() Family           { return Tap }
func (Unblocked) Family() Family         { return Tap }
func (FriendshipRevoked) Family() Family { return Tap }

func (StepsReported) Family() Family { return Step }

func (BackgroundChosen) Family() Family { return Wearer }
func (AwardRevoked) Family() Family     { return Wearer }

func (FriendshipFormed) Family() Family { return Friendship }
func (FriendshipEnded) Family() Family  { return Friendship }
func (HalfRefused) Family() Family      { return Friendship }

func (BackgroundUnlocked) Family() Family { return Award }
func (MedalAwarded) Family() Family       { return Award }

func (StepGoalReached) Family() Family { return Goal }
