package gateway

import (
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/statement"
)

// Register returns the facts that admit those of the pins that are not registered yet, or a *Refusal.
func Register(r kv.Reader, ids []fact.PinID, keys []fact.PublicKey) ([]fact.Fact, error) {
	var facts []fact.Fact
	asked := make(map[fact.PinID]bool, len(ids))
	for i, key := range keys {
		if key.PinID() != ids[i] {
			return nil, refuse(KeyMismatch, "pins[%d]: pin %v: the first 8 bytes of the SHA-256 of its key are %v", i, ids[i], key.PinID())
		}
		if statement.SmallOrder(key) {
			return nil, refuse(Malformed, "pins[%d]: pin %v: its key is a point of small order, for which signatures can be made up", i, ids[i])
		}
		pin, known := roster.PinByID(r, ids[i])
		if known && pin.Key != key {
			return nil, refuse(KeyMismatch, "pins[%d]: pin %v: registered already, with another key that has the same id", i, ids[i])
		}
		if known || asked[ids[i]] {
			continue
		}
		asked[ids[i]] = true
		facts = append(facts, fact.PinRegistered{Key: key})
	}
	return facts, nil
}

// Pairing is a proof that a wearer has a pin.
type Pairing struct {
	Games     string
	Wearer    fact.WearerID // for whom the challenge was made
	Random    [16]byte      // what it was made with
	Proof     fact.Proof
	Signature fact.Signature
}

// Check checks the proof for who brings it, and returns a *Refusal if the pin is not to be paired so. A pin's key is for
// ever, and so is what Check found of the signature.
func (p Pairing) Check(r kv.Reader, c Caller) error {
	if p.Proof.Challenge != statement.Challenge(p.Games, p.Wearer, p.Random) {
		return refuse(ChallengeExpired, "challenge: not the one that was made for wearer %v", p.Wearer)
	}
	pin, err := p.inService(r)
	if err != nil {
		return err
	}
	if err := checkSignature(c, p.Proof.Pin, pin.Key, statement.AppendProof(nil, p.Proof), p.Signature); err != nil {
		return err
	}
	_, err = p.Facts(r)
	return err
}

// Facts returns the fact of a pairing that was checked, nothing if the pin is paired with that wearer already, or a
// *Refusal.
func (p Pairing) Facts(r kv.Reader) ([]fact.Fact, error) {
	pin, err := p.inService(r)
	switch {
	case err != nil:
		return nil, err
	case pin.Paired != 0 && pin.Wearer != p.Wearer:
		return nil, refuse(PairedElsewhere, "pin %v: paired with another wearer, for ever", p.Proof.Pin)
	case pin.Paired != 0:
		return nil, nil
	}
	return []fact.Fact{fact.PinPaired{Wearer: p.Wearer, Proof: p.Proof, Signature: p.Signature, Random: p.Random}}, nil
}

// inService returns the pin, or a *Refusal if it or its wearer is not in service.
func (p Pairing) inService(r kv.Reader) (roster.Pin, error) {
	pin, known := roster.PinByID(r, p.Proof.Pin)
	switch {
	case !known:
		return pin, refuse(UnknownPin, "pin %v: not registered", p.Proof.Pin)
	case pin.Retired != 0:
		return pin, refuse(RetiredPin, "pin %v: retired", p.Proof.Pin)
	case roster.Erased(r, p.Wearer):
		return pin, refuse(RetiredPin, "wearer %v: erased", p.Wearer)
	}
	return pin, nil
}
