//go:build firmware && cgo

package cpin

/*
#include "frame.h"
// cpin_decode_all writes the payloads of a stream one after another to out, and their sizes to sizes, and returns how many.
static size_t cpin_decode_all(const uint8_t *in, size_t n, uint8_t *buffer, size_t capacity, uint8_t *out, size_t *sizes,
                              uint32_t *bad) {
	struct frame_decoder d;
	size_t count = 0;
	frame_decoder_init(&d, buffer, capacity);
	for (size_t i = 0; i < n; i++) {
		size_t size = frame_decode(&d, in[i]);
		for (size_t k = 0; k < size; k++) {
			*out++ = buffer[k];
		}
		if (size > 0) {
			sizes[count++] = size;
		}
	}
	*bad = d.bad;
	return count;
}
*/
import "C"

// crcSize is what a frame has beside its payload, in bytes.
const crcSize = 4

// EncodeFrame is frame_encode into a buffer of that many bytes; nil if it returns 0.
func EncodeFrame(payload []byte, room int) []byte {
	b := make([]byte, room+1) // so that there is a first byte
	n := C.frame_encode(pointer(b), C.size_t(room), pointer(payload), C.size_t(len(payload)))
	if n == 0 {
		return nil
	}
	return b[:n]
}

// DecodeFrames is frame_decode of each byte of a stream, with payloads of up to max bytes: the payloads, and how many
// frames were bad.
func DecodeFrames(stream []byte, max int) (payloads [][]byte, bad int) {
	buffer, out := make([]byte, max+crcSize), make([]byte, len(stream)+1)
	sizes := make([]C.size_t, len(stream)+1)
	var dropped C.uint32_t
	n := C.cpin_decode_all(pointer(stream), C.size_t(len(stream)), pointer(buffer), C.size_t(len(buffer)), pointer(out), &sizes[0], &dropped)
	for _, size := range sizes[:n] {
		payloads = append(payloads, out[:size:size])
		out = out[size:]
	}
	return payloads, int(dropped)
}
