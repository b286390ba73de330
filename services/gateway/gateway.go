// Package gateway is the core of the gateway: what it knows of the roster, and admission, the check of what may enter
// the log. Admission is the only place of Pinfold that refuses with an error.
package gateway

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// The buckets beside those of package roster.
const (
	bucketLast  = "last"  // family, or "TimeCorrected" -> the sequence of its last fact
	bucketRules = "rules" // "now" -> the rules in force, JSON; "window" -> their window alone, which each admission reads
)

var (
	correctedKey        = []byte("TimeCorrected")
	rulesKey, windowKey = []byte("now"), []byte("window")
)

// Core is the fold of the gateway. Its rules:
//
//  1. Roster and time are folded as in roster.Apply: the first in the log wins.
//  2. The rules in force are those adopted last.
//  3. The last sequence of each of the two families is kept: the fence of the gateway's next write. So is that of the last
//     TimeCorrected.
//
// It derives nothing.
type Core struct{}

// Name names the service.
func (Core) Name() string { return "gateway" }

// ActsOn returns the families that the gateway fences its writes by.
func (Core) ActsOn() []fact.Family { return []fact.Family{fact.Roster, fact.Clock} }

// Derives returns no family.
func (Core) Derives() fact.Family { return "" }

// Step folds one fact. It returns nothing.
func (Core) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	roster.Apply(tx, e)
	if f, ok := e.Fact.(fact.RulesAdopted); ok {
		v, err := json.Marshal(f.Rules)
		if err != nil {
			panic(fmt.Sprintf("gateway: rules as JSON: %v", err)) // a struct of numbers and strings
		}
		tx.Put(bucketRules, rulesKey, v)
		tx.Put(bucketRules, windowKey, rules.AppendWindow(nil, rules.WindowOf(f.Rules)))
	}
	seq := binary.BigEndian.AppendUint64(nil, uint64(e.Seq))
	tx.Put(bucketLast, []byte(e.Fact.Family()), seq)
	if _, ok := e.Fact.(fact.TimeCorrected); ok {
		tx.Put(bucketLast, correctedKey, seq)
	}
	return nil
}

// LastOf returns the last sequence of the roster or time family, 0 if it has no fact yet.
func LastOf(r kv.Reader, f fact.Family) fact.Seq { return lastOf(r, []byte(f)) }

// LastCorrection returns the sequence of the last TimeCorrected, 0 if there was none.
func LastCorrection(r kv.Reader) fact.Seq { return lastOf(r, correctedKey) }

func lastOf(r kv.Reader, key []byte) fact.Seq {
	v := r.Get(bucketLast, key)
	if v == nil {
		return 0
	}
	return fact.Seq(binary.BigEndian.Uint64(v))
}

// RulesInForce returns the rules adopted last, and whether any were.
func RulesInForce(r kv.Reader) (fact.Rules, bool) {
	v := r.Get(bucketRules, rulesKey)
	if v == nil {
		return fact.Rules{}, false
	}
	var inForce fact.Rules
	if err := json.Unmarshal(v, &inForce); err != nil {
		panic(fmt.Sprintf("gateway: rules in the view: %v", err)) // Step wrote them
	}
	return inForce, true
}

// windowInForce returns the window of the rules adopted last, and whether any were.
func windowInForce(r kv.Reader) (rules.Window, bool) {
	v := r.Get(bucketRules, windowKey)
	if v == nil {
		return rules.Window{}, false
	}
	return rules.WindowFrom(v), true
}
