#include "frame.h"

#include "bytes.h"
#include "crc.h"

#define FLAG 0x7Eu
#define ESCAPE 0x7Du
#define FLIP 0x20u
#define CRC_SIZE 4u

void frame_decoder_init(struct frame_decoder *d, uint8_t *buffer, size_t capacity) {
	*d = (struct frame_decoder){.buffer = buffer, .capacity = capacity};
}

/* close ends the frame gathered so far, and returns the size of its payload, 0 = there is none. */
static size_t close(struct frame_decoder *d) {
	bool nothing = d->size == 0 && !d->escaped && !d->spoiled;
	bool whole = d->size > CRC_SIZE && !d->escaped && !d->spoiled;
	size_t payload = 0;
	if (whole) {
		const uint8_t *tail = d->buffer + d->size - CRC_SIZE;
		if (get32(tail) == crc32(d->buffer, d->size - CRC_SIZE)) {
			payload = d->size - CRC_SIZE;
		}
	}
	if (payload == 0 && !nothing) {
		d->bad++;
	}
	d->size = 0;
	d->escaped = false;
	d->spoiled = false;
	return payload;
}

size_t frame_decode(struct frame_decoder *d, uint8_t byte) {
	if (byte == FLAG) {
		return close(d);
	}
	if (d->spoiled) {
		return 0;
	}
	if (byte == ESCAPE && !d->escaped) {
		d->escaped = true;
		return 0;
	}
	if (d->size == d->capacity) {
		d->spoiled = true;
		return 0;
	}
	d->buffer[d->size++] = d->escaped ? (uint8_t)(byte ^ FLIP) : byte;
	d->escaped = false;
	return 0;
}

/* put appends bytes, escaped, and returns the new size, or 0 if out has no room, or had none before. */
static size_t put(uint8_t *out, size_t max, size_t size, const uint8_t *bytes, size_t n) {
	for (size_t i = 0; i < n && size != 0; i++) {
		bool escape = bytes[i] == FLAG || bytes[i] == ESCAPE;
		if (max - size < (escape ? 2u : 1u)) {
			return 0;
		}
		if (escape) {
			out[size++] = ESCAPE;
		}
		out[size++] = escape ? (uint8_t)(bytes[i] ^ FLIP) : bytes[i];
	}
	return size;
}

size_t frame_encode(uint8_t *out, size_t max, const uint8_t *payload, size_t size) {
	if (size == 0 || max == 0) {
		return 0;
	}
	uint8_t tail[CRC_SIZE];
	put32(tail, crc32(payload, size));
	out[0] = FLAG;
	size_t end = put(out, max, 1, payload, size);
	end = put(out, max, end, tail, sizeof tail);
	if (end == 0 || end == max) {
		return 0;
	}
	out[end++] = FLAG;
	return end;
}
