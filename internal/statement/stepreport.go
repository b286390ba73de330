package statement

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"pinfold/internal/fact"
)

// ParseStepReport reads the 24 + 2n bytes of a step report of n slots, docs/design.md section 4. The steps are a copy.
func ParseStepReport(b []byte) (fact.StepReport, error) {
	if err := checkMagic(KindStepReport, magicStepReport, b); err != nil {
		return fact.StepReport{}, err
	}
	if len(b) < StepReportHeader {
		return fact.StepReport{}, malformed(KindStepReport, "length", strconv.Itoa(len(b)), "at least 24 bytes")
	}
	n := int(b[20])
	if err := checkSlots(n); err != nil {
		return fact.StepReport{}, err
	}
	if err := checkLength(KindStepReport, b, StepReportHeader+2*n); err != nil {
		return fact.StepReport{}, err
	}
	first := fact.Slot(binary.BigEndian.Uint32(b[16:20]))
	if err := checkLastSlot(first, n); err != nil {
		return fact.StepReport{}, err
	}
	if err := checkReserved(KindStepReport, b[21:StepReportHeader]); err != nil {
		return fact.StepReport{}, err
	}
	return fact.StepReport{
		Pin:       fact.PinID(b[4:12]),
		Counter:   fact.Counter(binary.BigEndian.Uint32(b[12:16])),
		FirstSlot: first,
		Steps:     readSteps(b[StepReportHeader:], n),
	}, nil
}

func readSteps(b []byte, n int) []uint16 {
	steps := make([]uint16, n)
	for i := range steps {
		steps[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return steps
}

// AppendStepReport appends the 24 + 2n bytes of the step report to dst, docs/design.md section 4. It panics where n, the number
// of slots, is not 1 to 32, or the last slot does not fit 32 bits.
func AppendStepReport(dst []byte, r fact.StepReport) []byte {
	n := len(r.Steps)
	if err := checkSlots(n); err != nil {
		panic(err)
	}
	if err := checkLastSlot(r.FirstSlot, n); err != nil {
		panic(err)
	}
	dst = slices.Grow(dst, StepReportHeader+2*n)
	dst = append(dst, magicStepReport...)
	dst = append(dst, r.Pin[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Counter))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.FirstSlot))
	dst = append(dst, byte(n), 0, 0, 0)
	for _, steps := range r.Steps {
		dst = binary.BigEndian.AppendUint16(dst, steps)
	}
	return dst
}

func checkSlots(n int) error {
	if n < 1 || n > MaxSlots {
		return malformed(KindStepReport, "n", strconv.Itoa(n), "1 to 32 slots")
	}
	return nil
}

// checkLastSlot checks the last of n slots, in 64 bits: it must be one that there is.
func checkLastSlot(first fact.Slot, n int) error {
	if last := int64(first) + int64(n) - 1; last > math.MaxUint32 {
		return malformed(KindStepReport, "last slot", strconv.FormatInt(last, 10), "at most 4294967295")
	}
	return nil
}
