package link

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Largest payloads in bytes, of the phone link and of the others (docs/design.md section 5; firmware/core/phone.h).
const (
	MaxMessage  = 512
	MaxDatagram = 244
)

const (
	flag    = 0x7E
	escape  = 0x7D
	flip    = 0x20
	crcSize = 4
)

// AppendFrame appends the frame of a payload to dst: flag, payload and CRC-32 (IEEE, big-endian) with 0x7E and 0x7D
// escaped, flag. An empty payload has no frame, and nothing is appended.
func AppendFrame(dst, payload []byte) []byte {
	if len(payload) == 0 {
		return dst
	}
	var crc [crcSize]byte
	binary.BigEndian.PutUint32(crc[:], crc32.ChecksumIEEE(payload))
	dst = append(dst, flag)
	dst = appendEscaped(dst, payload)
	dst = appendEscaped(dst, crc[:])
	return append(dst, flag)
}

func appendEscaped(dst, bytes []byte) []byte {
	for _, b := range bytes {
		if b == flag || b == escape {
			dst = append(dst, escape, b^flip)
			continue
		}
		dst = append(dst, b)
	}
	return dst
}

// Decoder finds the frames in a stream of bytes, whatever else is in it. It is the twin of firmware/core/frame.c.
type Decoder struct {
	max     int
	buffer  []byte
	escaped bool
	spoiled bool // too long already: wait for the next flag
	bad     int
}

// NewDecoder returns a decoder that stands as after a flag and takes payloads of up to max bytes.
func NewDecoder(max int) *Decoder {
	return &Decoder{max: max, buffer: make([]byte, 0, max+crcSize)}
}

// Bad returns how many frames were dropped: too short, too long, of a wrong CRC, or ended in an escape.
func (d *Decoder) Bad() int { return d.bad }

// Decode takes one byte and returns the payload of the frame that it ends, or nil. The payload is good until the next
// call.
func (d *Decoder) Decode(b byte) []byte {
	switch {
	case b == flag:
		return d.close()
	case d.spoiled:
	case b == escape && !d.escaped:
		d.escaped = true
	case len(d.buffer) == d.max+crcSize:
		d.spoiled = true
	default:
		if d.escaped {
			b ^= flip
		}
		d.buffer = append(d.buffer, b)
		d.escaped = false
	}
	return nil
}

// close ends the frame gathered so far.
func (d *Decoder) close() (payload []byte) {
	nothing := len(d.buffer) == 0 && !d.escaped && !d.spoiled
	if size := len(d.buffer) - crcSize; size > 0 && !d.escaped && !d.spoiled {
		if binary.BigEndian.Uint32(d.buffer[size:]) == crc32.ChecksumIEEE(d.buffer[:size]) {
			payload = d.buffer[:size]
		}
	}
	if payload == nil && !nothing {
		d.bad++
	}
	d.buffer, d.escaped, d.spoiled = d.buffer[:0], false, false
	return payload
}

// Reader reads the frames of a stream.
type Reader struct {
	in      *bufio.Reader
	decoder *Decoder
}

// NewReader returns a Reader of frames with payloads of up to max bytes.
func NewReader(r io.Reader, max int) *Reader {
	return &Reader{in: bufio.NewReader(r), decoder: NewDecoder(max)}
}

// Next returns the next good frame's payload, good until the next call, or the stream's error.
func (f *Reader) Next() ([]byte, error) {
	for {
		b, err := f.in.ReadByte()
		if err != nil {
			return nil, err
		}
		if payload := f.decoder.Decode(b); payload != nil {
			return payload, nil
		}
	}
}
