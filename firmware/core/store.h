/* What a pin must not lose: its identity, its counter, the statements that no phone has delivered yet, and a
 * little state of other parts. It lives in 32 pages of NOR flash and survives a loss of power at any word that is
 * written and during any erase.
 *
 * When a function returns STORE_OK, what it was asked for is durable. After STORE_FLASH nothing is known but what is in the
 * flash: the store must be mounted again, and until then every function answers STORE_FLASH.
 *
 * How it is laid out stands in store.c. */
#ifndef PINFOLD_STORE_H
#define PINFOLD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto.h"
#include "statement.h"

#define STORE_PAGE_SIZE 4096u
#define STORE_PAGES 32u     /* 2 for the identity, 30 for the ring of records */
#define STORE_CAPACITY 620u /* statements that are kept at most; 310 taps */
#define STORE_STATES 4u     /* pieces of state */
#define STORE_STATE_SIZE 152u

/* NOR flash. Erased bytes are 0xFF, a write can only clear bits, writes are whole aligned words of 4 bytes, and no word
 * is written more than twice between erases (a third time only after a loss of power). Each returns false
 * where it failed; it may then have done a part. */
struct flash {
	bool (*read)(void *ctx, uint32_t offset, void *to, size_t size);
	bool (*write)(void *ctx, uint32_t offset, const void *from, size_t size);
	bool (*erase)(void *ctx, uint32_t page);
	void *ctx;
};

enum store_result {
	STORE_OK,
	STORE_NO_IDENTITY, /* never provisioned */
	STORE_FULL,        /* no room: bring the pin to a phone */
	STORE_REFUSED,     /* the argument breaks a rule that the function names */
	STORE_FLASH,       /* the flash failed: mount again */
};

enum store_kind {
	STORE_OWN_HALF = 1,
	STORE_PEER_HALF = 2,
	STORE_STEP_REPORT = 3,
	STORE_STATE = 4, /* of other parts; never fetched */
};

/* A statement that waits for a phone. */
struct store_record {
	uint32_t record; /* its number: larger for each new one, also after a wipe, and never used twice */
	enum store_kind kind;
	uint8_t size; /* of the statement */
	uint8_t statement[STATEMENT_MAX_SIZE];
	uint8_t signature[PIN_SIGNATURE_SIZE];
};

/* The fields are the store's own. */
struct store {
	struct flash flash;
	bool broken;
	bool provisioned;
	uint8_t identity_page;
	uint8_t current;   /* page that takes records; 0 = none */
	uint8_t next_slot; /* in that page */
	uint32_t generation;
	uint32_t newest;                /* highest sequence of a page */
	uint32_t sequence[STORE_PAGES]; /* of a page in use; 0 = free */
	uint32_t live[STORE_PAGES];     /* bit per slot that holds a record which is still needed */
	uint32_t reports[STORE_PAGES];  /* bit per live slot that holds a step report */
	uint32_t states[STORE_PAGES];   /* bit per live slot that holds state */
	uint32_t state_record[STORE_STATES];
	uint32_t counter;     /* last one used */
	uint32_t next_record; /* number of the next record */
	uint32_t dropped;     /* step reports, since provisioning */
	uint32_t horizon;     /* step reports with smaller record numbers are dropped */
};

/* Reads the flash and finishes what a loss of power has interrupted. Takes at most a pass over the flash
 * and one erase of each page. STORE_OK, STORE_NO_IDENTITY or STORE_FLASH. */
enum store_result store_mount(struct store *store, struct flash flash);

/* Makes the pin another one, or a new one where it had no identity: this seed, no records, counter 0. The seed
 * must be 32 bytes of true randomness. The old identity and all records are erased. After a loss of
 * power the pin has the old identity and all it had, or the new one and nothing. */
enum store_result store_provision(struct store *store, const uint8_t seed[PIN_SEED_SIZE]);

/* Copies the seed of the pin's key. */
enum store_result store_identity(const struct store *store, uint8_t seed[PIN_SEED_SIZE]);

/* Returns the counter that the next own statement must bear; 0 where there is none left or no identity. Only storing
 * the statement uses it up. */
uint32_t store_next_counter(const struct store *store);

/* Returns how many more halves can be stored; a tap takes 2. */
uint32_t store_room(const struct store *store);

/* Stores a half or a step report of this pin, and takes its counter, both or nothing. It must not leave the pin
 * before. STORE_REFUSED where it does not parse or its counter is not that of store_next_counter. A full store drops its oldest
 * step report for a new statement; STORE_FULL where there is none: a step report is then counted as dropped
 * and must not be tried again with the same slots.
 * The signature is not checked. */
enum store_result store_put_own_half(struct store *store, const uint8_t statement[STATEMENT_HALF_SIZE],
									 const uint8_t signature[PIN_SIGNATURE_SIZE]);
enum store_result store_put_step_report(struct store *store, const uint8_t *statement, size_t size,
										const uint8_t signature[PIN_SIGNATURE_SIZE]);

/* Stores the half of another pin. STORE_REFUSED where it does not parse. */
enum store_result store_put_peer_half(struct store *store, const uint8_t statement[STATEMENT_HALF_SIZE],
									  const uint8_t signature[PIN_SIGNATURE_SIZE]);

/* Finds the oldest statement with a record number above `after` (0 for the first). False where there is none. */
bool store_fetch(const struct store *store, uint32_t after, struct store_record *record);

/* Lets the statement go: a gateway has stored it, or refused it for good. True where it is gone, also if it was not there. */
bool store_acknowledge(struct store *store, uint32_t record);

/* Stores a piece of state, which replaces the one of the same key. Never full. STORE_REFUSED where the key
 * is not below STORE_STATES or the size not from 1 to STORE_STATE_SIZE. */
enum store_result store_put_state(struct store *store, uint8_t key, const void *state, size_t size);

/* Copies the piece of state of this key and returns its size; 0 where there is none or it is larger than max. */
size_t store_get_state(const struct store *store, uint8_t key, void *state, size_t max);

/* Returns the number that the next record will have, of whatever kind. */
uint32_t store_next_record(const struct store *store);

/* Returns how many statements wait for a phone. */
uint32_t store_records(const struct store *store);

/* Returns how many step reports were dropped since provisioning because the store was full. */
uint32_t store_dropped(const struct store *store);

#endif
