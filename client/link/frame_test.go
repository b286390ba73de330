package link

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// decodeAll returns copies of all payloads in a stream, and how many frames were bad.
func decodeAll(stream []byte, max int) (payloads [][]byte, bad int) {
	d := NewDecoder(max)
	for _, b := range stream {
		if p := d.Decode(b); p != nil {
			payloads = append(payloads, bytes.Clone(p))
		}
	}
	return payloads, d.Bad()
}

func TestFrame(t *testing.T) {
	// The CRC-32 of "123456789" is 0xCBF43926.
	good := append([]byte{0x7E}, append([]byte("123456789"), 0xCB, 0xF4, 0x39, 0x26, 0x7E)...)
	if got := AppendFrame(nil, []byte("123456789")); !bytes.Equal(got, good) {
		t.Errorf("got %x, want %x", got, good)
	}
	if got := AppendFrame(nil, nil); len(got) != 0 {
		t.Errorf("an empty payload has the frame %x", got)
	}
	wrong := bytes.Clone(good)
	wrong[3] ^= 1
	for _, tt := range []struct {
		name   string
		stream []byte
		max    int
		good   int
		bad    int
	}{
		{"good", good, 9, 1, 0},
		{"flags alone", []byte{0x7E, 0x7E, 0x7E}, 9, 0, 0},
		{"one flag between two", append(bytes.Clone(good), good[1:]...), 9, 2, 0},
		{"wrong CRC, then good", slices.Concat(wrong, good), 9, 1, 1},
		{"too long, then good", slices.Concat(AppendFrame(nil, make([]byte, 10)), good), 9, 1, 1},
		{"too short", []byte{0x7E, 1, 2, 3, 4, 0x7E}, 9, 0, 1},
		{"lone escape", []byte{0x7E, 0x7D, 0x7E}, 9, 0, 1},
		{"escape, then flag, then good", slices.Concat(good[:5], []byte{0x7D}, good), 9, 1, 1},
	} {
		if payloads, bad := decodeAll(tt.stream, tt.max); len(payloads) != tt.good || bad != tt.bad {
			t.Errorf("%s: got %d good and %d bad frames, want %d and %d", tt.name, len(payloads), bad, tt.good, tt.bad)
		}
	}
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Many of the bytes need an escape.
		b := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0x7E, 0x7D, 0x5E, 0x5D}))
		payloads := rapid.SliceOf(rapid.SliceOfN(b, 1, MaxDatagram)).Draw(t, "payloads")
		var stream []byte
		for _, p := range payloads {
			stream = AppendFrame(stream, p)
		}
		got, bad := decodeAll(stream, MaxDatagram)
		if bad != 0 || !slices.EqualFunc(got, payloads, bytes.Equal) {
			t.Fatalf("got %x and %d bad frames", got, bad)
		}
	})
}

// FuzzDecoder: whatever came before, the frame after the next flag is found.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0x7E, 0x7D, 0x7E})
	f.Add(AppendFrame(nil, []byte("hello")))
	f.Add([]byte{0x7D})
	f.Fuzz(func(t *testing.T, stream []byte) {
		payloads, _ := decodeAll(stream, MaxDatagram)
		for _, p := range payloads {
			if len(p) == 0 || len(p) > MaxDatagram {
				t.Fatalf("a payload of %d bytes", len(p))
			}
		}
		want := []byte("after")
		all, _ := decodeAll(append(append(bytes.Clone(stream), 0x7E), AppendFrame(nil, want)...), MaxDatagram)
		if len(all) == 0 || !bytes.Equal(all[len(all)-1], want) {
			t.Fatalf("the frame after %x was not found", stream)
		}
	})
}
