#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"

#define MAX 244u

static uint8_t buffer[FRAME_BUFFER(MAX)];

/* feed gives the bytes to the decoder and returns how many frames came; the last one's size is in *size. */
static int feed(struct frame_decoder *d, const uint8_t *bytes, size_t n, size_t *size) {
	int frames = 0;
	for (size_t i = 0; i < n; i++) {
		size_t got = frame_decode(d, bytes[i]);
		if (got > 0) {
			frames++;
			*size = got;
		}
	}
	return frames;
}

/* The check value of CRC-32 is 0xCBF43926 of "123456789". */
static void test_known_bytes(void **state) {
	(void)state;
	const uint8_t want[] = {0x7E, '1', '2', '3', '4', '5', '6', '7', '8', '9', 0xCB, 0xF4, 0x39, 0x26, 0x7E};
	uint8_t out[FRAME_ENCODED(9)];
	assert_int_equal(frame_encode(out, sizeof out, (const uint8_t *)"123456789", 9), sizeof want);
	assert_memory_equal(out, want, sizeof want);
	/* flag and escape are both escaped */
	const uint8_t specials[] = {0x7E, 0x7D};
	size_t n = frame_encode(out, sizeof out, specials, sizeof specials);
	const uint8_t begin[] = {0x7E, 0x7D, 0x5E, 0x7D, 0x5D};
	assert_memory_equal(out, begin, sizeof begin);
	for (size_t i = 1; i < n - 1; i++) {
		assert_int_not_equal(out[i], 0x7E);
	}
}

static void test_round_trip(void **state) {
	(void)state;
	uint8_t payload[MAX + 1], out[FRAME_ENCODED(MAX + 1)];
	struct frame_decoder d;
	frame_decoder_init(&d, buffer, sizeof buffer);
	for (size_t n = 1; n <= MAX; n++) {
		for (size_t i = 0; i < n; i++) {
			payload[i] = (uint8_t)(n % 3 == 0 ? 0x7D + (i & 1) : i * 7 + n);
		}
		size_t size = 0, encoded = frame_encode(out, FRAME_ENCODED(n), payload, n);
		assert_true(encoded > 0);
		assert_int_equal(feed(&d, out, encoded, &size), 1);
		assert_int_equal(size, n);
		assert_memory_equal(buffer, payload, n);
	}
	assert_int_equal(d.bad, 0);
	/* one more than fits */
	size_t size = 0, encoded = frame_encode(out, sizeof out, payload, MAX + 1);
	assert_int_equal(feed(&d, out, encoded, &size), 0);
	assert_int_equal(d.bad, 1);
	encoded = frame_encode(out, sizeof out, payload, MAX);
	assert_int_equal(feed(&d, out, encoded, &size), 1);
	assert_int_equal(size, MAX);
}

static void test_encode_has_bounds(void **state) {
	(void)state;
	const uint8_t payload[] = {1, 0x7E, 3};
	uint8_t out[FRAME_ENCODED(3)];
	size_t needed = frame_encode(out, sizeof out, payload, sizeof payload);
	assert_true(needed > 0);
	for (size_t max = 0; max < needed; max++) {
		uint8_t *exact = test_malloc(max + 1); /* the sanitizer watches what is behind it */
		assert_int_equal(frame_encode(exact, max, payload, sizeof payload), 0);
		test_free(exact);
	}
	assert_int_equal(frame_encode(out, needed, payload, sizeof payload), needed);
	assert_int_equal(frame_encode(out, sizeof out, payload, 0), 0);
}

static void test_bad_frames(void **state) {
	(void)state;
	static const struct {
		const char *name;
		uint8_t bytes[12];
		size_t size;
		uint32_t bad;
	} cases[] = {
		{"flags alone", {0x7E, 0x7E, 0x7E}, 3, 0},
		{"one byte", {0x7E, 1, 0x7E}, 3, 1},
		{"a CRC of nothing", {0x7E, 0, 0, 0, 0, 0x7E}, 6, 1},
		{"a wrong CRC", {0x7E, 'a', 0, 0, 0, 0, 0x7E}, 7, 1},
		{"an escape alone", {0x7E, 0x7D, 0x7E}, 3, 1},
		{"an escape at the end", {0x7E, 1, 2, 3, 4, 5, 0x7D, 0x7E}, 8, 1},
		{"bytes before any flag", {1, 2, 3, 0x7E}, 4, 1},
		{"two in a row", {0x7E, 1, 0x7E, 2, 0x7E}, 5, 2},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct frame_decoder d;
		size_t size = 0;
		frame_decoder_init(&d, buffer, sizeof buffer);
		assert_int_equal(feed(&d, cases[i].bytes, cases[i].size, &size), 0);
		if (d.bad != cases[i].bad) {
			fail_msg("%s: %u bad frames, wanted %u", cases[i].name, d.bad, cases[i].bad);
		}
	}
}

/* The same bytes with one bit changed are never the payload of another frame, and the next frame always comes through. */
static void test_one_bit(void **state) {
	(void)state;
	const uint8_t payload[] = {0x7D, 2, 3, 0x7E, 5, 0xFF, 0};
	uint8_t good[FRAME_ENCODED(sizeof payload)], spoiled[sizeof good];
	size_t n = frame_encode(good, sizeof good, payload, sizeof payload);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		struct frame_decoder d;
		size_t size = 0;
		frame_decoder_init(&d, buffer, sizeof buffer);
		memcpy(spoiled, good, n);
		spoiled[bit / 8] ^= (uint8_t)(1u << bit % 8);
		feed(&d, spoiled, n, &size);
		assert_true(size == 0 || (size == sizeof payload && memcmp(buffer, payload, size) == 0));
		const uint8_t flag = 0x7E;
		size = 0;
		feed(&d, &flag, 1, &size);
		assert_int_equal(feed(&d, good, n, &size), 1);
		assert_int_equal(size, sizeof payload);
	}
}

/* Whatever came before, a frame after a flag comes through. */
static void test_noise(void **state) {
	(void)state;
	uint64_t random = 1;
	struct frame_decoder d;
	frame_decoder_init(&d, buffer, sizeof buffer);
	const uint8_t payload[] = {1, 2, 3};
	uint8_t good[FRAME_ENCODED(sizeof payload)];
	size_t n = frame_encode(good, sizeof good, payload, sizeof payload);
	for (int round = 0; round < 2000; round++) {
		size_t size = 0;
		for (int i = 0; i < round % 400; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			uint8_t byte = (uint8_t)(random >> 60 == 0 ? 0x7D : random >> 33);
			feed(&d, &byte, 1, &size);
			assert_true(size == 0);
		}
		assert_int_equal(feed(&d, (const uint8_t[]){0x7E}, 1, &size), 0);
		assert_int_equal(feed(&d, good, n, &size), 1);
		assert_int_equal(size, sizeof payload);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_bytes), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_encode_has_bounds),
		cmocka_unit_test(test_bad_frames),  cmocka_unit_test(test_one_bit),    cmocka_unit_test(test_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
