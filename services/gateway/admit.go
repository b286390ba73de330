package gateway

import (
	"errors"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/statement"
)

// MaxStepsPerSlot is the largest plausible number of steps in a quarter hour: five a second, which is a sprint.
const MaxStepsPerSlot = 4500

// Admission is what admission goes by beside the roster.
type Admission struct {
	Now       fact.UnixMilli // the gateway's clock
	Tolerance time.Duration  // how far ahead of it a pin's clock may be
}

// Admit checks a statement that a phone delivers and returns the fact that it becomes, or a *Refusal. The checks come in
// the order of the reasons. What it lets in may still be refused by a fold: the roster that it reads may lag.
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
	if err := checkAuthor(r, f.Half.Pin, raw, f.Signature); err != nil {
		return nil, err
	}
	if _, known := roster.PinByID(r, f.Half.Peer); !known {
		return nil, refuse(UnknownPeer, "peer %v: not registered", f.Half.Peer)
	}
	if err := a.checkTime("time", f.Half.Time); err != nil {
		return nil, err
	}
	return f, nil
}

func (a Admission) admitSteps(r kv.Reader, f fact.StepsReported, raw []byte) (fact.Fact, error) {
	if err := checkAuthor(r, f.Report.Pin, raw, f.Signature); err != nil {
		return nil, err
	}
	last := f.Report.FirstSlot + fact.Slot(len(f.Report.Steps)) - 1 // a slot that there is: see statement.ParseStepReport
	if err := a.checkTime("last slot", last.Start()); err != nil {
		return nil, err
	}
	for i, n := range f.Report.Steps {
		if n > MaxStepsPerSlot {
			return nil, refuse(ImplausibleSteps, "steps[%d]: %d: at most %d in a quarter hour", i, n, MaxStepsPerSlot)
		}
	}
	return f, nil
}

// checkAuthor checks that the pin is one in service and paired, and that it signed these bytes.
func checkAuthor(r kv.Reader, id fact.PinID, raw []byte, sig fact.Signature) error {
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
	case !statement.Verify(pin.Key, raw, sig):
		return refuse(BadSignature, "signature: not that of pin %v over these bytes", id)
	}
	return nil
}

func (a Admission) checkTime(field string, t fact.UnixMilli) error {
	if latest := a.Now.Add(a.Tolerance); t > latest {
		return refuse(FromFuture, "%s: %v: later than %v, which is now and a tolerance of %v", field, t, latest, a.Tolerance)
	}
	return nil
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
