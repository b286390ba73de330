// Package roster folds the roster and time families: which pins there are and whose, which wearers were erased, and
// what time it is. Every core that asks these questions gets the same answers from here. It is a pure leaf.
package roster

import (
	"encoding/binary"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// The buckets, in the view of each service that folds the roster.
const (
	pins   = "pin"    // pin id -> Pin
	erased = "erased" // wearer -> the sequence of the erasure
	clock  = "clock"  // now -> the fold's time
)

// Pin is what the roster says of a registered pin.
type Pin struct {
	Key     fact.PublicKey
	Wearer  fact.WearerID
	Paired  fact.Seq // of the pairing; 0 = with nobody
	Retired fact.Seq // of the retirement; 0 = in service
}

// Apply folds one fact of the roster or time family and reports whether it took effect. The first in the log wins:
//
//  1. A pin is registered once.
//  2. A registered pin in service is paired once, with a wearer who is not erased, and for ever.
//  3. A registered pin is retired once, a wearer erased once.
//  4. The time is the largest min(time claimed, time stored) of the TimePassed so far.
//
// Rules adopted are the business of each core; other facts have no effect.
func Apply(tx kv.Tx, e fact.Entry) bool {
	switch f := e.Fact.(type) {
	case fact.PinRegistered:
		if _, known := PinByID(tx, f.Key.PinID()); known {
			return false
		}
		put(tx, f.Key.PinID(), Pin{Key: f.Key})
	case fact.PinPaired:
		pin, known := PinByID(tx, f.Proof.Pin)
		if !known || pin.Paired != 0 || pin.Retired != 0 || Erased(tx, f.Wearer) {
			return false
		}
		pin.Wearer, pin.Paired = f.Wearer, e.Seq
		put(tx, f.Proof.Pin, pin)
	case fact.PinRetired:
		pin, known := PinByID(tx, f.Pin)
		if !known || pin.Retired != 0 {
			return false
		}
		pin.Retired = e.Seq
		put(tx, f.Pin, pin)
	case fact.WearerErased:
		if Erased(tx, f.Wearer) {
			return false
		}
		tx.Put(erased, f.Wearer[:], binary.BigEndian.AppendUint64(nil, uint64(e.Seq)))
	case fact.TimePassed:
		t := min(f.Time, e.Stored)
		if t <= Now(tx) {
			return false
		}
		tx.Put(clock, []byte("now"), binary.BigEndian.AppendUint64(nil, uint64(t)))
	default:
		return false
	}
	return true
}

// PinByID returns what the roster says of the pin, and whether it is registered.
func PinByID(r kv.Reader, id fact.PinID) (Pin, bool) {
	v := r.Get(pins, id[:])
	if v == nil {
		return Pin{}, false
	}
	var p Pin
	v = v[copy(p.Key[:], v):]
	v = v[copy(p.Wearer[:], v):]
	p.Paired = fact.Seq(binary.BigEndian.Uint64(v))
	p.Retired = fact.Seq(binary.BigEndian.Uint64(v[8:]))
	return p, true
}

// Erased reports whether the wearer was erased.
func Erased(r kv.Reader, w fact.WearerID) bool { return r.Get(erased, w[:]) != nil }

// Now returns the fold's time; 0 before any TimePassed.
func Now(r kv.Reader) fact.UnixMilli {
	v := r.Get(clock, []byte("now"))
	if v == nil {
		return 0
	}
	return fact.UnixMilli(binary.BigEndian.Uint64(v))
}

func put(tx kv.Tx, id fact.PinID, p Pin) {
	v := make([]byte, 0, len(p.Key)+len(p.Wearer)+16)
	v = append(v, p.Key[:]...)
	v = append(v, p.Wearer[:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(p.Paired))
	v = binary.BigEndian.AppendUint64(v, uint64(p.Retired))
	tx.Put(pins, id[:], v)
}
