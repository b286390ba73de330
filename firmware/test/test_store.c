/* The store without power cuts, but with hostile arguments, worn flash, and long random lives against the model; powercut.c
 * has the cuts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model.h"

static struct sim_flash flash;
static struct store store;
static struct model model;
static struct random source;

static enum store_result mount(void)
{
	return store_mount(&store, sim_bind(&flash));
}

static struct operation make(enum action action, uint32_t argument)
{
	return (struct operation){action, argument, random_u64(&source)};
}

/* Does it in the store and in the model; the answers must be the same. */
static enum store_result perform(enum action action, uint32_t argument)
{
	struct operation operation = make(action, argument);
	enum store_result want = model_do(&model, operation);
	assert_int_equal(store_do(&store, operation), want);
	return want;
}

static void check(void)
{
	const char *wrong = differs(&store, &model, UINT32_MAX, &source);
	if (wrong != NULL) {
		fail_msg("%s", wrong);
	}
}

static void new_pin(uint64_t seed)
{
	source.state = seed;
	sim_flash_init(&flash);
	memset(&model, 0, sizeof model);
	assert_int_equal(mount(), STORE_NO_IDENTITY);
	perform(ACT_PROVISION, 0);
}

static void test_unprovisioned(void **state)
{
	(void)state;
	source.state = 1;
	uint8_t bytes[STATEMENT_MAX_SIZE] = {0}, signature[64] = {0};
	for (int garbage = 0; garbage < 3; garbage++) {
		sim_flash_init(&flash);
		if (garbage == 1) {
			memset(flash.bytes, 0, sizeof flash.bytes);
		} else if (garbage == 2) {
			random_fill(&source, flash.bytes, sizeof flash.bytes);
		}
		memset(&model, 0, sizeof model);
		assert_int_equal(mount(), STORE_NO_IDENTITY);
		assert_int_equal(store_next_counter(&store), 0);
		assert_int_equal(store_room(&store), 0);
		assert_int_equal(store_put_own_half(&store, bytes, signature), STORE_NO_IDENTITY);
		assert_int_equal(store_put_state(&store, 0, bytes, 1), STORE_NO_IDENTITY);
		assert_false(store_acknowledge(&store, 1));
		assert_int_equal(store_get_state(&store, 0, bytes, sizeof bytes), 0);
		struct store_record record;
		assert_false(store_fetch(&store, 0, &record));
		perform(ACT_PROVISION, 0);
		perform(ACT_OWN_HALF, 0);
		assert_int_equal(mount(), STORE_OK);
		check();
	}
}

static void test_refused(void **state)
{
	(void)state;
	new_pin(2);
	struct store_record half, report;
	make_record(&half, make(ACT_OWN_HALF, 0), 2);
	assert_int_equal(store_put_own_half(&store, half.statement, half.signature), STORE_REFUSED); /* 1 is next */
	make_record(&half, make(ACT_OWN_HALF, 0), 0);
	assert_int_equal(store_put_own_half(&store, half.statement, half.signature), STORE_REFUSED);
	make_record(&half, make(ACT_OWN_HALF, 0), 1);
	make_record(&report, make(ACT_STEPS, 0), 2);
	assert_int_equal(store_put_step_report(&store, report.statement, report.size, report.signature), STORE_REFUSED);
	make_record(&report, make(ACT_STEPS, 0), 1);
	assert_int_equal(store_put_step_report(&store, report.statement, report.size - 1u, report.signature), STORE_REFUSED);
	assert_int_equal(store_put_own_half(&store, report.statement, report.signature), STORE_REFUSED);
	assert_int_equal(store_put_peer_half(&store, report.statement, report.signature), STORE_REFUSED);
	assert_int_equal(store_put_state(&store, STORE_STATES, &report, 1), STORE_REFUSED);
	assert_int_equal(store_put_state(&store, 0, &report, 0), STORE_REFUSED);
	assert_int_equal(store_put_state(&store, 0, &report, STORE_STATE_SIZE + 1), STORE_REFUSED);
	check();
	assert_int_equal(store_put_own_half(&store, half.statement, half.signature), STORE_OK);
	assert_int_equal(store_put_own_half(&store, half.statement, half.signature), STORE_REFUSED); /* never twice */
	assert_int_equal(store_next_counter(&store), 2);
	assert_true(store_acknowledge(&store, 0));
	assert_true(store_acknowledge(&store, UINT32_MAX));
	assert_int_equal(store_records(&store), 1);
}

/* The state of other parts is no statement: a phone cannot let it go. */
static void test_state_is_not_acknowledged(void **state)
{
	(void)state;
	new_pin(3);
	perform(ACT_STATE, 1); /* record 1 */
	assert_true(store_acknowledge(&store, 1));
	check();
	uint8_t small[1];
	if (model.state_sizes[1] > 1) {
		assert_int_equal(store_get_state(&store, 1, small, 1), 0);
	}
	assert_int_equal(store_get_state(&store, STORE_STATES, small, 1), 0);
}

static void test_counter_outlives_its_records(void **state)
{
	(void)state;
	new_pin(4);
	uint32_t counter = 0;
	for (uint32_t i = 0; i < 2000; i++) {
		/* One own half a year, and other things that turn the ring. */
		perform(i % 1000 == 0 ? ACT_OWN_HALF : ACT_PEER_HALF, 0);
		perform(ACT_ACKNOWLEDGE, model.records[0].record);
		counter = store_next_counter(&store);
		if (i % 50 == 0) {
			assert_int_equal(mount(), STORE_OK);
			assert_int_equal(store_next_counter(&store), counter);
		}
	}
	assert_int_equal(counter, 3);
	check();
}

static void test_last_counter(void **state)
{
	(void)state;
	new_pin(5);
	store.counter = model.counter = UINT32_MAX - 1;
	perform(ACT_OWN_HALF, 0);
	assert_int_equal(store_next_counter(&store), 0);
	assert_int_equal(mount(), STORE_OK);
	assert_int_equal(store_next_counter(&store), 0);
	struct store_record half;
	make_record(&half, make(ACT_OWN_HALF, 0), 0);
	assert_int_equal(store_put_own_half(&store, half.statement, half.signature), STORE_REFUSED);
}

static void test_full_of_steps_then_of_halves(void **state)
{
	(void)state;
	new_pin(6);
	for (uint32_t i = 0; i < STORE_CAPACITY + 50; i++) {
		assert_int_equal(perform(ACT_STEPS, 0), STORE_OK);
	}
	assert_int_equal(store_dropped(&store), 50);
	assert_int_equal(store_room(&store), STORE_CAPACITY);
	check();
	for (uint32_t i = 0; i < STORE_CAPACITY; i++) {
		assert_int_equal(perform(i % 2 == 0 ? ACT_OWN_HALF : ACT_PEER_HALF, 0), STORE_OK);
	}
	assert_int_equal(store_dropped(&store), 50 + STORE_CAPACITY);
	assert_int_equal(store_room(&store), 0);
	assert_int_equal(perform(ACT_OWN_HALF, 0), STORE_FULL);
	assert_int_equal(perform(ACT_PEER_HALF, 0), STORE_FULL);
	assert_int_equal(perform(ACT_STEPS, 0), STORE_FULL);
	assert_int_equal(store_dropped(&store), 51 + STORE_CAPACITY);
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(perform(ACT_STATE, i % STORE_STATES), STORE_OK); /* state is never refused */
	}
	check();
	assert_int_equal(mount(), STORE_OK);
	check();
	perform(ACT_ACKNOWLEDGE, model.records[0].record);
	assert_int_equal(perform(ACT_OWN_HALF, 0), STORE_OK);
	assert_int_equal(perform(ACT_OWN_HALF, 0), STORE_FULL);
}

/* Record numbers go on over a wipe, so that a late acknowledgement does not hit a record of the new pin. */
static void test_wipe(void **state)
{
	(void)state;
	new_pin(7);
	for (uint32_t i = 0; i < 30; i++) {
		perform(ACT_OWN_HALF, 0);
	}
	uint8_t old[PIN_SEED_SIZE];
	memcpy(old, model.seed, sizeof old);
	perform(ACT_PROVISION, 0);
	check();
	assert_int_equal(store_next_counter(&store), 1);
	perform(ACT_OWN_HALF, 0);
	assert_int_equal(model.records[0].record, 31);
	for (uint32_t i = 1; i <= 30; i++) {
		store_acknowledge(&store, i);
	}
	assert_int_equal(mount(), STORE_OK);
	check();
	for (uint32_t i = 0; i + sizeof old <= sizeof flash.bytes; i++) {
		assert_memory_not_equal(flash.bytes + i, old, sizeof old); /* no trace of the old key */
	}
}

/* A flash that fails for once: an error, and all is well after the next mount. */
static void test_flash_errors(void **state)
{
	(void)state;
	new_pin(8);
	perform(ACT_OWN_HALF, 0);
	flash.dead = true;
	struct operation operation = make(ACT_OWN_HALF, 0);
	assert_int_equal(store_do(&store, operation), STORE_FLASH);
	sim_revive(&flash);
	assert_int_equal(store_do(&store, operation), STORE_FLASH); /* until it is mounted */
	assert_int_equal(store_next_counter(&store), 0);
	assert_int_equal(store_room(&store), 0);
	flash.dead = true;
	assert_int_equal(mount(), STORE_FLASH);
	sim_revive(&flash);
	assert_int_equal(mount(), STORE_OK);
	check();
}

/* A cell that does not take its bit is noticed before the record is reported as stored, and passed over after that. */
static uint32_t stuck_at;

static bool write_stuck(void *ctx, uint32_t offset, const void *from, size_t size)
{
	bool ok = sim_write(ctx, offset, from, size);
	if (stuck_at >= offset && stuck_at < offset + size) {
		flash.bytes[stuck_at] = 0xFF;
	}
	return ok;
}

static void test_worn_cell(void **state)
{
	(void)state;
	new_pin(9);
	perform(ACT_OWN_HALF, 0);
	struct flash worn = sim_bind(&flash);
	worn.write = write_stuck;
	stuck_at = store.current * STORE_PAGE_SIZE + 48 + store.next_slot * 176u + 40;
	assert_int_equal(store_mount(&store, worn), STORE_OK);
	struct operation operation = make(ACT_OWN_HALF, 0);
	assert_int_equal(store_do(&store, operation), STORE_FLASH);
	assert_int_equal(store_mount(&store, worn), STORE_OK);
	check();
	assert_int_equal(store_do(&store, operation), model_do(&model, operation));
	assert_int_equal(store_mount(&store, worn), STORE_OK);
	check();
}

/* Whatever the pages hold, a mount ends, and the store works or says what it lacks. */
static void test_damaged_flash(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 300; seed++) {
		new_pin(seed);
		for (uint32_t i = 0; i < 300; i++) {
			perform((enum action)(1 + random_below(&source, 3)), 0);
		}
		for (uint32_t n = 1u << random_below(&source, 14); n > 0; n--) {
			flash.bytes[random_below(&source, sizeof flash.bytes)] ^= (uint8_t)(1u << random_below(&source, 8));
		}
		enum store_result result = mount();
		assert_true(result == STORE_OK || result == STORE_NO_IDENTITY);
		struct store_record record;
		uint32_t after = 0;
		while (store_fetch(&store, after, &record)) {
			assert_true(record.record > after);
			after = record.record;
		}
		for (uint32_t i = 0; i < 50; i++) {
			result = store_do(&store, make(ACT_PEER_HALF, 0));
			assert_true(result == STORE_OK || result == STORE_NO_IDENTITY || result == STORE_FULL);
		}
	}
}

static void test_wear_is_spread(void **state)
{
	(void)state;
	new_pin(10);
	for (uint32_t i = 0; i < 400; i++) {
		perform(ACT_PEER_HALF, 0); /* which no phone ever takes */
	}
	for (uint32_t i = 0; i < 30000; i++) {
		perform(ACT_STATE, i % STORE_STATES);
	}
	uint32_t least = UINT32_MAX, most = 0, sum = 0;
	for (uint32_t page = 2; page < STORE_PAGES; page++) {
		least = flash.erases[page] < least ? flash.erases[page] : least;
		most = flash.erases[page] > most ? flash.erases[page] : most;
		sum += flash.erases[page];
	}
	printf("30000 records beside 400 that stay: a page was erased %u to %u times, %u in the mean\n", (unsigned)least,
	       (unsigned)most, (unsigned)(sum / 30));
	assert_in_range(most, sum / 30, 2 * sum / 30);
	assert_in_range(least, sum / 60, sum / 30);
	assert_int_equal(flash.max_writes, 2);
	check();
}

/* Long lives against the model, with a mount now and then. */
static void test_random_lives(void **state)
{
	(void)state;
	uint32_t runs = number_from("PINFOLD_RUNS", 30), seed = number_from("PINFOLD_SEED", 1);
	printf("random lives: seeds %u to %u\n", (unsigned)seed, (unsigned)(seed + runs - 1));
	for (uint32_t run = 0; run < runs; run++) {
		new_pin((uint64_t)(seed + run) << 20);
		uint32_t phone = random_below(&source, 6), taps = 1 + random_below(&source, 9);
		for (uint32_t i = 0; i < 4000; i++) {
			uint32_t what = random_below(&source, 10);
			if (model.n > 0 && random_below(&source, 10) < phone) {
				perform(ACT_ACKNOWLEDGE, model.records[random_below(&source, model.n)].record);
			} else if (what < taps) {
				perform(what % 2 == 0 ? ACT_OWN_HALF : ACT_PEER_HALF, 0);
			} else if (what == 9) {
				perform(ACT_STATE, random_below(&source, STORE_STATES));
			} else {
				perform(ACT_STEPS, 0);
			}
			if (random_below(&source, 1000) == 0) {
				perform(ACT_PROVISION, 0);
			}
			if (random_below(&source, 40) == 0) {
				assert_int_equal(mount(), STORE_OK);
				model.dropped = store_dropped(&store) < model.dropped_surely ? model.dropped : store_dropped(&store);
			}
			const char *wrong = differs(&store, &model, i % 500 == 0 ? UINT32_MAX : 1, &source);
			if (wrong != NULL) {
				fail_msg("seed %u, operation %u: %s", (unsigned)(seed + run), (unsigned)i, wrong);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unprovisioned),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_state_is_not_acknowledged),
		cmocka_unit_test(test_counter_outlives_its_records),
		cmocka_unit_test(test_last_counter),
		cmocka_unit_test(test_full_of_steps_then_of_halves),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_flash_errors),
		cmocka_unit_test(test_worn_cell),
		cmocka_unit_test(test_damaged_flash),
		cmocka_unit_test(test_wear_is_spread),
		cmocka_unit_test(test_random_lives),
	};
	printf("a store takes %zu bytes of RAM\n", sizeof store);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
