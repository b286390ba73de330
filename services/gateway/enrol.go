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

// Pair returns the fact that pairs the pin of the proof with the wearer, nothing if it is paired with that wearer
// already, or a *Refusal. Random is what the challenge was made with.
func Pair(r kv.Reader, games string, wearer fact.WearerID, random [16]byte, proof fact.Proof, sig fact.Signature) ([]fact.Fact, error) {
	if proof.Challenge != statement.Challenge(games, wearer, random) {
		return nil, refuse(ChallengeExpired, "challenge: not the one that was made for wearer %v", wearer)
	}
	pin, known := roster.PinByID(r, proof.Pin)
	switch {
	case !known:
		return nil, refuse(UnknownPin, "pin %v: not registered", proof.Pin)
	case pin.Retired != 0:
		return nil, refuse(RetiredPin, "pin %v: retired", proof.Pin)
	case roster.Erased(r, wearer):
		return nil, refuse(RetiredPin, "wearer %v: erased", wearer)
	case !statement.Verify(pin.Key, statement.AppendProof(nil, proof), sig):
		return nil, refuse(BadSignature, "signature: not that of pin %v over these bytes", proof.Pin)
	case pin.Paired != 0 && pin.Wearer != wearer:
		return nil, refuse(PairedElsewhere, "pin %v: paired with another wearer, for ever", proof.Pin)
	case pin.Paired != 0:
		return nil, nil
	}
	return []fact.Fact{fact.PinPaired{Wearer: wearer, Proof: proof, Signature: sig, Random: random}}, nil
}
