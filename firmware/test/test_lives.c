/* Long hostile lives of two pins, each with a phone: whatever happens to them, no counter of a key is used twice, no half is lost, and
   afterwards they tap as if nothing had been. PINFOLD_SEED is the first seed, PINFOLD_RUNS the number of lives, each with the next seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "glyph.h"
#include "random.h"
#include "rig.h"

#define TO(name) pinfold_pin_v1_ToPin_##name##_tag
#define FROM(name) pinfold_pin_v1_FromPin_##name##_tag
#define NOON 1763985600000 /* 2025-11-24 12:00 UTC, the begin of a slot */
#define DAY_MS 86400000u

#define LIVES 8u
#define ROUNDS 6000u /* of a life, 10 ms each and the jumps of time */
#define PINS 2u

/* What happens, once in so many rounds. */
enum {
	MOVE = 150,   /* the pins come together, or part */
	FLICKER = 30, /* the field is felt wrongly */
	ATTACK = 3,
	REQUEST = 6,
	PROMPT = 250, /* a request that wants a press */
	PRESS = 80,
	LISTEN = 8,
	NEW_ROOM = 20, /* the phone takes another number of bytes */
	FLASH_FAULT = 200,
	REBOOT = 800,
	JUMP = 400,
	SAMPLE = 4,
	CHECK = 100,
};

/* How much of it, at most. */
enum {
	LOSS_PERCENT = 60,
	FAULT_READS = 1000,
	FAULT_CHANGES = 60,
	WIPE_CHANGES = 8, /* written or erased by the wipe of a pin that has little */
	BOOT_READS = 40,  /* by a mount before it comes to the records */
	SMALL_ROOM = 30,
	JUMP_MS = 900000,
	BEFORE_WRAP_MS = 60000,
	NOISE = 60, /* bytes from the phone */
	ACKNOWLEDGED = 8,
	STRANGERS = 1024,
	FLIPS = 3, /* bits of a datagram */
};

/* At the end. */
#define APART_MS 20000u
#define TOUCH_MS 3000u

/* A step: 2 a second, as a square wave. */
#define STEP_MS 500u
#define STEP_MG 300
#define GRAVITY_MG 1000

/* More than a life has. */
#define KEYS 64u
#define COUNTERS 4096u
#define RECORDS 16384u
#define HEARD 16u

/* The phone's inbox has room for what one round may add. */
#define INBOX_FULL 3000u

/* A half in a store. */
struct held {
	uint32_t record;
	uint8_t hash[PIN_HASH_SIZE];
};

struct halves {
	uint8_t by[STATEMENT_PIN_SIZE]; /* the pin that holds them */
	uint32_t count;
	struct held held[STORE_CAPACITY];
};

struct side {
	struct rig rig;
	struct halves before; /* when it was last checked */
	bool acknowledged[RECORDS];
	bool may_be_new; /* its wearer pressed for a wipe */
};

/* What a key has signed, as hashes by counter; zeros = nothing seen. */
struct key {
	uint8_t pin[STATEMENT_PIN_SIZE];
	uint8_t hashes[COUNTERS][PIN_HASH_SIZE];
};

/* One life, and how hard it is. */
struct life {
	uint32_t seed, round;
	struct random random;
	bool hostile_air, hostile_phone, bad_flash, walking, presses;
	bool near;
	uint32_t loss_percent;
	struct fake_datagram heard[HEARD]; /* some of what was sent last, for those who repeat it */
	uint32_t heard_next;
	uint32_t keys;
};

static struct life life;
static struct side sides[PINS];
static struct key keys[KEYS];

static uint32_t below(uint32_t n) {
	return random_below(&life.random, n);
}

static bool once_in(uint32_t n) {
	return below(n) == 0;
}

static void wrong(const char *what, uint32_t number) {
	fail_msg("seed %u, round %u: %s (%u)", (unsigned)life.seed, (unsigned)life.round, what, (unsigned)number);
}

/* ---- no pictures: they take four fifths of the time, and have tests of their own. With these, the library's are not linked. */

void draw_clear(const struct band *band) {
	(void)band;
}

bool draw_art(const struct band *band, const uint8_t *ops, size_t size, struct place place) {
	(void)band, (void)ops, (void)size, (void)place;
	return true;
}

void draw_disc(const struct band *band, int16_t x, int16_t y, int16_t radius, struct ink ink) {
	(void)band, (void)x, (void)y, (void)radius, (void)ink;
}

void draw_arc(const struct band *band, int16_t x, int16_t y, int16_t radius, int16_t width, uint16_t from, uint32_t sweep, struct ink ink) {
	(void)band, (void)x, (void)y, (void)radius, (void)width, (void)from, (void)sweep, (void)ink;
}

void draw_box(const struct band *band, int16_t x, int16_t y, int16_t width, int16_t height, int16_t radius, struct ink ink) {
	(void)band, (void)x, (void)y, (void)width, (void)height, (void)radius, (void)ink;
}

void draw_rim(const struct band *band) {
	(void)band;
}

int16_t text_width(const char *text, int16_t height) {
	(void)text;
	return height;
}

void draw_text(const struct band *band, const char *text, int16_t x, int16_t y, struct text_style style) {
	(void)band, (void)text, (void)x, (void)y, (void)style;
}

/* ---- what must hold */

static void hash_of(uint8_t hash[PIN_HASH_SIZE], const uint8_t *statement, size_t size) {
	const struct pin_part part = {statement, size};
	pin_sha256(hash, &part, 1);
}

static struct key *key_of(const uint8_t pin[STATEMENT_PIN_SIZE]) {
	for (uint32_t i = 0; i < life.keys; i++) {
		if (memcmp(keys[i].pin, pin, STATEMENT_PIN_SIZE) == 0) {
			return &keys[i];
		}
	}
	if (life.keys == KEYS) {
		wrong("more keys than the test has room for", KEYS);
	}
	struct key *key = &keys[life.keys++];
	memset(key, 0, sizeof *key);
	memcpy(key->pin, pin, sizeof key->pin);
	return key;
}

/* see takes note of a statement that left a pin or stands in a store: another with its counter and key must not have been seen. Only our two
   pins sign here, so this holds for all halves, also those of the other pin. */
static void see(const uint8_t *statement, size_t size) {
	static const uint8_t nothing[PIN_HASH_SIZE];
	struct half half;
	struct step_report report;
	const uint8_t *pin = half.pin;
	uint32_t counter;
	if (statement_parse_half(&half, statement, size) == STATEMENT_OK) {
		counter = half.counter;
	} else if (statement_parse_steps(&report, statement, size) == STATEMENT_OK) {
		pin = report.pin;
		counter = report.counter;
	} else {
		wrong("what a pin gives away is no statement, bytes", (uint32_t)size);
		return;
	}
	if (counter >= COUNTERS) {
		wrong("a counter is higher than a life can bring it", counter);
	}
	uint8_t hash[PIN_HASH_SIZE], *seen = key_of(pin)->hashes[counter];
	hash_of(hash, statement, size);
	if (memcmp(seen, nothing, sizeof nothing) != 0 && memcmp(seen, hash, sizeof hash) != 0) {
		wrong("two statements of one key have one counter", counter);
	}
	memcpy(seen, hash, sizeof hash);
}

static void check_identity(const struct rig *rig) {
	uint8_t seed[PIN_SEED_SIZE], public_key[PIN_PUBLIC_KEY_SIZE], secret_key[PIN_SECRET_KEY_SIZE], id[STATEMENT_PIN_SIZE];
	enum store_result r = store_identity(&rig->pin.store, seed);
	if (r != STORE_OK) {
		wrong("the store of a pin that is ready has no identity, result", r);
	}
	pin_keypair(public_key, secret_key, seed);
	statement_pin_id(id, public_key);
	if (memcmp(id, rig->pin.id, sizeof id) != 0) {
		wrong("the pin is not who its store says, counter", store_next_counter(&rig->pin.store));
	}
	if (memcmp(id, rig->pin.tap.pin, sizeof id) != 0) {
		wrong("the tap is not of the pin that the store says, counter", store_next_counter(&rig->pin.store));
	}
}

/* gather sees all statements in the store, and returns its halves. */
static const struct halves *gather(const struct rig *rig) {
	static struct halves now;
	struct store_record r;
	memcpy(now.by, rig->pin.id, sizeof now.by);
	now.count = 0;
	for (uint32_t after = 0; store_fetch(&rig->pin.store, after, &r); after = r.record) {
		see(r.statement, r.size);
		if (r.kind != STORE_STEP_REPORT) {
			struct held *held = &now.held[now.count++];
			held->record = r.record;
			hash_of(held->hash, r.statement, r.size);
		}
	}
	return &now;
}

/* check_halves compares with what the pin held before. Both are in the order of their numbers, which stay. */
static void check_halves(const struct side *side, const struct halves *now) {
	const struct halves *before = &side->before;
	uint32_t at = 0;
	for (uint32_t i = 0; i < before->count; i++) {
		const struct held *held = &before->held[i];
		while (at < now->count && now->held[at].record < held->record) {
			at++;
		}
		bool there = at < now->count && now->held[at].record == held->record;
		if (there && memcmp(now->held[at].hash, held->hash, sizeof held->hash) != 0) {
			wrong("a half has changed, record", held->record);
		}
		if (held->record >= RECORDS) {
			wrong("a record's number is higher than a life can bring it", held->record);
		}
		if (!there && !side->acknowledged[held->record]) {
			wrong("a half is lost that no phone acknowledged, record", held->record);
		}
	}
}

/* check looks into a pin whose flash works, and disturbs nothing: it is not there that a read fails. */
static void check(struct side *side) {
	struct rig *rig = &side->rig;
	if (!rig->pin.ready || rig->pin.store.broken) {
		return;
	}
	fake_use(&rig->board);
	uint32_t fail_read = rig->board.fail_read;
	rig->board.fail_read = 0;
	check_identity(rig);
	const struct halves *now = gather(rig);
	if (memcmp(now->by, side->before.by, sizeof now->by) == 0) {
		check_halves(side, now);
	} else if (side->may_be_new) {
		side->may_be_new = false;
	} else {
		wrong("the pin became another, nobody pressed for that, halves lost", side->before.count);
	}
	side->before = *now;
	rig->board.fail_read = fail_read;
}

/* ---- the air */

/* sent sees all that a pin sends, and says whether it is lost. */
static bool sent(void *ctx, const uint8_t *datagram) {
	const struct side *side = ctx;
	struct fake_datagram *heard = &life.heard[life.heard_next++ % HEARD];
	heard->size = datagram[0] == TAP_HALF ? TAP_HALF_SIZE : TAP_HELLO_SIZE;
	memcpy(heard->bytes, datagram, heard->size);
	if (datagram[0] == TAP_HALF) {
		struct half half;
		see(datagram + 1, STATEMENT_HALF_SIZE);
		if (statement_parse_half(&half, datagram + 1, STATEMENT_HALF_SIZE) == STATEMENT_OK &&
			memcmp(half.pin, side->rig.pin.id, sizeof half.pin) != 0) {
			wrong("a pin sent a half that is not its own, counter", half.counter);
		}
	}
	return below(100) < life.loss_percent;
}

static void make_noise(struct fake_datagram *d) {
	d->size = 1 + below(HAL_PEER_MAX);
	random_fill(&life.random, d->bytes, d->size);
	d->bytes[0] = once_in(2) ? TAP_HELLO : TAP_HALF;
}

/* make_stranger makes the HELLO of another pin, that never sends a half. */
static void make_stranger(struct fake_datagram *d) {
	uint32_t who = below(STRANGERS);
	uint8_t seed[PIN_SEED_SIZE] = {(uint8_t)who, (uint8_t)(who >> 8)}, public_key[PIN_PUBLIC_KEY_SIZE], secret_key[PIN_SECRET_KEY_SIZE];
	uint8_t *id = d->bytes + 1, *nonce = id + STATEMENT_PIN_SIZE;
	pin_keypair(public_key, secret_key, seed);
	d->size = TAP_HELLO_SIZE;
	d->bytes[0] = TAP_HELLO;
	statement_pin_id(id, public_key);
	random_fill(&life.random, nonce, STATEMENT_NONCE_SIZE);
	memcpy(nonce + STATEMENT_NONCE_SIZE, public_key, sizeof public_key);
}

/* make_echo repeats what was sent, as it was or with some bits flipped. */
static void make_echo(struct fake_datagram *d) {
	*d = life.heard[below(HEARD)];
	if (d->size == 0) {
		make_noise(d);
		return;
	}
	for (uint32_t flips = below(FLIPS); flips > 0; flips--) {
		d->bytes[below((uint32_t)d->size)] ^= (uint8_t)(1u << below(8));
	}
}

static void attack(struct fake *board) {
	if (board->inbox_count == FAKE_QUEUE) {
		return;
	}
	struct fake_datagram *d = &board->inbox[(board->inbox_first + board->inbox_count++) % FAKE_QUEUE];
	switch (below(5)) {
	case 0:
		make_noise(d);
		break;
	case 1:
		make_stranger(d);
		break;
	default:
		make_echo(d);
	}
}

/* ---- the phone */

/* hear sees all statements that the phone got. */
static void hear(struct rig *rig) {
	rig_hear(rig);
	for (size_t i = 0; i < rig->count; i++) {
		if (rig->answers[i].which_message == FROM(statement)) {
			const pinfold_pin_v1_Statement *s = &rig->answers[i].message.statement;
			see(s->statement.bytes, s->statement.size);
		}
	}
}

static void send_noise(struct rig *rig) {
	uint8_t noise[NOISE];
	size_t size = 1 + below(NOISE);
	random_fill(&life.random, noise, size);
	if (once_in(2)) {
		rig_send_payload(rig, noise, size);
	} else {
		rig_send_bytes(rig, noise, size);
	}
}

/* acknowledge lets go of a record now and then; else it makes the pin search for what is not there, so that reads fail in it. */
static void acknowledge(struct side *side, pinfold_pin_v1_Acknowledge *m) {
	m->records_count = (pb_size_t)(1 + below(ACKNOWLEDGED));
	for (pb_size_t i = 0; i < m->records_count; i++) {
		m->records[i] = once_in(4 * ACKNOWLEDGED) ? below(side->rig.pin.store.next_record + 1) : 0;
		if (m->records[i] < RECORDS) {
			side->acknowledged[m->records[i]] = true;
		}
	}
}

static void request(struct side *side) {
	struct rig *rig = &side->rig;
	to_pin m = {.request = 1 + below(100)};
	switch (below(8)) {
	case 0:
		m.which_message = TO(hello);
		break;
	case 1:
		m.which_message = TO(set_time);
		m.message.set_time.time_ms = NOON + (int64_t)below(DAY_MS);
		m.message.set_time.offset_quarters = (int32_t)below(200) - 100; /* some are refused */
		break;
	case 2:
	case 3:
		m.which_message = TO(fetch);
		m.message.fetch.max = below(PHONE_FETCH_MAX + 8);
		m.message.fetch.after = below(rig->pin.store.next_record + 1);
		break;
	case 4:
		m.which_message = TO(acknowledge);
		acknowledge(side, &m.message.acknowledge);
		break;
	case 5:
		m.which_message = TO(set_face);
		m.message.set_face.friends = below(1000);
		strcpy(m.message.set_face.background, once_in(2) ? "judo" : "x");
		break;
	case 6:
		m.which_message = TO(choose_background);
		break;
	default:
		send_noise(rig);
		return;
	}
	rig_send(rig, &m);
}

/* prompt asks for what needs a press. */
static void prompt(struct rig *rig) {
	to_pin m = {.request = 1 + below(100)};
	if (once_in(2)) {
		m.which_message = TO(wipe);
	} else {
		m.which_message = TO(prove);
		m.message.prove.challenge[0] = 1;
	}
	rig_send(rig, &m);
}

/* ---- life */

/* be_born turns on a new pin whose time wraps soon. */
static void be_born(struct side *side, struct side *other) {
	struct fake *board = &side->rig.board;
	memset(side, 0, sizeof *side);
	fake_init(board, random_u64(&life.random));
	board->peers[0] = &other->rig.board;
	board->drop = sent;
	board->drop_ctx = side;
	board->millis = UINT32_MAX - below(BEFORE_WRAP_MS);
	rig_boot(&side->rig);
	side->may_be_new = true;
	check(side);
}

static void begin(uint32_t seed) {
	memset(&life, 0, sizeof life);
	life.seed = seed;
	life.random.state = (uint64_t)seed << 20;
	for (uint32_t i = 0; i < PINS; i++) {
		be_born(&sides[i], &sides[PINS - 1 - i]);
	}
	life.hostile_air = once_in(2);
	life.hostile_phone = !once_in(3);
	life.bad_flash = once_in(2);
	life.walking = once_in(2);
	life.presses = !once_in(3);
	life.loss_percent = below(LOSS_PERCENT);
}

static void walk(struct fake *board) {
	int16_t swing = board->millis % STEP_MS < STEP_MS / 2 ? STEP_MG : -STEP_MG;
	board->mg[0][0] = 0;
	board->mg[0][1] = 0;
	board->mg[0][2] = (int16_t)(GRAVITY_MG + swing);
	board->sample_ms[0] = board->millis;
	board->samples = 1;
	board->sample_next = 0;
}

/* press presses the button; if that wipes the pin, the flash likes to fail in it. */
static void press(struct side *side) {
	const struct phone *phone = &side->rig.pin.phone;
	struct fake *board = &side->rig.board;
	board->presses = 1;
	if (phone->prompt == PHONE_WIPE && phone->settled) {
		side->may_be_new = true;
	}
	if (life.bad_flash && once_in(2)) {
		board->fail_change = 1 + below(WIPE_CHANGES);
	}
}

static void harm_flash(struct fake *board) {
	if (once_in(FLASH_FAULT)) {
		board->fail_change = 1 + below(FAULT_CHANGES);
	}
	if (once_in(FLASH_FAULT)) {
		board->fail_read = 1 + below(FAULT_READS);
	}
}

/* reboot turns the pin off and on; the flash likes to fail in that too. */
static void reboot(struct side *side) {
	check(side);
	if (life.bad_flash && once_in(2)) {
		side->rig.board.fail_read = 1 + below(BOOT_READS);
	}
	rig_boot(&side->rig);
	check(side);
}

/* meet_people is what others do to a pin in a round. */
static void meet_people(struct side *side) {
	struct rig *rig = &side->rig;
	bool phone_waits = rig->board.to_pin_size < INBOX_FULL;
	rig->board.near = once_in(FLICKER) ? !life.near : life.near;
	if (life.hostile_air && once_in(ATTACK)) {
		attack(&rig->board);
	}
	if (life.hostile_phone && phone_waits && once_in(REQUEST)) {
		request(side);
	}
	if (life.hostile_phone && phone_waits && once_in(PROMPT)) {
		prompt(rig);
	}
	if (once_in(NEW_ROOM)) {
		rig->board.phone_room = once_in(3) ? below(SMALL_ROOM) : SIZE_MAX;
	}
	if (life.presses && once_in(PRESS)) {
		press(side);
	}
}

static void live_round(struct side *side) {
	struct rig *rig = &side->rig;
	meet_people(side);
	if (life.walking && life.round % SAMPLE == 0) {
		walk(&rig->board);
	}
	if (life.bad_flash) {
		harm_flash(&rig->board);
	}
	if (once_in(REBOOT)) {
		reboot(side);
	}
	if (once_in(JUMP)) {
		rig->board.millis += below(JUMP_MS);
	}
	rig_poll(rig);
	if (once_in(LISTEN)) {
		hear(rig);
	}
	if (life.round % CHECK == 0) {
		check(side);
	}
}

/* ---- and afterwards */

static void rounds(uint32_t ms) {
	for (uint32_t t = 0; t < ms; t += 10) {
		for (uint32_t i = 0; i < PINS; i++) {
			rig_poll(&sides[i].rig);
			hear(&sides[i].rig);
		}
	}
}

static void make_peace(void) {
	life.loss_percent = 0;
	for (uint32_t i = 0; i < PINS; i++) {
		struct fake *board = &sides[i].rig.board;
		board->near = false;
		board->presses = 0;
		board->fail_read = 0;
		board->fail_change = 0;
		board->inbox_count = 0;
		board->phone_room = SIZE_MAX;
	}
}

/* tap_once taps, which works where both stores have room. */
static void tap_once(void) {
	bool room = true;
	uint32_t friends[PINS];
	for (uint32_t i = 0; i < PINS; i++) {
		struct rig *rig = &sides[i].rig;
		if (!rig->pin.ready || rig->pin.store.broken) {
			wrong("the flash works and the pin does not, pin", i);
		}
		room = room && store_room(&rig->pin.store) >= 2;
		friends[i] = tap_friends(&rig->pin.tap);
		rig->board.near = true;
	}
	rounds(TOUCH_MS);
	for (uint32_t i = 0; i < PINS; i++) {
		check(&sides[i]);
		if (room && tap_friends(&sides[i].rig.pin.tap) != friends[i] + 1) {
			wrong("no tap afterwards, of pin", i);
		}
	}
}

static void test_lives(void **state) {
	(void)state;
	uint32_t runs = number_from("PINFOLD_RUNS", LIVES), seed = number_from("PINFOLD_SEED", 1);
	printf("hostile lives: seeds %u to %u\n", (unsigned)seed, (unsigned)(seed + runs - 1));
	for (uint32_t run = 0; run < runs; run++) {
		begin(seed + run);
		for (life.round = 0; life.round < ROUNDS; life.round++) {
			life.near = once_in(MOVE) ? !life.near : life.near;
			for (uint32_t i = 0; i < PINS; i++) {
				live_round(&sides[i]);
			}
		}
		make_peace();
		rounds(APART_MS);
		tap_once();
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
