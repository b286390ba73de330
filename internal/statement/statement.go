// Package statement turns what pins say into the bytes that they sign, and back: the half of a tap, the step report
// and the proof of possession, in the fixed layouts of docs/design.md section 4. It also signs and verifies those bytes, and
// derives the id of a tap, the challenges of a pairing and of a session, and the six digits that people compare.
//
// Each statement has exactly one form in bytes. A Parse function accepts only that form, so appending what it returned
// gives the same bytes again; an Append function writes only what the Parse function accepts. Integers are big-endian.
//
// The Parse functions take bytes from anybody and never panic. They check in this order, and every error is an *Error
// that names the rule:
//
//  1. [UnknownMagic]: the first 4 bytes are not those of the kind asked for, or there are fewer than 4.
//  2. [Malformed]: the length is not that of the layout, a link is not 1 to 3, a number of slots not 1 to 32, a last
//     slot past 32 bits, or a time before the Unix epoch.
//  3. [ReservedNotZero]: a byte that the layout sets to zero is not.
//  4. [SelfTap]: a half whose two pins are the same.
//
// No signature is checked there: see [Verify].
//
// The Append functions panic, with that same *Error, when handed a struct that the Parse function could not have
// returned. Such a struct is a mistake of the program, and its bytes must not come to be signed or logged.
//
// The vectors in proto/testdata/statements.json hold this package together with the firmware and the browser.
package statement

import (
	"fmt"
	"strconv"

	"pinfold/internal/fact"
)

// Sizes in bytes, and the limit on slots, of docs/design.md section 4.
const (
	HalfSize         = 72
	ProofSize        = 52
	StepReportHeader = 24 // a step report without its slots, of 2 bytes each
	MaxSlots         = 32
	MaxSize          = StepReportHeader + 2*MaxSlots // of any statement
)

// Kind tells the three statements apart.
type Kind uint8

// The kinds of docs/design.md section 4.
const (
	KindHalf Kind = iota + 1
	KindStepReport
	KindProof
)

// The first bytes of each kind.
const (
	magicHalf       = "PFH1"
	magicStepReport = "PFS1"
	magicProof      = "PFP1"
	magicSize       = 4
)

func (k Kind) String() string {
	switch k {
	case KindHalf:
		return "half"
	case KindStepReport:
		return "step report"
	case KindProof:
		return "proof"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// KindOf tells the kind of a statement by its magic, the first 4 bytes, and looks no further. The error is
// [UnknownMagic], also where there are fewer than 4 bytes.
func KindOf(b []byte) (Kind, error) {
	if len(b) >= magicSize {
		switch string(b[:magicSize]) {
		case magicHalf:
			return KindHalf, nil
		case magicStepReport:
			return KindStepReport, nil
		case magicProof:
			return KindProof, nil
		}
	}
	return 0, unknownMagic(0, b, magicHalf+", "+magicStepReport+" or "+magicProof)
}

func checkMagic(k Kind, magic string, b []byte) error {
	if len(b) < magicSize || string(b[:magicSize]) != magic {
		return unknownMagic(k, b, magic)
	}
	return nil
}

func checkLength(k Kind, b []byte, want int) error {
	if len(b) != want {
		return malformed(k, "length", strconv.Itoa(len(b)), strconv.Itoa(want)+" bytes")
	}
	return nil
}

func checkReserved(k Kind, b []byte) error {
	for _, v := range b {
		if v != 0 {
			return &Error{ReservedNotZero, k, "reserved", fmt.Sprintf("%x", b), "only zero bytes"}
		}
	}
	return nil
}

func checkTime(k Kind, t fact.UnixMilli) error {
	if t < 0 {
		return malformed(k, "time", strconv.FormatInt(int64(t), 10),
			"0 or more milliseconds since the Unix epoch")
	}
	return nil
}
