package gateway

import (
	"errors"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
)

// MaxStepsPerSlot is the largest plausible number of steps in a quarter hour: five a second, which is a sprint.
const MaxStepsPerSlot = 4500

// Admission is what admission goes by beside the roster.
type Admission struct {
	Now       fact.UnixMilli // the gateway's clock
	Tolerance time.Duration  // how far ahead of it a pin's clock may be
	Caller    Caller         // who delivers; nil = nobody who is to be held to anything
}

// Caller is who brings what pins signed. To find that a signature is bad costs as much as a good one, and anybody can make
// one up in the name of any pin: it is counted against who brings it, not against the pin (docs/design.md section 7, Admission).
type Caller interface {
	// Allowed reports whether one more signature may be checked for the caller.
	Allowed() bool
	// Failed notes that one was bad.
	Failed()
}

// checkSignature checks that the pin with the key signed these bytes, as far as the caller may ask that.
func checkSignature(c Caller, id fact.PinID, key fact.PublicKey, raw []byte, sig fact.Signature) error {
	if c != nil && !c.Allowed() {
		return refuse(RateLimited, "signature: not checked: more bad ones came from this caller than broken pins make: deliver the rest later")
	}
	if statement.Verify(key, raw, sig) {
		return nil
	}
	if c != nil {
		c.Failed()
	}
	return refuse(BadSignature, "signature: not that of pin %v over these bytes", id)
}

// ClockAhead returns by how much the clock of a half's pin was ahead of now when it signed, if that is more than the
// tolerance, and otherwise 0. No fold goes by a half's time, so it is taken all the same.
func (a Admission) ClockAhead(raw []byte) time.Duration {
	half, err := statement.ParseHalf(raw)
	if err != nil || half.Time <= a.latest() {
		return 0
	}
	return between(a.Now, half.Time)
}

// latest is the latest time that a pin may tell.
func (a Admission) latest() fact.UnixMilli { return a.Now.Add(a.Tolerance) }

// Admit checks a statement that a phone delivers and returns the fact that it becomes, or a *Refusal. The checks come in
// the order of the reasons, but for RATE_LIMITED, which here is the caller's and comes before the signature. What it lets in may still be refused by a fold: the roster that it reads may lag.
func (a Admission) Admit(r kv.Reader, carrier fact.PinID, raw, signature []byte) (fact.Fact, error) {
	kind, err := statement.KindOf(raw)
	if err != nil {
		return nil, layoutRefusal(err)
	}
	sig, err := ParseSignature(signature)
	if err != nil {
		return nil, err
	}
	switch kind {
	case statement.KindHalf:
		half, err := statement.ParseHalf(raw)
		if err != nil {
			return nil, layoutRefusal(err)
		}
		return a.admitHalf(r, fact.HalfReported{Half: half, Signature: sig, Carrier: carrier}, raw)
	case statement.KindStepReport:
		report, err := statement.ParseStepReport(raw)
		if err != nil {
			return nil, layoutRefusal(err)
		}
		return a.admitSteps(r, fact.StepsReported{Report: report, Signature: sig, Carrier: carrier}, raw)
	}
	return nil, refuse(Malformed, "statement: %v is not delivered: want a half or a step report", kind)
}

// ParseSignature reads an Ed25519 signature, or returns a *Refusal.
func ParseSignature(b []byte) (fact.Signature, error) {
	var sig fact.Signature
	if len(b) != len(sig) {
		return sig, refuse(Malformed, "signature: %d bytes: want %d", len(b), len(sig))
	}
	return fact.Signature(b), nil
}

func (a Admission) admitHalf(r kv.Reader, f fact.HalfReported, raw []byte) (fact.Fact, error) {
	if err := a.checkAuthor(r, f.Half.Pin, raw, f.Signature); err != nil {
		return nil, err
	}
	if _, known := roster.PinByID(r, f.Half.Peer); !known {
		return nil, refuse(UnknownPeer, "peer %v: not registered", f.Half.Peer)
	}
	return f, nil
}

func (a Admission) admitSteps(r kv.Reader, f fact.StepsReported, raw []byte) (fact.Fact, error) {
	if err := a.checkAuthor(r, f.Report.Pin, raw, f.Signature); err != nil {
		return nil, err
	}
	last := f.Report.FirstSlot + fact.Slot(len(f.Report.Steps)) - 1 // a slot that there is: see statement.ParseStepReport
	if begins := last.Start(); begins > a.latest() {
		return nil, refuse(FromFuture, "last slot: %v: later than %v, which is now and a tolerance of %v", begins, a.latest(), a.Tolerance).
			until(a.Now, begins.Add(fact.SlotLength))
	}
	for i, n := range f.Report.Steps {
		if n > MaxStepsPerSlot {
			return nil, refuse(ImplausibleSteps, "steps[%d]: %d: at most %d in a quarter hour", i, n, MaxStepsPerSlot)
		}
	}
	return f, nil
}

// checkAuthor checks that the pin is one in service and paired, that statements are taken at all, and that the pin signed
// these bytes.
func (a Admission) checkAuthor(r kv.Reader, id fact.PinID, raw []byte, sig fact.Signature) error {
	pin, known := roster.PinByID(r, id)
	switch {
	case !known:
		return refuse(UnknownPin, "pin %v: not registered", id)
	case pin.Retired != 0:
		return refuse(RetiredPin, "pin %v: retired", id)
	case pin.Paired == 0:
		return refuse(UnpairedPin, "pin %v: not paired with a wearer yet", id)
	case roster.Erased(r, pin.Wearer):
		return refuse(RetiredPin, "pin %v: its wearer was erased", id)
	}
	if err := checkOpen(r); err != nil {
		return err
	}
	return checkSignature(a.Caller, id, pin.Key, raw, sig)
}

// checkOpen refuses what the folds would refuse as closed: it goes by their time and the rules in force. Their time can be
// wrong and be corrected, and so can the rules, so that trying again can always help.
func checkOpen(r kv.Reader) error {
	window, adopted := windowInForce(r)
	now := roster.Now(r)
	switch {
	case !adopted:
		return refuse(Closed, "closed: no rules are in force yet")
	case rules.Open(window, now):
		return nil
	case now < window.Opens:
		return refuse(Closed, "closed until %v: by the log it is %v", window.Opens, now).until(now, window.Opens)
	}
	return refuse(Closed, "closed since %v, and a grace of %v: by the log it is %v", window.Closes, window.UploadGrace, now)
}

// layoutRefusal says a statement's error in the words of admission.
func layoutRefusal(err error) error {
	var e *statement.Error
	if !errors.As(err, &e) {
		return err
	}
	reasons := map[statement.Rule]Reason{
		statement.UnknownMagic:    UnknownMagic,
		statement.Malformed:       Malformed,
		statement.ReservedNotZero: ReservedNotZero,
		statement.SelfTap:         SelfTap,
	}
	return &Refusal{Reason: reasons[e.Rule], Detail: e.Error()}
}
