/* What pins sign, in the fixed layouts of docs/design.md section 4: the half of a tap, the step report and the proof of
 * possession; also the id of a tap and of a pin, and the digits of a challenge. The twin of Go's internal/statement, and held to it by the vectors in
 * proto/testdata/statements.json.
 *
 * Each statement has exactly one form in bytes. A parse function accepts that form alone; a build function writes
 * only what the parse function accepts. Integers are big-endian. The parse functions take bytes from anybody. They
 * check in the order of enum statement_rule and return the first rule that is broken. No signature is checked here. */
#ifndef PINFOLD_STATEMENT_H
#define PINFOLD_STATEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "crypto.h"

/* Sizes in bytes, and the limit on slots, of docs/design.md section 4. */
#define STATEMENT_HALF_SIZE 72u
#define STATEMENT_PROOF_SIZE 52u
#define STATEMENT_STEPS_HEADER 24u /* a step report without its slots, of 2 bytes each */
#define STATEMENT_MAX_SLOTS 32u
#define STATEMENT_MAX_SIZE (STATEMENT_STEPS_HEADER + 2u * STATEMENT_MAX_SLOTS) /* of any statement */
#define STATEMENT_PIN_SIZE 8u
#define STATEMENT_NONCE_SIZE 16u
#define STATEMENT_CHALLENGE_SIZE 32u
#define STATEMENT_TAP_SIZE 16u
#define STATEMENT_DIGITS 6u

/* The rules, in the order in which they are checked. */
enum statement_rule {
	STATEMENT_OK,
	STATEMENT_UNKNOWN_MAGIC,     /* the first 4 bytes are not those of the kind asked for, or there are fewer */
	STATEMENT_MALFORMED,         /* the length is not that of the layout, or a time, link, n or slot is out of range */
	STATEMENT_RESERVED_NOT_ZERO, /* a byte that the layout sets to zero is not */
	STATEMENT_SELF_TAP,          /* a half whose two pins are the same */
};

enum statement_kind {
	STATEMENT_UNKNOWN,
	STATEMENT_HALF,
	STATEMENT_STEPS,
	STATEMENT_PROOF,
};

enum half_link {
	HALF_LINK_NFC = 1,
	HALF_LINK_BLUETOOTH = 2,
	HALF_LINK_WIRE = 3, /* for tests */
};

struct half {
	uint8_t pin[STATEMENT_PIN_SIZE];
	uint8_t peer[STATEMENT_PIN_SIZE];
	uint8_t nonce[STATEMENT_NONCE_SIZE];
	uint8_t peer_nonce[STATEMENT_NONCE_SIZE];
	uint32_t counter;
	int64_t time_ms; /* since the Unix epoch, 0 or more; 0 = the clock was never set */
	int8_t rssi;     /* dBm; 0 = not measured */
	uint8_t link;    /* enum half_link */
};

struct step_report {
	uint8_t pin[STATEMENT_PIN_SIZE];
	uint32_t counter;
	uint32_t first_slot; /* quarter hours since the Unix epoch; the last slot is within 32 bits too */
	uint8_t n;           /* 1 to STATEMENT_MAX_SLOTS */
	uint16_t steps[STATEMENT_MAX_SLOTS];
};

struct proof {
	uint8_t pin[STATEMENT_PIN_SIZE];
	uint8_t challenge[STATEMENT_CHALLENGE_SIZE];
	int64_t time_ms; /* as in a half */
};

/* Tells the kind by the first 4 bytes and looks no further. */
enum statement_kind statement_kind_of(const uint8_t *bytes, size_t size);

enum statement_rule statement_parse_half(struct half *half, const uint8_t *bytes, size_t size);
enum statement_rule statement_parse_steps(struct step_report *report, const uint8_t *bytes, size_t size);
enum statement_rule statement_parse_proof(struct proof *proof, const uint8_t *bytes, size_t size);

/* The build functions write nothing where the parse function would not accept the result, and return the rule. */
enum statement_rule statement_build_half(uint8_t bytes[STATEMENT_HALF_SIZE], const struct half *half);
enum statement_rule statement_build_proof(uint8_t bytes[STATEMENT_PROOF_SIZE], const struct proof *proof);
/* The report takes STATEMENT_STEPS_HEADER + 2n bytes, which *size then holds. */
enum statement_rule statement_build_steps(uint8_t bytes[STATEMENT_MAX_SIZE], size_t *size,
										  const struct step_report *report);

/* Derives the id of the tap that the half tells of: the same for both halves. */
void statement_tap_id(uint8_t tap[STATEMENT_TAP_SIZE], const struct half *half);

/* Derives a pin's id: the first 8 bytes of the SHA-256 of its public key. */
void statement_pin_id(uint8_t pin[STATEMENT_PIN_SIZE], const uint8_t public_key[PIN_PUBLIC_KEY_SIZE]);

/* Writes the digits by which a person sees that the app speaks of the same challenge, docs/design.md section 4: the first 8 bytes
 * of SHA-256(PFD1 || challenge) as a number, modulo 1,000,000. ASCII, ended by a zero. */
void statement_digits(char digits[STATEMENT_DIGITS + 1], const uint8_t challenge[STATEMENT_CHALLENGE_SIZE]);

#endif
