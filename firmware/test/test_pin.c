#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

#define NOON 1763985600000 /* 2025-11-24 12:00 UTC, the begin of a slot */
#define SLOT ((uint32_t)(NOON / CLOCK_SLOT_MS))

static struct rig a, b, c;
static uint64_t random_state;

static uint32_t draw(uint32_t below) {
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

/* drop loses so many of a hundred datagrams. */
static bool drop(void *ctx, const uint8_t *datagram) {
	(void)datagram;
	return draw(100) < *(uint32_t *)ctx;
}

/* drop_halves loses each HALF, while *ctx is set. */
static bool drop_halves(void *ctx, const uint8_t *datagram) {
	return *(bool *)ctx && datagram[0] == TAP_HALF;
}

static void join(struct rig *x, struct rig *y) {
	x->board.peers[0] = &y->board;
	y->board.peers[0] = &x->board;
}

static void near(bool is) {
	a.board.near = is;
	b.board.near = is;
}

static int setup(void **state) {
	(void)state;
	random_state = 7;
	rig_new(&a, 1);
	rig_new(&b, 2);
	rig_new(&c, 3);
	join(&a, &b);
	return 0;
}

static void rounds(uint32_t ms) {
	rig_rounds(&a, &b, ms);
}

#define TAPS 64

/* taps_of gathers the ids of the taps of which the pin's store has a half by the author about the other, signed. */
static size_t taps_of(struct rig *rig, const struct rig *author, const struct rig *other, uint8_t taps[TAPS][STATEMENT_TAP_SIZE]) {
	size_t n = 0;
	struct store_record r;
	fake_use(&rig->board);
	for (uint32_t after = 0; n < TAPS && store_fetch(&rig->pin.store, after, &r); after = r.record) {
		struct half half;
		if (statement_parse_half(&half, r.statement, r.size) == STATEMENT_OK && memcmp(half.pin, author->pin.id, 8) == 0 &&
			memcmp(half.peer, other->pin.id, 8) == 0 && pin_verify(r.signature, r.statement, r.size, author->pin.public_key)) {
			statement_tap_id(taps[n++], &half);
		}
	}
	return n;
}

/* holds reports whether the pin's store has both halves of one tap of the two. */
static bool holds(struct rig *rig, const struct rig *one, const struct rig *other) {
	uint8_t ones[TAPS][STATEMENT_TAP_SIZE], others[TAPS][STATEMENT_TAP_SIZE];
	size_t n = taps_of(rig, one, other, ones), m = taps_of(rig, other, one, others);
	for (size_t i = 0; i < n * m; i++) {
		if (memcmp(ones[i / m], others[i % m], STATEMENT_TAP_SIZE) == 0) {
			return true;
		}
	}
	return false;
}

static void test_tap(void **state) {
	(void)state;
	rounds(500);
	assert_int_equal(store_records(&a.pin.store), 0);
	near(true);
	rounds(1000);
	assert_true(holds(&a, &a, &b));
	assert_true(holds(&b, &a, &b));
	assert_int_equal(tap_state(&a.pin.tap), TAP_FRIENDS);
	assert_int_equal(a.pin.screen.drawn.tap, TAP_FRIENDS);
	/* the phone is told, unasked */
	rig_hear(&a);
	const pinfold_pin_v1_Info *info = rig_info(&a);
	assert_int_equal(info->records, 2);
	assert_int_equal(info->counter, 1);
	near(false);
	rounds(10000);
	assert_int_equal(a.pin.screen.drawn.tap, TAP_IDLE);
	assert_int_equal(store_records(&a.pin.store), 2);
}

/* put stores a half of b about a. */
static void put(uint8_t nonce) {
	struct half half = {.nonce = {nonce}, .peer_nonce = {1}, .counter = nonce, .link = HALF_LINK_WIRE};
	memcpy(half.pin, b.pin.id, sizeof half.pin);
	memcpy(half.peer, a.pin.id, sizeof half.peer);
	uint8_t statement[STATEMENT_HALF_SIZE], signature[PIN_SIGNATURE_SIZE];
	assert_int_equal(statement_build_half(statement, &half), STATEMENT_OK);
	pin_sign(signature, statement, sizeof statement, b.pin.secret_key);
	fake_use(&a.board);
	assert_int_equal(store_put_peer_half(&a.pin.store, statement, signature), STORE_OK);
}

/* announced hears what the pin says, and returns how often it spoke by itself. */
static int announced(struct rig *rig) {
	int n = 0;
	rig_hear(rig);
	for (size_t i = 0; i < rig->count; i++) {
		n += rig->answers[i].request == 0 && rig->answers[i].which_message == pinfold_pin_v1_FromPin_info_tag;
	}
	return n;
}

/* Each new record is announced once, also one that comes while an older one is acknowledged: then there are as many as
   before. */
static void test_announcement(void **state) {
	(void)state;
	rig_poll(&a);
	assert_int_equal(announced(&a), 1); /* it has started */
	put(1);
	rig_poll(&a);
	rig_poll(&a);
	assert_int_equal(announced(&a), 1);
	for (uint8_t later = 0; later < 3; later++) {
		struct store_record oldest;
		assert_true(store_fetch(&a.pin.store, 0, &oldest));
		rig_send(&a, &(to_pin){.request = 9, .which_message = pinfold_pin_v1_ToPin_acknowledge_tag,
							   .message.acknowledge = {.records_count = 1, .records = {oldest.record}}});
		for (uint8_t i = 0; i < later; i++) {
			rig_poll(&a);
		}
		put((uint8_t)(later + 2));
		rig_poll(&a);
		rig_poll(&a);
		assert_int_equal(announced(&a), 1);
		assert_int_equal(store_records(&a.pin.store), 1);
	}
	rounds(500);
	assert_int_equal(announced(&a), 0);
}

static void test_taps_with_loss(void **state) {
	(void)state;
	static uint32_t percent = 20;
	a.board.drop = b.board.drop = drop;
	a.board.drop_ctx = b.board.drop_ctx = &percent;
	for (uint32_t tap = 1; tap <= 25; tap++) {
		near(true);
		rounds(4000);
		near(false);
		rounds(16000);
		if (store_records(&a.pin.store) != 2 * tap || store_records(&b.pin.store) != 2 * tap) {
			fail_msg("tap %u: %u and %u records", tap, store_records(&a.pin.store), store_records(&b.pin.store));
		}
	}
	assert_true(holds(&a, &a, &b));
}

/* "friends!" is shown only while the half of the other is held. */
static void test_waiting(void **state) {
	(void)state;
	static bool lost = true;
	b.board.drop = drop_halves;
	b.board.drop_ctx = &lost;
	near(true);
	rounds(1000);
	assert_int_equal(a.pin.screen.drawn.tap, TAP_WAITING);
	assert_int_equal(store_records(&a.pin.store), 1);
	assert_int_equal(b.pin.screen.drawn.tap, TAP_FRIENDS);
	lost = false;
	rounds(2000);
	assert_int_equal(a.pin.screen.drawn.tap, TAP_FRIENDS);
	assert_true(holds(&a, &a, &b));
}

static void test_cancel(void **state) {
	(void)state;
	a.board.peers[0] = NULL;
	a.board.near = true;
	for (int i = 0; i < 50; i++) {
		rig_poll(&a);
	}
	assert_int_equal(a.pin.screen.drawn.tap, TAP_SEARCHING);
	a.board.presses = 1;
	rig_poll(&a);
	for (int i = 0; i < 20; i++) {
		rig_poll(&a);
	}
	assert_int_equal(a.pin.screen.drawn.tap, TAP_IDLE);
}

/* A pin that claims another's id is ignored, and what is no datagram of ours too. */
static void test_hostile_peer(void **state) {
	(void)state;
	b.board.peers[0] = NULL;
	a.board.near = true;
	rig_poll(&a);
	for (int i = 0; i < 2000; i++) {
		struct fake_datagram *d = &a.board.inbox[(a.board.inbox_first + a.board.inbox_count++) % FAKE_QUEUE];
		d->size = i % 3 == 0 ? TAP_HELLO_SIZE : i % 3 == 1 ? TAP_HALF_SIZE : 1 + draw(HAL_PEER_MAX);
		for (size_t k = 0; k < d->size; k++) {
			d->bytes[k] = (uint8_t)draw(256);
		}
		d->bytes[0] = (uint8_t)(i % 3 == 0 ? TAP_HELLO : i % 3 == 1 ? TAP_HALF : draw(4));
		if (i % 2 == 0 && d->size > 9) {
			memcpy(d->bytes + 1, b.pin.id, STATEMENT_PIN_SIZE);
		}
		rig_poll(&a);
	}
	assert_int_equal(store_records(&a.pin.store), 0);
	a.board.near = false;
	b.board.inbox_count = 0;
	join(&a, &b);
	rounds(16000);
	near(true);
	rounds(2000);
	assert_true(holds(&a, &a, &b));
	assert_true(holds(&b, &a, &b));
}

/* walk feeds seconds of walking at 2 steps a second, 25 samples a second. */
static void walk(struct rig *rig, uint32_t seconds) {
	for (uint32_t i = 0; i < seconds * 25; i++) {
		uint32_t at = rig->board.millis + 40;
		int16_t z = (int16_t)(1000 + 300 * sin(2 * 3.14159265358979 * 2 * at / 1000.0));
		rig->board.millis = at - 10;
		rig->board.mg[0][0] = rig->board.mg[0][1] = 0;
		rig->board.mg[0][2] = z;
		rig->board.sample_ms[0] = at;
		rig->board.samples = 1;
		rig->board.sample_next = 0;
		rig_poll(rig);
		rig->board.from_pin_size = 0;
	}
}

/* reports adds up what the pin's step reports say of a slot: the largest of them, as the gateway's fold does. */
static uint32_t reported(struct rig *rig, uint32_t slot) {
	uint32_t most = 0;
	struct store_record r;
	fake_use(&rig->board);
	for (uint32_t after = 0; store_fetch(&rig->pin.store, after, &r); after = r.record) {
		struct step_report report;
		assert_int_equal(statement_parse_steps(&report, r.statement, r.size), STATEMENT_OK);
		assert_true(pin_verify(r.signature, r.statement, r.size, rig->pin.public_key));
		if (report.first_slot == slot && report.steps[0] > most) {
			most = report.steps[0];
		}
	}
	return most;
}

static void test_steps(void **state) {
	(void)state;
	walk(&a, 60); /* before the clock is set nobody knows when */
	assert_int_equal(rig_info(&a)->steps, 0);
	rig_set_time(&a, NOON + 60000, 36);
	walk(&a, 60);
	uint32_t steps = rig_info(&a)->steps;
	assert_in_range(steps, 110, 125);
	assert_int_equal(store_records(&a.pin.store), 0); /* the slot is open */
	assert_int_equal(a.pin.screen.drawn.clock_set, 1);
	a.board.millis += 14 * 60000;
	rig_poll(&a);
	assert_int_equal(store_records(&a.pin.store), 1);
	assert_int_equal(reported(&a, SLOT), steps);
	/* the next day, by local time: from 15:00 UTC it is tomorrow in Tokyo */
	rig_set_time(&a, NOON + 3 * 3600000 - 60000, 36);
	assert_int_equal(rig_info(&a)->steps, steps);
	rig_set_time(&a, NOON + 3 * 3600000 + 60000, 36);
	assert_int_equal(rig_info(&a)->steps, 0);
}

/* A reboot loses at most what was not saved, and adds nothing. */
static void test_steps_over_a_reboot(void **state) {
	(void)state;
	rig_set_time(&a, NOON, 0);
	walk(&a, 300);
	uint32_t before = rig_info(&a)->steps;
	int64_t now = rig_info(&a)->time_ms;
	rig_boot(&a);
	walk(&a, 20); /* while the clock is not set */
	rig_set_time(&a, now + 20000, 0);
	uint32_t after = rig_info(&a)->steps;
	assert_in_range(after, before - 250, before);
	walk(&a, 30);
	uint32_t then = rig_info(&a)->steps;
	assert_in_range(then - after, 40, 65);
	a.board.millis += 15 * 60000;
	rig_poll(&a);
	assert_int_equal(reported(&a, SLOT), then);
}

/* Walking writes the flash a bounded number of times. */
static void test_walking_does_not_wear_the_flash(void **state) {
	(void)state;
	rig_set_time(&a, NOON, 0);
	a.board.writes = 0;
	walk(&a, 1900);
	assert_int_equal(store_records(&a.pin.store), 2);
	assert_in_range(a.board.writes, 1, 20 * 64);
}

/* The flash fails for a while: it is said, and the pin goes on. */
static void test_flash_fails_for_a_while(void **state) {
	(void)state;
	a.board.flash_fails = true;
	near(true);
	rounds(3000);
	assert_int_not_equal(tap_state(&a.pin.tap), TAP_FRIENDS);
	assert_true(a.pin.screen.drawn.broken);
	near(false);
	a.board.flash_fails = false;
	rounds(20000);
	assert_false(a.pin.screen.drawn.broken);
	near(true);
	rounds(3000);
	assert_true(holds(&a, &a, &b));
	assert_true(holds(&b, &a, &b));
}

/* What is on the display is what the face draws, however it came to be, and nothing is sent when nothing changes. */
static void test_display(void **state) {
	(void)state;
	rounds(500);
	uint32_t bands = a.board.bands;
	assert_int_equal(bands, SCREEN_BANDS);
	rounds(2000);
	assert_int_equal(a.board.bands, bands);
	memset(a.board.frame, 0x55, sizeof a.board.frame);
	a.board.lost = true;
	rounds(500);
	assert_int_equal(a.board.bands, 2 * SCREEN_BANDS);
	near(true);
	rounds(2000);
	near(false);
	rounds(20000);
	static uint16_t whole[DRAW_SIZE * DRAW_SIZE];
	for (uint16_t top = 0; top < DRAW_SIZE; top = (uint16_t)(top + SCREEN_ROWS)) {
		face_draw(&a.pin.screen.drawn, &(struct band){.pixels = whole + top * DRAW_SIZE, .top = (int16_t)top, .rows = SCREEN_ROWS});
	}
	assert_memory_equal(a.board.frame, whole, sizeof whole);
}

/* Two pins at once: a meets b and c in one approach. */
static void test_three(void **state) {
	(void)state;
	struct rig *rigs[] = {&a, &b, &c};
	for (int i = 0; i < 3; i++) {
		rigs[i]->board.peers[0] = &rigs[(i + 1) % 3]->board;
		rigs[i]->board.peers[1] = &rigs[(i + 2) % 3]->board;
		rigs[i]->board.near = true;
	}
	for (int t = 0; t < 400; t++) {
		for (int i = 0; i < 3; i++) {
			rig_poll(rigs[i]);
			rigs[i]->board.from_pin_size = 0;
		}
	}
	for (int i = 0; i < 3; i++) {
		assert_true(holds(rigs[i], rigs[i], rigs[(i + 1) % 3]));
		assert_true(holds(rigs[i], rigs[i], rigs[(i + 2) % 3]));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_tap, setup),
		cmocka_unit_test_setup(test_announcement, setup),
		cmocka_unit_test_setup(test_taps_with_loss, setup),
		cmocka_unit_test_setup(test_waiting, setup),
		cmocka_unit_test_setup(test_cancel, setup),
		cmocka_unit_test_setup(test_hostile_peer, setup),
		cmocka_unit_test_setup(test_steps, setup),
		cmocka_unit_test_setup(test_steps_over_a_reboot, setup),
		cmocka_unit_test_setup(test_walking_does_not_wear_the_flash, setup),
		cmocka_unit_test_setup(test_flash_fails_for_a_while, setup),
		cmocka_unit_test_setup(test_display, setup),
		cmocka_unit_test_setup(test_three, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
