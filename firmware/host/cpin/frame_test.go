//go:build firmware && cgo

package cpin_test

import (
	"bytes"
	"slices"
	"testing"

	"pinfold/client/link"
	"pinfold/firmware/host/cpin"
)

// FuzzFrames compares which payloads C and Go find in a stream of bytes and how many frames they drop, and what they make
// of a payload.
func FuzzFrames(f *testing.F) {
	good := link.AppendFrame(nil, []byte("hello"))
	f.Add([]byte{}, uint8(5))
	f.Add(good, uint8(5))
	f.Add(good, uint8(4)) // too long
	f.Add(slices.Concat(good, good[1:], good), uint8(244))
	f.Add(slices.Concat(good[:4], []byte{0x7D}, good), uint8(244)) // ends in an escape
	f.Add([]byte{0x7E, 0x7D, 0x7E, 0x7D, 0x7D, 0x5E, 0x7E}, uint8(1))
	f.Add(link.AppendFrame(nil, []byte{0x7E, 0x7D, 0x5E, 0x5D}), uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		longest := int(size)
		decoder := link.NewDecoder(longest)
		var want [][]byte
		for _, c := range b {
			if payload := decoder.Decode(c); payload != nil {
				want = append(want, bytes.Clone(payload))
			}
		}
		got, bad := cpin.DecodeFrames(b, longest)
		if !slices.EqualFunc(got, want, bytes.Equal) || bad != decoder.Bad() {
			t.Errorf("frames in %x, of %d bytes at most: C %x and %d bad, Go %x and %d", b, longest, got, bad, want, decoder.Bad())
		}

		frame := link.AppendFrame(nil, b)
		for _, room := range []int{0, len(frame) - 1, len(frame), len(frame) + 1} {
			want := frame
			if room < len(frame) || len(b) == 0 {
				want = nil
			}
			if got := cpin.EncodeFrame(b, max(room, 0)); !bytes.Equal(got, want) {
				t.Errorf("the frame of %x in %d bytes: C %x, Go %x", b, room, got, want)
			}
		}
	})
}
