package steps

import (
	"encoding/binary"

	"pinfold/internal/kv"
)

// Tally is what became of all reports, and the sums over all wearers, erased ones too.
type Tally struct {
	Reports uint64 // in the log

	// What became of them. Each report is in one of these; the reasons why one counts for nobody are in the order in
	// which they are looked for.
	Counted      uint64
	NoRules      uint64 // before any rules were adopted
	UnknownPin   uint64 // not registered
	UnpairedPin  uint64
	RetiredPin   uint64
	ErasedWearer uint64
	Closed       uint64 // before the opening, or past the closing and its grace

	Days  uint64 // of wearers with steps: each day of each wearer is one
	Goals uint64 // days whose goal was reached
	Steps uint64
}

// Outcomes returns the number of reports of which it is known what became of them. It equals Reports.
func (t Tally) Outcomes() uint64 {
	return t.Counted + t.NoRules + t.UnknownPin + t.UnpairedPin + t.RetiredPin + t.ErasedWearer + t.Closed
}

// sums returns the fields in their order.
func (t *Tally) sums() [tallySums]*uint64 {
	return [...]*uint64{
		&t.Reports, &t.Counted, &t.NoRules, &t.UnknownPin, &t.UnpairedPin, &t.RetiredPin, &t.ErasedWearer, &t.Closed,
		&t.Days, &t.Goals, &t.Steps,
	}
}

const (
	tallySums = 11
	tallySize = 8 * tallySums
)

var all = []byte("all")

// Totals returns the running totals, by a single read.
func Totals(r kv.Reader) Tally {
	var t Tally
	if v := r.Get(totals, all); v != nil {
		for i, sum := range t.sums() {
			*sum = binary.BigEndian.Uint64(v[8*i:])
		}
	}
	return t
}

func keepTotals(tx kv.Tx, t Tally) {
	v := make([]byte, 0, tallySize)
	for _, sum := range t.sums() {
		v = binary.BigEndian.AppendUint64(v, *sum)
	}
	tx.Put(totals, all, v)
}
