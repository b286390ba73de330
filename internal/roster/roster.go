// Package roster folds the roster and time families: which pins there are and whose, which wearers were erased, and
// what time it is. Every core that asks these questions gets the same answers from here. It is a pure leaf.
package roster

import (
	"encoding/binary"
	"iter"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// The buckets, in the view of each service that folds the roster.
const (
	pins   = "pin"    // pin id -> Pin; of one that is not registered, its counter alone
	worn   = "worn"   // wearer, pin id -> the sequence of the pairing
	erased = "erased" // wearer -> the sequence of the erasure
	clock  = "clock"  // now -> the fold's time
)

// Pin is what the roster says of a registered pin.
type Pin struct {
	Key     fact.PublicKey
	Wearer  fact.WearerID
	Paired  fact.Seq // of the pairing; 0 = with nobody
	Retired fact.Seq // of the retirement; 0 = in service
	// Counter is the highest that Count was told of; 0 where a view does not count.
	Counter fact.Counter
}

// The sizes of a pin's record, in bytes.
const (
	counterSize = 4
	pinSize     = 32 + 16 + 8 + 8 + counterSize
)

// Apply folds one fact of the roster or time family and reports whether it took effect. The first in the log wins:
//
//  1. A pin is registered once.
//  2. A registered pin in service is paired once, with a wearer who is not erased, and for ever.
//  3. A registered pin is retired once, a wearer erased once.
//  4. The time is the largest min(time claimed, time stored) of the TimePassed so far, so that no single wrong clock can
//     run it ahead; and where one did, and the log's own with it, TimeCorrected sets it to max(0, min(time, time stored)),
//     earlier or later than it was. From there on TimePassed go on. So the time goes back there, and nowhere else.
//  5. Restored changes nothing.
//
// Rules adopted are the business of each core; other facts have no effect.
func Apply(tx kv.Tx, e fact.Entry) bool {
	switch f := e.Fact.(type) {
	case fact.PinRegistered:
		pin, known := PinByID(tx, f.Key.PinID())
		if known {
			return false
		}
		pin.Key = f.Key
		put(tx, f.Key.PinID(), pin)
	case fact.PinPaired:
		pin, known := PinByID(tx, f.Proof.Pin)
		if !known || pin.Paired != 0 || pin.Retired != 0 || Erased(tx, f.Wearer) {
			return false
		}
		pin.Wearer, pin.Paired = f.Wearer, e.Seq
		put(tx, f.Proof.Pin, pin)
		tx.Put(worn, append(f.Wearer[:], f.Proof.Pin[:]...), binary.BigEndian.AppendUint64(nil, uint64(e.Seq)))
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
		setNow(tx, t)
	case fact.TimeCorrected:
		t := max(0, min(f.Time, e.Stored))
		if t == Now(tx) {
			return false
		}
		setNow(tx, t)
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
	p.Counter = fact.Counter(binary.BigEndian.Uint32(v[len(v)-counterSize:]))
	if len(v) == counterSize {
		return p, false
	}
	v = v[copy(p.Key[:], v):]
	v = v[copy(p.Wearer[:], v):]
	p.Paired = fact.Seq(binary.BigEndian.Uint64(v))
	p.Retired = fact.Seq(binary.BigEndian.Uint64(v[8:]))
	return p, true
}

// Count takes note of a counter that the pin signed with, and returns what PinByID does. It is for the fold that needs to
// know the highest one, which is kept in the pin's own record: to write one more record costs that fold a quarter of its
// pace. The pin need not be registered: what was told of it before counts too.
func Count(tx kv.Tx, id fact.PinID, counter fact.Counter) (Pin, bool) {
	p, registered := PinByID(tx, id)
	if counter <= p.Counter {
		return p, registered
	}
	p.Counter = counter
	if registered {
		put(tx, id, p)
	} else {
		tx.Put(pins, id[:], binary.BigEndian.AppendUint32(nil, uint32(counter)))
	}
	return p, registered
}

// PinsOf goes through all pins that were ever paired with the wearer, in service or not, in the order of their ids.
func PinsOf(r kv.Reader, w fact.WearerID) iter.Seq2[fact.PinID, Pin] {
	return func(yield func(fact.PinID, Pin) bool) {
		for k := range r.Scan(worn, w[:], nil) {
			id := fact.PinID(k[len(w):])
			p, _ := PinByID(r, id)
			if !yield(id, p) {
				return
			}
		}
	}
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

func setNow(tx kv.Tx, t fact.UnixMilli) {
	tx.Put(clock, []byte("now"), binary.BigEndian.AppendUint64(nil, uint64(t)))
}

func put(tx kv.Tx, id fact.PinID, p Pin) {
	v := make([]byte, 0, pinSize)
	v = append(v, p.Key[:]...)
	v = append(v, p.Wearer[:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(p.Paired))
	v = binary.BigEndian.AppendUint64(v, uint64(p.Retired))
	v = binary.BigEndian.AppendUint32(v, uint32(p.Counter))
	tx.Put(pins, id[:], v)
}
