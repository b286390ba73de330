#include "inject.h"

#include "bytes.h"

#define SAMPLE 10u

static int16_t i16(const uint8_t *p) {
	int32_t v = p[0] << 8 | p[1];
	return (int16_t)(v >= 0x8000 ? v - 0x10000 : v);
}

bool inject_ready(const struct inject *in) {
	return in->count == 0 && !in->looked;
}

static void samples(struct inject *in, const uint8_t *p, size_t size) {
	for (; size >= SAMPLE && in->count < INJECT_SAMPLES; p += SAMPLE, size -= SAMPLE) {
		struct inject_sample *s = &in->samples[(in->first + in->count++) % INJECT_SAMPLES];
		*s = (struct inject_sample){.time_ms = get32(p), .mg = {i16(p + 4), i16(p + 6), i16(p + 8)}};
	}
}

void inject_command(struct inject *in, const uint8_t *command, size_t size) {
	if (size == 0) {
		return;
	}
	const uint8_t *p = command + 1;
	size_t n = size - 1;
	switch (command[0]) {
	case 'A':
		samples(in, p, n);
		return;
	case 'B':
		if (in->presses < UINT8_MAX) {
			in->presses++;
		}
		return;
	case 'N':
		in->near = n == 1 ? p[0] != 0 : in->near;
		return;
	case 'L':
		in->looked = true;
		return;
	case 'R':
		in->redraw = true;
		return;
	case 'T':
		in->ahead_ms += n == 4 ? get32(p) : 0;
		return;
	case 'D':
		in->rssi_dbm = n == 1 ? (int8_t)(p[0] >= 0x80 ? p[0] - 0x100 : p[0]) : in->rssi_dbm;
		return;
	default:
		return;
	}
}

bool inject_take(struct inject *in, struct inject_sample *out) {
	if (in->count == 0) {
		return false;
	}
	*out = in->samples[in->first];
	in->first = (uint8_t)((in->first + 1u) % INJECT_SAMPLES);
	in->count--;
	return true;
}

size_t inject_answer(struct inject *in, const struct inject_seen *seen, uint8_t answer[INJECT_ANSWER]) {
	if (!in->looked) {
		return 0;
	}
	in->looked = false;
	answer[0] = 'L';
	answer[1] = seen->tap;
	answer[2] = seen->apart;
	put32(answer + 3, seen->taps);
	return INJECT_ANSWER;
}
