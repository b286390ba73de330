/* The statements, byte for byte, by the vectors that all implementations share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"
#include "crypto.h"
#include "random.h"
#include "statement.h"

#define VECTOR_PIN(...)
#define VECTOR_HALF(...)
#define VECTOR_STEPS(...)
#define VECTOR_PROOF(...)
#define VECTOR_TAP(...)
#define VECTOR_DIGITS(...)
#define VECTOR_REFUSED(...)

static const struct {
	const char *id, *public_key, *seed;
} pins[] = {
#undef VECTOR_PIN
#define VECTOR_PIN(...) {__VA_ARGS__},
#include "vectors.inc"
#undef VECTOR_PIN
#define VECTOR_PIN(...)
};

static const struct {
	const char *pin, *peer, *nonce, *peer_nonce;
	uint32_t counter;
	int64_t time_ms;
	int8_t rssi;
	uint8_t link;
	const char *bytes, *signature;
} halves[] = {
#undef VECTOR_HALF
#define VECTOR_HALF(...) {__VA_ARGS__},
#include "vectors.inc"
#undef VECTOR_HALF
#define VECTOR_HALF(...)
};

static const struct {
	const char *pin;
	uint32_t counter, first_slot;
	uint8_t n;
	const char *steps, *bytes, *signature;
} reports[] = {
#undef VECTOR_STEPS
#define VECTOR_STEPS(...) {__VA_ARGS__},
#include "vectors.inc"
#undef VECTOR_STEPS
#define VECTOR_STEPS(...)
};

static const struct {
	const char *pin, *challenge;
	int64_t time_ms;
	const char *bytes, *signature;
} proofs[] = {
#undef VECTOR_PROOF
#define VECTOR_PROOF(...) {__VA_ARGS__},
#include "vectors.inc"
#undef VECTOR_PROOF
#define VECTOR_PROOF(...)
};

static const struct {
	size_t halves[2];
	const char *tap;
} taps[] = {
#undef VECTOR_TAP
#define VECTOR_TAP(a, b, id) {{a, b}, id},
#include "vectors.inc"
#undef VECTOR_TAP
#define VECTOR_TAP(...)
};

static const struct {
	const char *challenge, *digits;
} challenges[] = {
#undef VECTOR_DIGITS
#define VECTOR_DIGITS(...) {__VA_ARGS__},
#include "vectors.inc"
#undef VECTOR_DIGITS
#define VECTOR_DIGITS(...)
};

static const struct {
	const char *why, *rule, *pin, *bytes, *signature;
} refused[] = {
#undef VECTOR_REFUSED
#define VECTOR_REFUSED(...) {__VA_ARGS__},
#include "vectors.inc"
};

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define UNHEX(to, text) assert_int_equal(unhex(to, sizeof(to), text), sizeof(to))

/* Writes what the hex digits say, at most max bytes, and returns how many they are. */
static size_t unhex(uint8_t *to, size_t max, const char *text)
{
	size_t n = strlen(text) / 2;
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++) {
		const char digits[3] = {text[2 * i], text[2 * i + 1], 0};
		to[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

/* A copy that ends where the bytes end, so that the sanitizer sees a read beyond. */
static uint8_t *exact(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	assert_non_null(copy);
	memcpy(copy, bytes, n);
	return copy;
}

static void keys_of(const char *id, uint8_t public_key[32], uint8_t secret_key[64])
{
	for (size_t i = 0; i < LENGTH(pins); i++) {
		if (strcmp(pins[i].id, id) == 0) {
			uint8_t seed[32];
			UNHEX(seed, pins[i].seed);
			pin_keypair(public_key, secret_key, seed);
			return;
		}
	}
	fail_msg("pin %s has no key among the vectors", id);
}

static void check_signed(const char *pin, const char *text, const char *signature_text)
{
	uint8_t bytes[STATEMENT_MAX_SIZE], want[64], got[64], public_key[32], secret_key[64];
	size_t n = unhex(bytes, sizeof bytes, text);
	UNHEX(want, signature_text);
	keys_of(pin, public_key, secret_key);
	pin_sign(got, bytes, n, secret_key);
	assert_memory_equal(got, want, sizeof want);
	assert_true(pin_verify(want, bytes, n, public_key));
	bytes[n - 1] ^= 1;
	assert_false(pin_verify(want, bytes, n, public_key));
}

static void test_pins(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(pins); i++) {
		uint8_t want_key[32], want_id[8], key[32], secret[64], id[8];
		UNHEX(want_key, pins[i].public_key);
		UNHEX(want_id, pins[i].id);
		keys_of(pins[i].id, key, secret);
		statement_pin_id(id, key);
		assert_memory_equal(key, want_key, sizeof key);
		assert_memory_equal(id, want_id, sizeof id);
	}
}

static void vector_half(struct half *half, size_t i)
{
	UNHEX(half->pin, halves[i].pin);
	UNHEX(half->peer, halves[i].peer);
	UNHEX(half->nonce, halves[i].nonce);
	UNHEX(half->peer_nonce, halves[i].peer_nonce);
	half->counter = halves[i].counter;
	half->time_ms = halves[i].time_ms;
	half->rssi = halves[i].rssi;
	half->link = halves[i].link;
}

static void test_halves(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(halves); i++) {
		struct half want, got;
		uint8_t bytes[STATEMENT_HALF_SIZE], built[STATEMENT_HALF_SIZE];
		UNHEX(bytes, halves[i].bytes);
		vector_half(&want, i);
		assert_int_equal(statement_kind_of(bytes, sizeof bytes), STATEMENT_HALF);
		assert_int_equal(statement_parse_half(&got, bytes, sizeof bytes), STATEMENT_OK);
		assert_memory_equal(got.pin, want.pin, sizeof got.pin);
		assert_memory_equal(got.peer, want.peer, sizeof got.peer);
		assert_memory_equal(got.nonce, want.nonce, sizeof got.nonce);
		assert_memory_equal(got.peer_nonce, want.peer_nonce, sizeof got.peer_nonce);
		assert_int_equal(got.counter, want.counter);
		assert_true(got.time_ms == want.time_ms);
		assert_int_equal(got.rssi, want.rssi);
		assert_int_equal(got.link, want.link);
		assert_int_equal(statement_build_half(built, &want), STATEMENT_OK);
		assert_memory_equal(built, bytes, sizeof bytes);
		check_signed(halves[i].pin, halves[i].bytes, halves[i].signature);
	}
}

static void test_step_reports(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(reports); i++) {
		struct step_report got;
		uint8_t bytes[STATEMENT_MAX_SIZE], built[STATEMENT_MAX_SIZE], pin[8];
		size_t n = unhex(bytes, sizeof bytes, reports[i].bytes), size = 0;
		UNHEX(pin, reports[i].pin);
		assert_int_equal(statement_kind_of(bytes, n), STATEMENT_STEPS);
		assert_int_equal(statement_parse_steps(&got, bytes, n), STATEMENT_OK);
		assert_memory_equal(got.pin, pin, sizeof pin);
		assert_int_equal(got.counter, reports[i].counter);
		assert_int_equal(got.first_slot, reports[i].first_slot);
		assert_int_equal(got.n, reports[i].n);
		const char *text = reports[i].steps;
		for (size_t slot = 0; slot < got.n; slot++) {
			char *end;
			assert_int_equal(got.steps[slot], strtoul(text, &end, 10));
			text = end;
		}
		assert_int_equal(statement_build_steps(built, &size, &got), STATEMENT_OK);
		assert_int_equal(size, n);
		assert_memory_equal(built, bytes, n);
		check_signed(reports[i].pin, reports[i].bytes, reports[i].signature);
	}
}

static void test_proofs(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(proofs); i++) {
		struct proof got;
		uint8_t bytes[STATEMENT_PROOF_SIZE], built[STATEMENT_PROOF_SIZE], pin[8], challenge[32];
		UNHEX(bytes, proofs[i].bytes);
		UNHEX(pin, proofs[i].pin);
		UNHEX(challenge, proofs[i].challenge);
		assert_int_equal(statement_kind_of(bytes, sizeof bytes), STATEMENT_PROOF);
		assert_int_equal(statement_parse_proof(&got, bytes, sizeof bytes), STATEMENT_OK);
		assert_memory_equal(got.pin, pin, sizeof pin);
		assert_memory_equal(got.challenge, challenge, sizeof challenge);
		assert_true(got.time_ms == proofs[i].time_ms);
		assert_int_equal(statement_build_proof(built, &got), STATEMENT_OK);
		assert_memory_equal(built, bytes, sizeof bytes);
		check_signed(proofs[i].pin, proofs[i].bytes, proofs[i].signature);
	}
}

static void test_taps(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(taps); i++) {
		uint8_t want[16], got[16];
		UNHEX(want, taps[i].tap);
		for (size_t side = 0; side < 2; side++) {
			struct half half;
			vector_half(&half, taps[i].halves[side]);
			statement_tap_id(got, &half);
			assert_memory_equal(got, want, sizeof got);
		}
	}
}

static void test_digits(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(challenges); i++) {
		uint8_t challenge[STATEMENT_CHALLENGE_SIZE];
		char got[STATEMENT_DIGITS + 1];
		UNHEX(challenge, challenges[i].challenge);
		statement_digits(got, challenge);
		assert_string_equal(got, challenges[i].digits);
	}
}

static enum statement_rule parse(const uint8_t *bytes, size_t n)
{
	struct half half;
	struct step_report report;
	struct proof proof;
	switch (statement_kind_of(bytes, n)) {
	case STATEMENT_HALF:
		return statement_parse_half(&half, bytes, n);
	case STATEMENT_STEPS:
		return statement_parse_steps(&report, bytes, n);
	case STATEMENT_PROOF:
		return statement_parse_proof(&proof, bytes, n);
	default:
		return STATEMENT_UNKNOWN_MAGIC;
	}
}

static const char *broken_rule(const char *pin, const uint8_t *bytes, size_t n, const uint8_t signature[64])
{
	static const char *const names[] = {"", "UNKNOWN_MAGIC", "MALFORMED", "RESERVED_NOT_ZERO", "SELF_TAP"};
	enum statement_rule rule = parse(bytes, n);
	uint8_t public_key[32], secret_key[64];
	keys_of(pin, public_key, secret_key);
	return rule == STATEMENT_OK && !pin_verify(signature, bytes, n, public_key) ? "BAD_SIGNATURE" : names[rule];
}

static void test_must_be_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refused); i++) {
		uint8_t bytes[1024], signature[64];
		size_t n = unhex(bytes, sizeof bytes, refused[i].bytes);
		UNHEX(signature, refused[i].signature);
		uint8_t *copy = exact(bytes, n);
		const char *rule = broken_rule(refused[i].pin, copy, n, signature);
		free(copy);
		if (strcmp(rule, refused[i].rule) != 0) {
			fail_msg("%s: got %s, want %s", refused[i].why, rule, refused[i].rule);
		}
	}
}

static void test_what_is_not_built(void **state)
{
	(void)state;
	uint8_t bytes[STATEMENT_MAX_SIZE];
	size_t size;
	struct half half;
	vector_half(&half, 0);
	half.link = 0;
	assert_int_equal(statement_build_half(bytes, &half), STATEMENT_MALFORMED);
	half.link = 4;
	assert_int_equal(statement_build_half(bytes, &half), STATEMENT_MALFORMED);
	half.link = 1;
	half.time_ms = -1;
	assert_int_equal(statement_build_half(bytes, &half), STATEMENT_MALFORMED);
	half.time_ms = 0;
	memcpy(half.peer, half.pin, sizeof half.pin);
	assert_int_equal(statement_build_half(bytes, &half), STATEMENT_SELF_TAP);
	struct step_report report = {.n = 0};
	assert_int_equal(statement_build_steps(bytes, &size, &report), STATEMENT_MALFORMED);
	report.n = 33;
	assert_int_equal(statement_build_steps(bytes, &size, &report), STATEMENT_MALFORMED);
	report = (struct step_report){.first_slot = UINT32_MAX, .n = 2};
	assert_int_equal(statement_build_steps(bytes, &size, &report), STATEMENT_MALFORMED);
	struct proof proof = {.time_ms = INT64_MIN};
	assert_int_equal(statement_build_proof(bytes, &proof), STATEMENT_MALFORMED);
}

/* Bytes from anybody: never a read beyond them, and what is accepted gives the same bytes again. */
static void test_mutated(void **state)
{
	(void)state;
	struct random random = {7};
	const char *const seeds[] = {halves[0].bytes, reports[0].bytes, reports[3].bytes, proofs[0].bytes};
	uint32_t accepted = 0;
	for (uint32_t run = 0; run < 200000; run++) {
		uint8_t bytes[128] = {0}, built[STATEMENT_MAX_SIZE];
		size_t n = unhex(bytes, sizeof bytes, seeds[random_below(&random, LENGTH(seeds))]), size = 0;
		for (uint32_t i = random_below(&random, 3); i > 0; i--) {
			bytes[random_below(&random, (uint32_t)n)] ^= (uint8_t)(1u << random_below(&random, 8));
		}
		n = random_below(&random, 4) == 0 ? random_below(&random, sizeof bytes) : n;
		uint8_t *copy = exact(bytes, n);
		struct half half;
		struct step_report report;
		struct proof proof;
		if (statement_parse_half(&half, copy, n) == STATEMENT_OK) {
			assert_int_equal(statement_build_half(built, &half), STATEMENT_OK);
			size = STATEMENT_HALF_SIZE;
		} else if (statement_parse_steps(&report, copy, n) == STATEMENT_OK) {
			assert_int_equal(statement_build_steps(built, &size, &report), STATEMENT_OK);
		} else if (statement_parse_proof(&proof, copy, n) == STATEMENT_OK) {
			assert_int_equal(statement_build_proof(built, &proof), STATEMENT_OK);
			size = STATEMENT_PROOF_SIZE;
		}
		if (size > 0) {
			assert_int_equal(size, n);
			assert_memory_equal(built, copy, n);
			accepted++;
		}
		free(copy);
	}
	assert_in_range(accepted, 50000, 180000);
}

/* Points of order 1, 2, 4 and 8, with which anybody could sign anything, and the non-canonical forms of some. */
static void test_small_order_keys(void **state)
{
	(void)state;
	static const char *const keys[] = {
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	for (size_t i = 0; i < LENGTH(keys); i++) {
		/* With such a key, R = identity and S = 0 verifies some messages where small orders are not refused. */
		uint8_t key[32], signature[64] = {1};
		UNHEX(key, keys[i]);
		for (uint8_t message = 0; message < 64; message++) {
			assert_false(pin_verify(signature, &message, 1, key));
		}
	}
}

static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(crc32("123456789", 9), 0xCBF43926);
	assert_int_equal(crc32("", 0), 0);
	assert_int_equal(crc32("\xFF\xFF\xFF\xFF", 4), 0xFFFFFFFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_step_reports),
		cmocka_unit_test(test_proofs),
		cmocka_unit_test(test_taps),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_must_be_refused),
		cmocka_unit_test(test_what_is_not_built),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_small_order_keys),
		cmocka_unit_test(test_crc),
	};
	printf("vectors: %zu pins, %zu halves, %zu step reports, %zu proofs, %zu taps, %zu digits, %zu refused\n", LENGTH(pins),
	       LENGTH(halves), LENGTH(reports), LENGTH(proofs), LENGTH(taps), LENGTH(challenges), LENGTH(refused));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
