/* Units of the step counter: walks whose number of steps is known, and what must not count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steps.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* A movement that repeats itself, felt by a pin that hangs at a tilt and rests before and after. */
struct walk {
    double cadence;   /* repetitions a second */
    double length_s;  /* rest follows */
    double mg;        /* of the rhythm, along gravity */
    double stride_mg; /* of half the rhythm: left and right differ */
    double twice_mg;  /* of twice the rhythm: heel and toe */
    double tilt[3];   /* direction of gravity, need not be of length 1 */
    double rate;      /* samples a second */
    int range_mg;     /* where the sensor saturates; 0 = never */
    uint32_t start_ms;
};

static struct walk usual(void) {
    return (struct walk){.cadence = 1.8, .length_s = 60, .mg = 250, .tilt = {0.2, -0.3, 1}, .rate = 25, .start_ms = 1000};
}

enum { REST_S = 8 };

static double felt_mg(const struct walk *walk, double at_s) {
    if (at_s < 0 || at_s >= walk->length_s) {
        return 1000;
    }
    double turn = 2 * pi * walk->cadence * at_s;
    return 1000 + walk->mg * sin(turn) + walk->stride_mg * sin(turn / 2) + walk->twice_mg * sin(2 * turn + 1);
}

static int16_t one_axis(const struct walk *walk, double mg, int axis) {
    const double *tilt = walk->tilt;
    double size = sqrt(tilt[0] * tilt[0] + tilt[1] * tilt[1] + tilt[2] * tilt[2]);
    double value = mg * tilt[axis] / size;
    double most = walk->range_mg == 0 ? INT16_MAX : walk->range_mg;
    return (int16_t)lrint(fmax(-most, fmin(most, value)));
}

static uint32_t feed(struct steps *steps, const struct walk *walk, uint32_t time_ms, double mg) {
    return steps_sample(steps, time_ms, one_axis(walk, mg, 0), one_axis(walk, mg, 1), one_axis(walk, mg, 2));
}

/* Rest, the walk, rest. */
static uint32_t play(struct steps *steps, const struct walk *walk) {
    uint32_t count = 0;
    for (int i = 0; i < (walk->length_s + 2 * REST_S) * walk->rate; i++) {
        double at_s = i / walk->rate;
        count += feed(steps, walk, walk->start_ms + (uint32_t)(at_s * 1000), felt_mg(walk, at_s - REST_S));
    }
    return count;
}

static uint32_t count_of(const struct walk *walk) {
    struct steps steps;
    steps_init(&steps);
    return play(&steps, walk);
}

static void assert_about(uint32_t count, double truth, double tolerance) {
    if (fabs(count - truth) > tolerance) {
        fail_msg("counted %u, not %.1f within %.1f", (unsigned)count, truth, tolerance);
    }
}

/* Two steps, for the two ends, and one in a hundred. */
static void assert_walk(const struct walk *walk) {
    double truth = walk->cadence * walk->length_s;
    assert_about(count_of(walk), truth, 2 + truth / 100);
}

static void counts_every_cadence_strength_and_tilt(void **state) {
    (void)state;
    static const double tilts[][3] = {{0, 0, 1}, {0, 0, -1}, {1, 0, 0}, {1, -1, 1}, {-0.2, 0.9, 0.1}};
    for (double cadence = 1.4; cadence < 2.85; cadence += 0.1) {
        for (double mg = cadence < 2.45 ? 80 : 160; mg <= 640; mg *= 2) { /* the faster, the stronger */
            for (size_t i = 0; i < sizeof tilts / sizeof tilts[0]; i++) {
                struct walk walk = usual();
                walk.cadence = cadence;
                walk.mg = mg;
                memcpy(walk.tilt, tilts[i], sizeof walk.tilt);
                assert_walk(&walk);
            }
        }
    }
}

static void counts_steps_and_not_strides_or_double_peaks(void **state) {
    (void)state;
    static const double cadences[] = {1.5, 1.8, 2.1};
    for (size_t i = 0; i < sizeof cadences / sizeof cadences[0]; i++) {
        struct walk walk = usual();
        walk.cadence = cadences[i];
        walk.stride_mg = 0.6 * walk.mg;
        assert_walk(&walk);
        walk.stride_mg = 0;
        walk.twice_mg = 0.8 * walk.mg;
        assert_walk(&walk);
        walk.stride_mg = 0.5 * walk.mg;
        assert_walk(&walk);
    }
}

static void counts_the_same_at_other_rates(void **state) {
    (void)state;
    static const double rates[] = {25, 26, 31.25, 33.3, 40, 50, 52, 100, 400};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct walk walk = usual();
        for (walk.cadence = 1.4; walk.cadence < 2.85; walk.cadence += 0.35) {
            walk.rate = rates[i];
            assert_walk(&walk);
        }
    }
    struct walk slow_sensor = usual();
    slow_sensor.rate = 12.5;
    for (slow_sensor.cadence = 1.4; slow_sensor.cadence < 2.25; slow_sensor.cadence += 0.2) {
        assert_walk(&slow_sensor);
    }
    slow_sensor.rate = 2.4;
    assert_int_equal(count_of(&slow_sensor), 0);
}

static void needs_a_run_and_credits_it_from_its_first_step(void **state) {
    (void)state;
    struct walk walk = usual();
    walk.length_s = 3;
    assert_int_equal(count_of(&walk), 0);
    walk.length_s = 7;
    assert_about(count_of(&walk), 12.6, 2);
    walk.length_s = 12;
    assert_about(count_of(&walk), 21.6, 2);

    /* Nothing is known in the first four seconds, and then all at once. */
    struct steps steps;
    steps_init(&steps);
    walk.length_s = 30;
    uint32_t first = 0;
    double first_s = 0;
    for (int i = 0; first == 0 && i < 30 * 25; i++) {
        first_s = i / 25.0;
        first = feed(&steps, &walk, (uint32_t)i * 40, felt_mg(&walk, first_s));
    }
    assert_about(first, 1.8 * 4.5, 2);
    assert_true(first_s >= 4.4 && first_s <= 6);
}

static void a_walk_counts_from_the_first_sample(void **state) {
    (void)state;
    struct walk walk = usual();
    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    for (int i = 0; i < 25 * 10; i++) {
        count += feed(&steps, &walk, (uint32_t)i * 40, felt_mg(&walk, i / 25.0));
    }
    assert_about(count, 18, 2);
}

/* Steps at this stride_mg are no walk to begin with, but a walk goes on with them. */
static void a_walk_may_become_uneven(void **state) {
    (void)state;
    struct walk walk = usual();
    walk.cadence = 1.9;
    walk.stride_mg = 0.9 * walk.mg;
    assert_int_equal(count_of(&walk), 0);

    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    for (int i = 0; i < 25 * 60; i++) {
        double at_s = i / 25.0;
        walk.stride_mg = walk.mg * fmin(0.9, at_s / 30);
        count += feed(&steps, &walk, (uint32_t)i * 40, felt_mg(&walk, at_s));
    }
    assert_about(count, 114, 3);
}

/* Weak movement after a strong walk is not its continuation. */
static void a_walk_does_not_fade_out(void **state) {
    (void)state;
    struct walk walk = usual();
    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    for (int i = 0; i < 25 * 60; i++) {
        walk.mg = i < 25 * 30 ? 640 : 40;
        count += feed(&steps, &walk, (uint32_t)i * 40, felt_mg(&walk, i / 25.0));
    }
    assert_about(count, 54, 2);
}

/* Four seconds are too short for a run, and two of them with a hole between are two. */
static void a_run_does_not_reach_over_a_gap(void **state) {
    (void)state;
    struct walk walk = usual();
    struct steps steps;
    steps_init(&steps);
    for (int i = 0; i < 25 * 60; i++) {
        if (i % 111 >= 11) { /* a hole of 480 ms every 4.44 s */
            assert_int_equal(feed(&steps, &walk, (uint32_t)i * 40, felt_mg(&walk, i / 25.0)), 0);
        }
    }
}

static void many_short_walks_add_up(void **state) {
    (void)state;
    struct walk walk = usual();
    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    walk.length_s = 10;
    for (int i = 0; i < 20; i++) {
        count += play(&steps, &walk);
        walk.start_ms += (uint32_t)((walk.length_s + 2 * REST_S) * 1000);
    }
    assert_about(count, 20 * 18, 20);
}

static void other_rhythms_count_nothing(void **state) {
    (void)state;
    static const double others[] = {0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 3.4, 3.8, 4.2, 4.5, 5.0, 5.5, 6.0, 6.5, 7.5};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        for (double rate = 25; rate <= 50; rate += 25) {
            struct walk walk = usual();
            walk.cadence = others[i];
            walk.rate = rate;
            assert_int_equal(count_of(&walk), 0);
        }
    }
}

static void a_rhythm_too_weak_counts_nothing(void **state) {
    (void)state;
    struct walk walk = usual();
    walk.mg = 30;
    assert_int_equal(count_of(&walk), 0);
}

/* Each beat takes 0.25 to 0.85 s: as strong and on average as fast as walking. By chance some stretches of it look regular, so
   this is not nothing, but it stays small: under a sixth of the beats of twenty times ten minutes. */
static void what_keeps_no_time_counts_little(void **state) {
    (void)state;
    struct walk walk = usual();
    uint32_t beats = 0, count = 0;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct steps steps;
        uint32_t random = seed * 12345;
        double turn = 0, speed = 2;
        steps_init(&steps);
        for (int i = 0; i < 25 * 600; i++) {
            turn += speed / 25;
            if (turn >= 1) {
                turn -= 1;
                beats++;
                random = random * 1664525 + 1013904223;
                speed = 1 / (0.25 + 0.6 * (random >> 16) / 65536);
            }
            count += feed(&steps, &walk, (uint32_t)i * 40, 1000 + 250 * sin(2 * pi * turn));
        }
    }
    assert_true(count * 6 < beats);
}

static void rest_counts_nothing_whatever_the_scale(void **state) {
    (void)state;
    static const int16_t values[] = {0, 1, 970, 1030, 2000, 16000, INT16_MAX, INT16_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct steps steps;
        steps_init(&steps);
        for (uint32_t j = 0; j < 25 * 60; j++) {
            assert_int_equal(steps_sample(&steps, j * 40, values[i], values[i], values[i]), 0);
        }
    }
}

static void time_may_jitter_and_run_back(void **state) {
    (void)state;
    for (double rate = 25; rate <= 50; rate += 25) {
        struct walk walk = usual();
        struct steps steps;
        uint32_t random = 7, count = 0;
        steps_init(&steps);
        for (int i = 0; i < walk.length_s * rate; i++) {
            random = random * 1664525 + 1013904223;
            double at_s = i / rate + ((random >> 16) % 31) / 1000.0; /* at 50 Hz, some are older than the last */
            count += feed(&steps, &walk, 5000 + (uint32_t)(at_s * 1000), felt_mg(&walk, at_s));
            if (i % 50 == 49) { /* one that came late, and says something else */
                count += feed(&steps, &walk, 5000 + (uint32_t)(at_s * 1000) - 700, 3000);
            }
        }
        assert_about(count, walk.cadence * walk.length_s, 4);
    }
}

static void the_clock_may_wrap_anywhere(void **state) {
    (void)state;
    struct walk walk = usual();
    uint32_t expected = count_of(&walk);
    for (uint32_t before = 0; before < 70000; before += 7777) {
        walk.start_ms = 0U - before;
        assert_int_equal(count_of(&walk), expected);
    }
}

/* The time of one sample of a walk is changed by `jump` from there on. */
static uint32_t count_with_jump(const struct walk *walk, uint32_t jump_ms, int lost) {
    struct steps steps;
    uint32_t count = 0;
    int jump_at = (int)(walk->length_s * walk->rate / 2);
    steps_init(&steps);
    for (int i = 0; i < walk->length_s * walk->rate; i++) {
        if (i < jump_at || i >= jump_at + lost) {
            uint32_t time_ms = 1000000 + (uint32_t)(i / walk->rate * 1000) + (i < jump_at ? 0 : jump_ms);
            count += feed(&steps, walk, time_ms, felt_mg(walk, i / walk->rate));
        }
    }
    return count;
}

static void gaps_lose_little_and_add_nothing(void **state) {
    (void)state;
    struct walk walk = usual();
    double truth = walk.cadence * walk.length_s;
    assert_about(count_with_jump(&walk, 0, 5), truth, 3);                          /* 240 ms without samples */
    assert_about(count_with_jump(&walk, 0, 250), truth - 18, 4);                   /* ten seconds */
    assert_about(count_with_jump(&walk, 3600 * 1000, 0), truth, 4);                /* the clock is set forward, */
    assert_about(count_with_jump(&walk, 0U - 500, 0), truth, 4);                   /* a little back, */
    assert_about(count_with_jump(&walk, 0U - 900 * 1000, 0), truth, 4);            /* far back, */
    assert_about(count_with_jump(&walk, UINT32_C(0x80000000), 0), truth, 4);       /* by half of all there is */
    assert_about(count_with_jump(&walk, UINT32_C(0x80000000) + 1000, 0), truth, 4);
}

static void one_time_for_all_is_no_time(void **state) {
    (void)state;
    struct steps steps;
    struct walk walk = usual();
    steps_init(&steps);
    for (int i = 0; i < 25 * 60; i++) {
        assert_int_equal(feed(&steps, &walk, 4711, felt_mg(&walk, i / 25.0)), 0);
    }
}

static void a_saturated_sensor_still_counts(void **state) {
    (void)state;
    static const int ranges[] = {2000, 4000, 8000, 16000};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct walk walk = usual();
        walk.cadence = 2.7;
        walk.mg = fmin(1.5 * ranges[i], 2500);
        walk.range_mg = ranges[i];
        walk.tilt[0] = walk.tilt[1] = 0;
        assert_walk(&walk);
    }
}

/* The state is all there is: a copy goes on as the original, and another counter in between changes nothing. */
static void equal_samples_give_equal_counts(void **state) {
    (void)state;
    struct walk walk = usual();
    struct steps one, other, stranger;
    memset(&one, 0xAA, sizeof one);
    memset(&other, 0x55, sizeof other);
    steps_init(&one);
    steps_init(&other);
    steps_init(&stranger);
    for (int i = 0; i < 25 * 60; i++) {
        double mg = felt_mg(&walk, i / 25.0);
        if (i == 700) {
            struct steps copy = one;
            one = other;
            other = copy;
        }
        uint32_t count = feed(&one, &walk, (uint32_t)i * 40, mg);
        feed(&stranger, &walk, (uint32_t)i * 53, 2000 - mg);
        assert_int_equal(feed(&other, &walk, (uint32_t)i * 40, mg), count);
    }
}

/* Any input at all: sanitizers watch, the bound of the header holds, and a walk counts afterwards. */
static void garbage_does_no_harm(void **state) {
    (void)state;
    struct steps steps;
    uint64_t random = 99;
    uint32_t time_ms = 0;
    steps_init(&steps);
    for (int i = 0; i < 300000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        uint32_t bits = (uint32_t)(random >> 32);
        time_ms += bits % 64 == 0 ? bits : bits % 512;
        uint32_t count = steps_sample(&steps, time_ms, (int16_t)(bits >> 16), (int16_t)(bits >> 8), (int16_t)bits);
        assert_true(count <= 19);
    }
    struct walk walk = usual();
    walk.start_ms = time_ms + 1;
    assert_about(play(&steps, &walk), walk.cadence * walk.length_s, 4);
}

static void the_state_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct steps) < 512);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_every_cadence_strength_and_tilt),
        cmocka_unit_test(counts_steps_and_not_strides_or_double_peaks),
        cmocka_unit_test(counts_the_same_at_other_rates),
        cmocka_unit_test(needs_a_run_and_credits_it_from_its_first_step),
        cmocka_unit_test(a_walk_counts_from_the_first_sample),
        cmocka_unit_test(a_walk_may_become_uneven),
        cmocka_unit_test(a_walk_does_not_fade_out),
        cmocka_unit_test(a_run_does_not_reach_over_a_gap),
        cmocka_unit_test(many_short_walks_add_up),
        cmocka_unit_test(other_rhythms_count_nothing),
        cmocka_unit_test(a_rhythm_too_weak_counts_nothing),
        cmocka_unit_test(what_keeps_no_time_counts_little),
        cmocka_unit_test(rest_counts_nothing_whatever_the_scale),
        cmocka_unit_test(time_may_jitter_and_run_back),
        cmocka_unit_test(the_clock_may_wrap_anywhere),
        cmocka_unit_test(gaps_lose_little_and_add_nothing),
        cmocka_unit_test(one_time_for_all_is_no_time),
        cmocka_unit_test(a_saturated_sensor_still_counts),
        cmocka_unit_test(equal_samples_give_equal_counts),
        cmocka_unit_test(garbage_does_no_harm),
        cmocka_unit_test(the_state_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
