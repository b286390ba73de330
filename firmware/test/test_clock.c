/* The clock and the tally of steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "random.h"

#define START 1626998400000 /* 2021-07-23 00:00 UTC, where a slot begins */

static void test_never_set(void **state)
{
	(void)state;
	struct clock clock;
	clock_init(&clock, 12345);
	assert_true(clock_now(&clock, 99999) == 0);
	assert_int_equal(clock_slot(0), 0);
	assert_false(clock_set(&clock, 100000, 0));
	assert_false(clock_set(&clock, 100000, -1));
	assert_false(clock_set(&clock, 100000, INT64_MIN));
	assert_false(clock_set(&clock, 100000, INT64_MAX));
	assert_false(clock_set(&clock, 100000, CLOCK_MAX_MS + 1));
	assert_true(clock_now(&clock, 200000) == 0);
	assert_true(clock_set(&clock, 200000, CLOCK_MAX_MS));
	assert_true(clock_now(&clock, 200001) == CLOCK_MAX_MS + 1);
}

static void test_runs_over_the_wrap(void **state)
{
	(void)state;
	struct clock clock;
	uint32_t millis = UINT32_MAX - 500;
	clock_init(&clock, millis);
	assert_true(clock_set(&clock, millis, START));
	for (int64_t passed = 0; passed <= 3 * (INT64_C(1) << 32); passed += 100000000) {
		assert_true(clock_now(&clock, millis + (uint32_t)passed) == START + passed);
	}
}

static void test_behind_is_put_forward(void **state)
{
	(void)state;
	struct clock clock;
	clock_init(&clock, 0);
	clock_set(&clock, 0, START);
	assert_true(clock_set(&clock, 1000, START + 1001));
	assert_true(clock_now(&clock, 1000) == START + 1001);
	assert_true(clock_set(&clock, 2000, START + 86400000));
	assert_true(clock_now(&clock, 2001) == START + 86400001);
}

/* However often it is asked, a clock that is ahead never goes back and is right after twice the difference. */
static void test_ahead_is_slowed(void **state)
{
	(void)state;
	for (uint32_t pace = 1; pace <= 7; pace += 2) {
		struct clock clock;
		clock_init(&clock, 0);
		clock_set(&clock, 0, START + 5000);
		assert_true(clock_set(&clock, 0, START));
		int64_t last = START + 5000;
		uint32_t millis = 0;
		for (; millis < 9990; millis += pace) {
			int64_t now = clock_now(&clock, millis);
			assert_true(now >= last && now >= START + millis);
			assert_in_range(now - (START + 5000 + millis / 2), 0, 1);
			last = now;
		}
		millis += 20;
		assert_true(clock_now(&clock, millis) == START + millis);
		assert_true(clock_now(&clock, millis + 1000) == START + millis + 1000);
	}
}

static void test_far_ahead_is_turned_back(void **state)
{
	(void)state;
	struct clock clock;
	clock_init(&clock, 0);
	clock_set(&clock, 0, START + CLOCK_SLEW_MS + 1);
	assert_true(clock_set(&clock, 0, START));
	assert_true(clock_now(&clock, 1000) == START + 1000);
	clock_set(&clock, 1000, START + 1000 + CLOCK_SLEW_MS);
	assert_true(clock_set(&clock, 1000, START + 1000));
	assert_true(clock_now(&clock, 1000) == START + 1000 + CLOCK_SLEW_MS);
}

static void test_slots(void **state)
{
	(void)state;
	assert_int_equal(clock_slot(START), 1807776); /* as in the vectors */
	assert_int_equal(clock_slot(START - 1), 1807775);
	assert_int_equal(clock_slot(START + CLOCK_SLOT_MS - 1), 1807776);
	assert_int_equal(clock_slot(START + CLOCK_SLOT_MS), 1807777);
}

static void test_tally(void **state)
{
	(void)state;
	struct tally tally, closed;
	tally_init(&tally);
	assert_false(tally_add(&tally, 0, 5, &closed)); /* the clock was never set */
	assert_false(tally_add(&tally, 100, 7, &closed));
	assert_false(tally_add(&tally, 0, 3, &closed));
	assert_false(tally_add(&tally, 100, 8, &closed));
	assert_true(tally_add(&tally, 101, 0, &closed));
	assert_int_equal(closed.slot, 100);
	assert_int_equal(closed.steps, 15);
	assert_false(tally_add(&tally, 102, 0, &closed)); /* nothing to report of 101 */
	tally_add(&tally, 102, 65000, &closed);
	tally_add(&tally, 102, 1000, &closed);
	tally_add(&tally, 102, UINT32_MAX, &closed);
	assert_true(tally_add(&tally, 103, 1, &closed));
	assert_int_equal(closed.steps, UINT16_MAX);
	tally_restore(&tally, 90, 44);
	assert_true(tally_add(&tally, 103, 2, &closed));
	assert_int_equal(closed.slot, 90);
	assert_int_equal(closed.steps, 44);
}

#define DAY 96u

/* Phones that lie about the time, reboots, and a saved slot that comes back: the day's steps as the log will count them, the
 * largest value of each slot, are never more than were made. */
static void test_never_adds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct random random = {seed};
		struct clock clock;
		struct tally tally, closed, kept = {0};
		uint32_t largest[3 * DAY] = {0}, first = clock_slot(START) - DAY, millis = random_u32(&random);
		uint64_t made = 0, counted = 0;
		clock_init(&clock, millis);
		tally_init(&tally);
		for (int i = 0; i < 4000; i++) {
			uint32_t steps = random_below(&random, 20);
			millis += random_below(&random, 40000);
			made += steps;
			if (random_below(&random, 50) == 0) {
				clock_set(&clock, millis, START + (int64_t)random_below(&random, 86400000));
			} else if (random_below(&random, 200) == 0) {
				clock_init(&clock, millis);
				tally_restore(&tally, kept.slot, kept.steps);
			} else if (random_below(&random, 10) == 0) {
				kept = tally;
			}
			if (tally_add(&tally, clock_slot(clock_now(&clock, millis)), steps, &closed)) {
				kept = tally;
				assert_in_range(closed.slot, first, first + 3 * DAY - 1);
				uint32_t *slot = &largest[closed.slot - first];
				*slot = closed.steps > *slot ? closed.steps : *slot;
			}
		}
		for (uint32_t i = 0; i < 3 * DAY; i++) {
			counted += largest[i];
		}
		assert_in_range(counted, 1, made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_set),
		cmocka_unit_test(test_runs_over_the_wrap),
		cmocka_unit_test(test_behind_is_put_forward),
		cmocka_unit_test(test_ahead_is_slowed),
		cmocka_unit_test(test_far_ahead_is_turned_back),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_never_adds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
