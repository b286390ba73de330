/* A pin on a board in memory, and its phone, for tests of the whole. */
#ifndef PINFOLD_TEST_RIG_H
#define PINFOLD_TEST_RIG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fake_hal.h"
#include "frame.h"
#include "pb_decode.h"
#include "pb_encode.h"
#include "pin.h"
#include "pin.pb.h"

#define ANSWERS 80

typedef pinfold_pin_v1_ToPin to_pin;
typedef pinfold_pin_v1_FromPin from_pin;

struct rig {
	struct fake board;
	struct pin pin;
	from_pin answers[ANSWERS]; /* of the last rig_hear */
	size_t count;
};

/* Turns the pin on; its flash is as it is. */
static inline void rig_boot(struct rig *rig) {
	fake_use(&rig->board);
	pin_init(&rig->pin, HALF_LINK_WIRE);
}

static inline void rig_new(struct rig *rig, uint64_t seed) {
	memset(rig, 0, sizeof *rig);
	fake_init(&rig->board, seed);
	rig_boot(rig);
}

/* One round, 10 ms. */
static inline void rig_poll(struct rig *rig) {
	fake_use(&rig->board);
	rig->board.millis += 10;
	pin_poll(&rig->pin);
}

static inline void rig_send_bytes(struct rig *rig, const uint8_t *bytes, size_t size) {
	memcpy(rig->board.to_pin + rig->board.to_pin_size, bytes, size);
	rig->board.to_pin_size += size;
}

static inline void rig_send_payload(struct rig *rig, const uint8_t *payload, size_t size) {
	uint8_t frame[FRAME_ENCODED(PHONE_IN_MAX)];
	rig_send_bytes(rig, frame, frame_encode(frame, sizeof frame, payload, size));
}

static inline void rig_send(struct rig *rig, const to_pin *message) {
	uint8_t payload[PHONE_IN_MAX];
	pb_ostream_t out = pb_ostream_from_buffer(payload, sizeof payload);
	if (pb_encode(&out, pinfold_pin_v1_ToPin_fields, message)) {
		rig_send_payload(rig, payload, out.bytes_written);
	}
}

/* Decodes all that the pin said since the last time. */
static inline void rig_hear(struct rig *rig) {
	uint8_t buffer[FRAME_BUFFER(PHONE_IN_MAX)];
	struct frame_decoder d;
	frame_decoder_init(&d, buffer, sizeof buffer);
	rig->count = 0;
	for (size_t i = 0; i < rig->board.from_pin_size; i++) {
		size_t size = frame_decode(&d, rig->board.from_pin[i]);
		if (size > 0 && rig->count < ANSWERS) {
			pb_istream_t in = pb_istream_from_buffer(buffer, size);
			if (pb_decode(&in, pinfold_pin_v1_FromPin_fields, &rig->answers[rig->count])) {
				rig->count++;
			}
		}
	}
	rig->board.from_pin_size = 0;
}

/* Lets two pins live for ms; nobody listens to what they say to their phones. */
static inline void rig_rounds(struct rig *a, struct rig *b, uint32_t ms) {
	for (uint32_t t = 0; t < ms; t += 10) {
		rig_poll(a);
		rig_poll(b);
		a->board.from_pin_size = 0;
		b->board.from_pin_size = 0;
	}
}

/* Sends a request, lets ms pass, and returns the first answer to it, NULL = none. */
static inline const from_pin *rig_ask_within(struct rig *rig, const to_pin *message, uint32_t ms) {
	rig_send(rig, message);
	for (uint32_t t = 0; t < ms; t += 10) {
		rig_poll(rig);
	}
	rig_hear(rig);
	for (size_t i = 0; i < rig->count; i++) {
		if (rig->answers[i].request == message->request) {
			return &rig->answers[i];
		}
	}
	return NULL;
}

static inline const from_pin *rig_ask(struct rig *rig, const to_pin *message) {
	return rig_ask_within(rig, message, 20);
}

/* The same for a request that is answered once the display has shown it for long enough. */
static inline const from_pin *rig_ask_press(struct rig *rig, const to_pin *message) {
	return rig_ask_within(rig, message, PHONE_SETTLE_MS + 500);
}

/* The answer to Hello; the pin must give one. */
static inline const pinfold_pin_v1_Info *rig_info(struct rig *rig) {
	const from_pin *m = rig_ask(rig, &(to_pin){.request = 77, .which_message = pinfold_pin_v1_ToPin_hello_tag});
	return m != NULL && m->which_message == pinfold_pin_v1_FromPin_info_tag ? &m->message.info : NULL;
}

/* Sets the clock. */
static inline const from_pin *rig_set_time(struct rig *rig, int64_t time_ms, int32_t offset_quarters) {
	return rig_ask(rig, &(to_pin){.request = 78, .which_message = pinfold_pin_v1_ToPin_set_time_tag,
								  .message.set_time = {.time_ms = time_ms, .offset_quarters = offset_quarters}});
}

#endif
