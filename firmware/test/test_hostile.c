/* The whole pin against a flash that fails once, a phone that is not its wearer's, strangers on the air, and its own limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

#define TO(name) pinfold_pin_v1_ToPin_##name##_tag
#define FROM(name) pinfold_pin_v1_FromPin_##name##_tag
#define NOON 1763985600000 /* 2025-11-24 12:00 UTC, the begin of a slot */

static struct rig a, b;

static void join(struct rig *x, struct rig *y) {
	x->board.peers[0] = &y->board;
	y->board.peers[0] = &x->board;
}

static int setup(void **state) {
	(void)state;
	rig_new(&a, 1);
	rig_new(&b, 2);
	join(&a, &b);
	rig_poll(&a);
	rig_hear(&a);
	return 0;
}

static void rounds(uint32_t ms) {
	rig_rounds(&a, &b, ms);
}

static void touch(uint32_t ms) {
	a.board.near = b.board.near = true;
	rounds(ms);
	a.board.near = b.board.near = false;
	rounds(2000);
}

static const to_pin wipe = {.request = 10, .which_message = TO(wipe)};
static const to_pin prove = {.request = 9, .which_message = TO(prove), .message.prove.challenge = {1}};

static void assert_fault(const from_pin *m, pinfold_pin_v1_Fault fault) {
	assert_non_null(m);
	assert_int_equal(m->which_message, FROM(error));
	assert_int_equal(m->message.error.fault, fault);
}

static void put_report(struct rig *rig, uint32_t slot) {
	struct step_report r = {.counter = store_next_counter(&rig->pin.store), .first_slot = slot, .n = 1, .steps = {7}};
	uint8_t bytes[STATEMENT_MAX_SIZE], signature[PIN_SIGNATURE_SIZE] = {0};
	size_t size;
	fake_use(&rig->board);
	memcpy(r.pin, rig->pin.id, sizeof r.pin);
	assert_int_equal(statement_build_steps(bytes, &size, &r), STATEMENT_OK);
	assert_int_equal(store_put_step_report(&rig->pin.store, bytes, size, signature), STORE_OK);
}

/* ---- a flash that fails once */

/* own_half finds the pin's own half of this counter and key. */
static bool own_half(struct rig *rig, const uint8_t pin[STATEMENT_PIN_SIZE], uint32_t counter, uint8_t to[STATEMENT_HALF_SIZE]) {
	struct store_record r;
	fake_use(&rig->board);
	for (uint32_t after = 0; store_fetch(&rig->pin.store, after, &r); after = r.record) {
		struct half half;
		if (statement_parse_half(&half, r.statement, r.size) == STATEMENT_OK && memcmp(half.pin, pin, 8) == 0 && half.counter == counter) {
			memcpy(to, r.statement, STATEMENT_HALF_SIZE);
			return true;
		}
	}
	return false;
}

/* One write or erase fails while the pin is wiped: afterwards it is the old pin with all it had or a new one, and no counter of either comes
   twice. */
static void test_a_wipe_that_fails(void **state) {
	bool reached = true;
	for (uint32_t at = 1; reached; at++) {
		setup(state);
		rounds(200);
		touch(1000);
		uint8_t old[STATEMENT_PIN_SIZE], first[STATEMENT_HALF_SIZE], again[STATEMENT_HALF_SIZE];
		memcpy(old, a.pin.id, sizeof old);
		assert_true(own_half(&a, old, 1, first));
		rig_send(&a, &wipe);
		rounds(3000);
		a.board.fail_change = at;
		a.board.presses = 1;
		rig_poll(&a);
		reached = a.board.fail_change == 0;
		a.board.fail_change = 0;
		rounds(3000);
		touch(2000);
		if (own_half(&a, old, 1, again)) {
			assert_memory_equal(again, first, sizeof first); /* or the key signed two statements with one counter */
		}
		bool is_old = memcmp(old, a.pin.id, sizeof old) == 0;
		assert_int_equal(store_next_counter(&a.pin.store), is_old ? 3 : 2);
		assert_int_equal(store_records(&a.pin.store), is_old ? 4 : 2);
		uint8_t id[STATEMENT_PIN_SIZE];
		memcpy(id, a.pin.id, sizeof id);
		rig_boot(&a);
		assert_memory_equal(a.pin.id, id, sizeof id);
	}
}

/* One read fails while the pin starts: it is tried again, and nothing is given up for it. */
static void test_a_start_that_fails(void **state) {
	(void)state;
	static struct rig before;
	rounds(200);
	touch(1000);
	before = a;
	bool reached = true;
	for (uint32_t at = 1; reached; at++) {
		a = before;
		a.board.fail_read = at;
		rig_boot(&a);
		reached = a.board.fail_read == 0;
		a.board.fail_read = 0;
		for (int i = 0; i < 150; i++) {
			rig_poll(&a);
		}
		assert_memory_equal(a.pin.id, before.pin.id, sizeof a.pin.id);
		assert_int_equal(store_records(&a.pin.store), 2);
		assert_int_equal(store_next_counter(&a.pin.store), 2);
	}
}

/* One write or erase fails in a tap: it ends well all the same, or the next one does. */
static void test_a_tap_that_fails(void **state) {
	uint32_t at_once = 0;
	for (uint32_t at = 1; at < 12; at++) {
		setup(state);
		rounds(200);
		a.board.fail_change = at;
		touch(3000);
		a.board.fail_change = 0;
		bool done = tap_friends(&a.pin.tap) == 1 && tap_friends(&b.pin.tap) == 1;
		rounds(15000);
		touch(2000);
		assert_int_equal(tap_friends(&a.pin.tap), done ? 2 : 1);
		at_once += done;
	}
	assert_in_range(at_once, 1, 10);
}

/* walk feeds seconds of walking at 2 steps a second, 25 samples a second; with a phone that sets the clock all the time, if wanted. */
static void walk(struct rig *rig, uint32_t seconds, bool mad_phone) {
	for (uint32_t i = 0; i < seconds * 25; i++) {
		uint32_t at = rig->board.millis + 40;
		rig->board.millis = at - 10;
		rig->board.mg[0][0] = rig->board.mg[0][1] = 0;
		rig->board.mg[0][2] = (int16_t)(1000 + 300 * sin(2 * 3.14159265358979 * 2 * at / 1000.0));
		rig->board.sample_ms[0] = at;
		rig->board.samples = 1;
		rig->board.sample_next = 0;
		if (mad_phone) {
			rig_send(rig, &(to_pin){.request = 1, .which_message = TO(set_time), .message.set_time.time_ms = NOON + (int64_t)(i % 7) * CLOCK_SLOT_MS});
		}
		rig_poll(rig);
		rig->board.from_pin_size = 0;
	}
}

/* A write fails when a slot is closed: its report is made when the flash works again. */
static void test_a_report_that_fails(void **state) {
	(void)state;
	rig_set_time(&a, NOON, 0);
	walk(&a, 120, false);
	uint32_t steps = rig_info(&a)->steps;
	a.board.fail_change = 1;
	a.board.millis += 14 * 60000;
	rounds(5000);
	struct store_record r;
	struct step_report report;
	fake_use(&a.board);
	assert_true(store_fetch(&a.pin.store, 0, &r));
	assert_int_equal(statement_parse_steps(&report, r.statement, r.size), STATEMENT_OK);
	assert_int_equal(report.steps[0], steps);
	assert_int_equal(store_records(&a.pin.store), 1);
}

/* While the flash does not work the pin says so, and not that it holds nothing. */
static void test_broken_is_said(void **state) {
	(void)state;
	put_report(&a, 1000);
	a.board.flash_fails = true;
	rig_set_time(&a, NOON, 0);
	touch(300);
	assert_true(a.pin.store.broken);
	rig_hear(&a);
	const to_pin hello = {.request = 5, .which_message = TO(hello)}, fetch = {.request = 6, .which_message = TO(fetch), .message.fetch.max = 32};
	assert_fault(rig_ask(&a, &hello), pinfold_pin_v1_Fault_FAULT_FLASH);
	assert_fault(rig_ask(&a, &fetch), pinfold_pin_v1_Fault_FAULT_FLASH);
	/* nor is anything pressed for that the display does not show */
	rig_send(&a, &prove);
	for (int i = 0; i < 300; i++) {
		rig_poll(&a);
	}
	a.board.presses = 1;
	for (int i = 0; i < 10; i++) {
		rig_poll(&a);
	}
	rig_hear(&a);
	for (size_t i = 0; i < a.count; i++) {
		assert_int_not_equal(a.answers[i].which_message, FROM(proof));
	}
	a.board.flash_fails = false;
	rounds(2000);
	rig_hear(&a);
	assert_int_equal(rig_info(&a)->records, 1);
}

static void test_an_acknowledgement_that_fails(void **state) {
	(void)state;
	put_report(&a, 1000);
	rig_poll(&a);
	rig_hear(&a);
	struct store_record r;
	assert_true(store_fetch(&a.pin.store, 0, &r));
	to_pin m = {.request = 6, .which_message = TO(acknowledge), .message.acknowledge = {.records_count = 1, .records = {r.record}}};
	a.board.fail_change = 1;
	assert_fault(rig_ask(&a, &m), pinfold_pin_v1_Fault_FAULT_FLASH);
	rounds(2000);
	assert_int_equal(rig_info(&a)->records, 1);
	assert_int_equal(rig_ask(&a, &m)->message.info.records, 0);
}

/* ---- a phone that is not its wearer's */

/* The finger is on its way to "your phone?" when the phone asks for a wipe. */
static void test_a_press_is_for_what_was_shown(void **state) {
	uint8_t id[STATEMENT_PIN_SIZE];
	for (uint32_t late_ms = 0; late_ms <= 300; late_ms += 30) {
		setup(state);
		memcpy(id, a.pin.id, sizeof id);
		rig_send(&a, &prove);
		rounds(3000);
		assert_int_equal(a.pin.screen.drawn.prompt, PHONE_PROVE);
		rig_send(&a, &wipe);
		rounds(late_ms + 10);
		a.board.presses = 1;
		rounds(3000);
		assert_memory_equal(a.pin.id, id, sizeof id);
		a.board.presses = 1; /* the wearer has read it */
		rounds(100);
		assert_memory_not_equal(a.pin.id, id, sizeof id);
	}
}

/* The same, when the press was to cancel a tap. */
static void test_a_cancel_is_no_consent(void **state) {
	(void)state;
	uint8_t id[STATEMENT_PIN_SIZE];
	a.board.peers[0] = b.board.peers[0] = NULL;
	a.board.near = true;
	rounds(1000);
	memcpy(id, a.pin.id, sizeof id);
	rig_send(&a, &wipe);
	rounds(20);
	a.board.presses = 1;
	rounds(500);
	assert_memory_equal(a.pin.id, id, sizeof id);
	assert_int_equal(tap_state(&a.pin.tap), TAP_IDLE);
}

/* A phone that asks for a press and takes no byte more: the prompt ends, and what was pressed long ago is not done then. */
static void test_a_deaf_phone(void **state) {
	(void)state;
	uint8_t id[STATEMENT_PIN_SIZE];
	memcpy(id, a.pin.id, sizeof id);
	a.board.phone_room = 3;
	rig_send(&a, &wipe);
	rounds(3000);
	assert_int_equal(a.pin.screen.drawn.prompt, PHONE_WIPE);
	a.board.presses = 1;
	rounds(2 * PHONE_PROMPT_MS);
	assert_int_equal(a.pin.screen.drawn.prompt, PHONE_NOTHING);
	a.board.phone_room = SIZE_MAX;
	for (int i = 0; i < 20; i++) {
		rig_poll(&a);
	}
	rig_hear(&a);
	assert_int_equal(a.answers[a.count - 1].request, wipe.request);
	assert_fault(&a.answers[a.count - 1], pinfold_pin_v1_Fault_FAULT_NOT_PRESSED);
	assert_memory_equal(a.pin.id, id, sizeof id);
}

/* A phone that sets the clock all the time, on somebody who walks: it neither wears out the flash nor pushes out what waits. */
static void test_a_mad_clock(void **state) {
	(void)state;
	rig_set_time(&a, NOON, 0);
	for (uint32_t i = 0; i < 600; i++) {
		put_report(&a, 1000 + i);
	}
	memset(a.board.erases, 0, sizeof a.board.erases);
	walk(&a, 600, true);
	for (uint32_t page = 0; page < HAL_FLASH_PAGES; page++) {
		assert_in_range(a.board.erases[page], 0, 4);
	}
	assert_int_equal(store_dropped(&a.pin.store), 0);
	struct store_record r;
	fake_use(&a.board);
	assert_true(store_fetch(&a.pin.store, 0, &r));
	assert_int_equal(r.record, 1);
}

/* A full store, and acknowledgements of what is not there: each is a search of the flash. */
static void test_a_round_of_acknowledgements(void **state) {
	(void)state;
	for (uint32_t i = 0; i < STORE_CAPACITY; i++) {
		put_report(&a, 1000 + i);
	}
	assert_true(store_acknowledge(&a.pin.store, 1));
	rig_poll(&a);
	a.board.from_pin_size = 0;
	to_pin m = {.request = 1, .which_message = TO(acknowledge), .message.acknowledge.records_count = 32};
	for (int i = 0; i < 32; i++) {
		m.message.acknowledge.records[i] = 1;
	}
	for (int i = 0; i < 60; i++) {
		rig_send(&a, &m);
	}
	a.board.reads = 0;
	rig_poll(&a);
	assert_in_range(a.board.reads, 1, 50000);
	for (int i = 0; i < 70; i++) {
		rig_poll(&a);
	}
	rig_hear(&a);
	assert_int_equal(a.count, 60);
}

/* What was lost and seen is not said again after a reboot. */
static void test_losses_are_said_once(void **state) {
	(void)state;
	for (uint32_t i = 0; i < STORE_CAPACITY + 5; i++) {
		put_report(&a, 1000 + i);
	}
	rounds(1000);
	assert_int_equal(a.pin.screen.drawn.dropped, 5);
	struct store_record r;
	fake_use(&a.board);
	while (store_fetch(&a.pin.store, 0, &r)) {
		store_acknowledge(&a.pin.store, r.record);
	}
	a.board.millis += PIN_SAVE_MS;
	rounds(1000);
	assert_int_equal(a.pin.screen.drawn.dropped, 0);
	put_report(&a, 5000);
	rig_boot(&a);
	rounds(1000);
	assert_int_equal(a.pin.screen.drawn.dropped, 0);
}

/* ---- strangers */

static void stranger(struct rig *rig, uint32_t i) {
	const uint8_t seed[PIN_SEED_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 9};
	uint8_t key[PIN_PUBLIC_KEY_SIZE], secret[PIN_SECRET_KEY_SIZE];
	struct fake_datagram *d = &rig->board.inbox[(rig->board.inbox_first + rig->board.inbox_count++) % FAKE_QUEUE];
	pin_keypair(key, secret, seed);
	memset(d->bytes, 0, sizeof d->bytes);
	d->size = TAP_HELLO_SIZE;
	d->bytes[0] = TAP_HELLO;
	statement_pin_id(d->bytes + 1, key);
	memcpy(d->bytes + 9, seed, STATEMENT_NONCE_SIZE);
	memcpy(d->bytes + 25, key, sizeof key);
}

/* Half an hour of strangers who come again each minute does not fill the store; then a friend comes. */
static void test_half_an_hour_of_strangers(void **state) {
	(void)state;
	a.board.peers[0] = b.board.peers[0] = NULL;
	for (uint32_t ms = 0; ms < 1800000; ms += 100) {
		a.board.near = ms % 60000 >= 2000;
		if (ms % 300 == 0) {
			stranger(&a, ms);
		}
		a.board.millis += 90;
		rig_poll(&a);
		a.board.from_pin_size = 0;
	}
	assert_in_range(store_room(&a.pin.store), 300, STORE_CAPACITY);
	join(&a, &b);
	a.board.near = b.board.near = false;
	rounds(15000);
	touch(2000);
	assert_int_equal(tap_friends(&a.pin.tap), 1);
	assert_int_equal(tap_friends(&b.pin.tap), 1);
}

/* ---- limits */

/* What one round takes at most, of each link and sensor. */
static void test_one_round(void **state) {
	(void)state;
	a.board.peers[0] = NULL;
	for (uint32_t i = 0; i < FAKE_QUEUE; i++) {
		stranger(&a, i);
	}
	a.board.near = true;
	rig_poll(&a);
	assert_int_equal(a.board.inbox_count, FAKE_QUEUE - 16);
	assert_int_equal(store_records(&a.pin.store), TAP_PEERS);
	uint8_t junk[4000];
	memset(junk, 'x', sizeof junk);
	rig_send_bytes(&a, junk, sizeof junk);
	rig_poll(&a);
	assert_int_equal(a.board.to_pin_read, 2048);
	rig_poll(&a);
	const uint8_t flag = 0x7E;
	rig_send_bytes(&a, &flag, 1);
	a.board.from_pin_size = 0;
	for (int i = 0; i < 100; i++) {
		rig_send_payload(&a, (const uint8_t[]){8, 1, 0x12, 0}, 4); /* Hello */
	}
	rig_poll(&a);
	rig_hear(&a);
	assert_in_range(a.count, 38, 40);
	a.board.samples = 200;
	a.board.sample_next = 0;
	rig_poll(&a);
	assert_int_equal(a.board.sample_next, 64);
}

/* After the last counter no half is made any more, and the pin lives. */
static void test_the_last_counter(void **state) {
	(void)state;
	a.pin.store.counter = UINT32_MAX - 1;
	touch(1000);
	assert_int_equal(tap_friends(&a.pin.tap), 1);
	rounds(6000);
	rig_hear(&a);
	assert_int_equal(rig_info(&a)->counter, UINT32_MAX);
	a.board.near = b.board.near = true;
	rounds(TAP_TIMEOUT_MS + 500);
	assert_int_equal(tap_friends(&a.pin.tap), 1);
	assert_int_equal(tap_state(&a.pin.tap), TAP_FAILED);
	assert_int_equal(store_records(&a.pin.store), 2);
	rig_boot(&a);
	assert_int_equal(store_next_counter(&a.pin.store), 0);
}

/* Taps and the clock over the wrap of hal_millis. */
static void test_the_wrap(void **state) {
	(void)state;
	for (uint32_t before = 0; before < 30000; before += 3000) {
		memset(&a, 0, sizeof a);
		memset(&b, 0, sizeof b);
		fake_init(&a.board, 1);
		fake_init(&b.board, 2);
		a.board.millis = b.board.millis = UINT32_MAX - 20000 - before;
		rig_boot(&a);
		rig_boot(&b);
		join(&a, &b);
		rig_set_time(&a, NOON, 0);
		for (uint32_t taps = 1; taps <= 5; taps++) {
			touch(3000);
			rounds(5000);
			assert_int_equal(store_records(&a.pin.store), 2 * taps);
		}
		assert_in_range(rig_info(&a)->time_ms - NOON, 50000, 50100);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_wipe_that_fails, setup),
		cmocka_unit_test_setup(test_a_start_that_fails, setup),
		cmocka_unit_test_setup(test_a_tap_that_fails, setup),
		cmocka_unit_test_setup(test_a_report_that_fails, setup),
		cmocka_unit_test_setup(test_broken_is_said, setup),
		cmocka_unit_test_setup(test_an_acknowledgement_that_fails, setup),
		cmocka_unit_test_setup(test_a_press_is_for_what_was_shown, setup),
		cmocka_unit_test_setup(test_a_cancel_is_no_consent, setup),
		cmocka_unit_test_setup(test_a_deaf_phone, setup),
		cmocka_unit_test_setup(test_a_mad_clock, setup),
		cmocka_unit_test_setup(test_a_round_of_acknowledgements, setup),
		cmocka_unit_test_setup(test_losses_are_said_once, setup),
		cmocka_unit_test_setup(test_half_an_hour_of_strangers, setup),
		cmocka_unit_test_setup(test_one_round, setup),
		cmocka_unit_test_setup(test_the_last_counter, setup),
		cmocka_unit_test_setup(test_the_wrap, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
