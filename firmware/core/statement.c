#include "statement.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"

#define MAGIC_SIZE 4u

static const uint8_t magic_half[MAGIC_SIZE] = {'P', 'F', 'H', '1'};
static const uint8_t magic_steps[MAGIC_SIZE] = {'P', 'F', 'S', '1'};
static const uint8_t magic_proof[MAGIC_SIZE] = {'P', 'F', 'P', '1'};
static const uint8_t magic_tap[MAGIC_SIZE] = {'P', 'F', 'T', '1'};
static const uint8_t magic_digits[MAGIC_SIZE] = {'P', 'F', 'D', '1'};

/* Reads a time; one before the epoch comes out as -1. */
static int64_t get_time(const uint8_t *from)
{
	uint32_t high = get32(from);
	return high >> 31 ? -1 : (int64_t)high << 32 | get32(from + 4);
}

static void put_time(uint8_t *to, int64_t time_ms)
{
	put32(to, (uint32_t)((uint64_t)time_ms >> 32));
	put32(to + 4, (uint32_t)time_ms);
}

static bool has_magic(const uint8_t *bytes, size_t size, const uint8_t magic[MAGIC_SIZE])
{
	return size >= MAGIC_SIZE && memcmp(bytes, magic, MAGIC_SIZE) == 0;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	uint8_t any = 0;
	for (size_t i = 0; i < size; i++) {
		any |= bytes[i];
	}
	return any == 0;
}

enum statement_kind statement_kind_of(const uint8_t *bytes, size_t size)
{
	if (has_magic(bytes, size, magic_half)) {
		return STATEMENT_HALF;
	}
	if (has_magic(bytes, size, magic_steps)) {
		return STATEMENT_STEPS;
	}
	return has_magic(bytes, size, magic_proof) ? STATEMENT_PROOF : STATEMENT_UNKNOWN;
}

static bool half_in_range(const struct half *half)
{
	return half->time_ms >= 0 && half->link >= HALF_LINK_NFC && half->link <= HALF_LINK_WIRE;
}

static bool half_of_self(const struct half *half)
{
	return memcmp(half->pin, half->peer, sizeof half->pin) == 0;
}

enum statement_rule statement_parse_half(struct half *half, const uint8_t *bytes, size_t size)
{
	if (!has_magic(bytes, size, magic_half)) {
		return STATEMENT_UNKNOWN_MAGIC;
	}
	if (size != STATEMENT_HALF_SIZE) {
		return STATEMENT_MALFORMED;
	}
	memcpy(half->pin, bytes + 4, sizeof half->pin);
	memcpy(half->peer, bytes + 12, sizeof half->peer);
	memcpy(half->nonce, bytes + 20, sizeof half->nonce);
	memcpy(half->peer_nonce, bytes + 36, sizeof half->peer_nonce);
	half->counter = get32(bytes + 52);
	half->time_ms = get_time(bytes + 56);
	half->rssi = (int8_t)(bytes[64] < 128 ? bytes[64] : bytes[64] - 256);
	half->link = bytes[65];
	if (!half_in_range(half)) {
		return STATEMENT_MALFORMED;
	}
	if (!all_zero(bytes + 66, 6)) {
		return STATEMENT_RESERVED_NOT_ZERO;
	}
	return half_of_self(half) ? STATEMENT_SELF_TAP : STATEMENT_OK;
}

enum statement_rule statement_build_half(uint8_t bytes[STATEMENT_HALF_SIZE], const struct half *half)
{
	if (!half_in_range(half)) {
		return STATEMENT_MALFORMED;
	}
	if (half_of_self(half)) {
		return STATEMENT_SELF_TAP;
	}
	memcpy(bytes, magic_half, MAGIC_SIZE);
	memcpy(bytes + 4, half->pin, sizeof half->pin);
	memcpy(bytes + 12, half->peer, sizeof half->peer);
	memcpy(bytes + 20, half->nonce, sizeof half->nonce);
	memcpy(bytes + 36, half->peer_nonce, sizeof half->peer_nonce);
	put32(bytes + 52, half->counter);
	put_time(bytes + 56, half->time_ms);
	bytes[64] = (uint8_t)half->rssi;
	bytes[65] = half->link;
	memset(bytes + 66, 0, 6);
	return STATEMENT_OK;
}

static bool slots_in_range(uint32_t first, uint8_t n)
{
	return n >= 1 && n <= STATEMENT_MAX_SLOTS && first <= UINT32_MAX - (n - 1u);
}

enum statement_rule statement_parse_steps(struct step_report *report, const uint8_t *bytes, size_t size)
{
	if (!has_magic(bytes, size, magic_steps)) {
		return STATEMENT_UNKNOWN_MAGIC;
	}
	if (size < STATEMENT_STEPS_HEADER) {
		return STATEMENT_MALFORMED;
	}
	uint32_t first = get32(bytes + 16);
	uint8_t n = bytes[20];
	if (!slots_in_range(first, n) || size != STATEMENT_STEPS_HEADER + 2u * n) {
		return STATEMENT_MALFORMED;
	}
	if (!all_zero(bytes + 21, 3)) {
		return STATEMENT_RESERVED_NOT_ZERO;
	}
	memcpy(report->pin, bytes + 4, sizeof report->pin);
	report->counter = get32(bytes + 12);
	report->first_slot = first;
	report->n = n;
	memset(report->steps, 0, sizeof report->steps);
	for (size_t i = 0; i < n; i++) {
		report->steps[i] = get16(bytes + STATEMENT_STEPS_HEADER + 2 * i);
	}
	return STATEMENT_OK;
}

enum statement_rule statement_build_steps(uint8_t bytes[STATEMENT_MAX_SIZE], size_t *size,
                                          const struct step_report *report)
{
	if (!slots_in_range(report->first_slot, report->n)) {
		return STATEMENT_MALFORMED;
	}
	memcpy(bytes, magic_steps, MAGIC_SIZE);
	memcpy(bytes + 4, report->pin, sizeof report->pin);
	put32(bytes + 12, report->counter);
	put32(bytes + 16, report->first_slot);
	bytes[20] = report->n;
	memset(bytes + 21, 0, 3);
	for (size_t i = 0; i < report->n; i++) {
		put16(bytes + STATEMENT_STEPS_HEADER + 2 * i, report->steps[i]);
	}
	*size = STATEMENT_STEPS_HEADER + 2u * report->n;
	return STATEMENT_OK;
}

enum statement_rule statement_parse_proof(struct proof *proof, const uint8_t *bytes, size_t size)
{
	if (!has_magic(bytes, size, magic_proof)) {
		return STATEMENT_UNKNOWN_MAGIC;
	}
	if (size != STATEMENT_PROOF_SIZE) {
		return STATEMENT_MALFORMED;
	}
	memcpy(proof->pin, bytes + 4, sizeof proof->pin);
	memcpy(proof->challenge, bytes + 12, sizeof proof->challenge);
	proof->time_ms = get_time(bytes + 44);
	return proof->time_ms < 0 ? STATEMENT_MALFORMED : STATEMENT_OK;
}

enum statement_rule statement_build_proof(uint8_t bytes[STATEMENT_PROOF_SIZE], const struct proof *proof)
{
	if (proof->time_ms < 0) {
		return STATEMENT_MALFORMED;
	}
	memcpy(bytes, magic_proof, MAGIC_SIZE);
	memcpy(bytes + 4, proof->pin, sizeof proof->pin);
	memcpy(bytes + 12, proof->challenge, sizeof proof->challenge);
	put_time(bytes + 44, proof->time_ms);
	return STATEMENT_OK;
}

void statement_tap_id(uint8_t tap[STATEMENT_TAP_SIZE], const struct half *half)
{
	bool author_is_low = memcmp(half->pin, half->peer, sizeof half->pin) <= 0;
	const struct pin_part author[2] = {{half->pin, sizeof half->pin}, {half->nonce, sizeof half->nonce}};
	const struct pin_part peer[2] = {{half->peer, sizeof half->peer}, {half->peer_nonce, sizeof half->peer_nonce}};
	const struct pin_part *low = author_is_low ? author : peer;
	const struct pin_part *high = author_is_low ? peer : author;
	const struct pin_part parts[] = {{magic_tap, MAGIC_SIZE}, low[0], low[1], high[0], high[1]};
	uint8_t hash[PIN_HASH_SIZE];
	pin_sha256(hash, parts, sizeof parts / sizeof *parts);
	memcpy(tap, hash, STATEMENT_TAP_SIZE);
}

void statement_pin_id(uint8_t pin[STATEMENT_PIN_SIZE], const uint8_t public_key[PIN_PUBLIC_KEY_SIZE])
{
	const struct pin_part key = {public_key, PIN_PUBLIC_KEY_SIZE};
	uint8_t hash[PIN_HASH_SIZE];
	pin_sha256(hash, &key, 1);
	memcpy(pin, hash, STATEMENT_PIN_SIZE);
}

void statement_digits(char digits[STATEMENT_DIGITS + 1], const uint8_t challenge[STATEMENT_CHALLENGE_SIZE])
{
	const struct pin_part parts[] = {{magic_digits, MAGIC_SIZE}, {challenge, STATEMENT_CHALLENGE_SIZE}};
	uint8_t hash[PIN_HASH_SIZE];
	pin_sha256(hash, parts, sizeof parts / sizeof *parts);
	uint64_t number = (uint64_t)get32(hash) << 32 | get32(hash + 4);
	for (size_t i = STATEMENT_DIGITS; i-- > 0; number /= 10) {
		digits[i] = (char)('0' + number % 10);
	}
	digits[STATEMENT_DIGITS] = 0;
}
