#include "steps.h"

#include <stdbool.h>
#include <string.h>

enum {
    BLOCKS = STEPS_WINDOW / STEPS_BLOCK,
    GRAVITY_MG = 1000,
    LAGS = STEPS_STRIDE_MAX + 2, /* one beyond the longest stride, to see that it is a peak */
    SMOOTH = 5,
    SMOOTH_SUM = 9,
};

_Static_assert(STEPS_WINDOW % STEPS_BLOCK == 0, "blocks fill the window");
_Static_assert(STEPS_RUN % STEPS_BLOCK == 0 && STEPS_RUN <= STEPS_WINDOW, "a run is whole blocks of the window");
_Static_assert(2 * LAGS <= STEPS_RUN, "at the longest lag, at least half of a run overlaps");
_Static_assert((int64_t)2 * STEPS_WINDOW * STEPS_CLIP_MG * STEPS_CLIP_MG <= INT32_MAX, "sums of squares fit");

void steps_init(struct steps *steps) {
    memset(steps, 0, sizeof *steps);
    /* Not the first sample: it may stand anywhere in a step, gravity does not. */
    for (int i = 0; i < STEPS_MEAN; i++) {
        steps->ticks[i] = GRAVITY_MG;
    }
}

/* The square root, rounded down, one binary digit at a time. */
static uint16_t root(uint32_t square) {
    uint32_t rest = square, result = 0;
    for (uint32_t bit = UINT32_C(1) << 30; bit != 0; bit >>= 2) {
        if (rest >= result + bit) {
            rest -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return (uint16_t)result;
}

static uint16_t magnitude(int32_t x, int32_t y, int32_t z) {
    return root((uint32_t)(x * x) + (uint32_t)(y * y) + (uint32_t)(z * z));
}

static int32_t square(int32_t value) {
    return value * value;
}

/*
 * Sets ratio[lag], from one less than STEPS_LAG_MIN on, to how well the waveform agrees with itself `lag` ticks later,
 * in thousandths: twice the sum of the products over the sum of the squares of both parts, so it is within -1000 and 1000.
 */
static void correlate(const int16_t *wave, int count, int16_t ratio[LAGS]) {
    int32_t energy = 0;
    for (int i = 0; i < count; i++) {
        energy += 2 * square(wave[i]);
    }
    for (int lag = 1; lag < LAGS; lag++) {
        energy -= square(wave[lag - 1]) + square(wave[count - lag]);
        if (lag < STEPS_LAG_MIN - 1) {
            continue;
        }
        int32_t product = 0;
        for (int i = lag; i < count; i++) {
            product += (int32_t)wave[i] * wave[i - lag];
        }
        ratio[lag] = 0;
        if (energy > 0) {
            ratio[lag] = (int16_t)((int64_t)2000 * product / energy);
        }
    }
}

static bool peak(const int16_t ratio[LAGS], int lag) {
    return ratio[lag] > ratio[lag - 1] && ratio[lag] >= ratio[lag + 1];
}

/* Whether something repeats clearly sooner than a step of half this stride, and about as well. */
static bool too_fast(const int16_t ratio[LAGS], int stride, int step_ratio) {
    int least = step_ratio * STEPS_FAST_PART / 1000;
    if (least < STEPS_FAST_RATIO) {
        least = STEPS_FAST_RATIO;
    }
    for (int lag = STEPS_LAG_MIN; lag <= stride / 2 - 3; lag++) {
        if (peak(ratio, lag) && ratio[lag] >= least) {
            return true;
        }
    }
    return false;
}

/* Whether this stride, in 1/256 tick, goes on at the pace of the last one. */
static bool same_pace(const struct steps *steps, int32_t stride) {
    int32_t last = steps->stride;
    int32_t change = stride > last ? stride - last : last - stride;
    return steps->since <= STEPS_PACE_TICKS && change * 100 <= last * STEPS_PACE_PERCENT;
}

/* The place of a peak between ticks, in 1/256 tick, by the parabola through it and its neighbours. */
static uint16_t refine(const int16_t ratio[LAGS], int lag) {
    int32_t slope = ratio[lag + 1] - ratio[lag - 1];
    int32_t curve = 2 * ratio[lag] - ratio[lag - 1] - ratio[lag + 1]; /* positive at a peak */
    return (uint16_t)(lag * 256 + 128 * slope / curve);
}

/* The stride of the walking in the last `count` ticks, in 1/256 tick; 0 if they are not walking. */
static uint16_t find_stride(const struct steps *steps, int count) {
    int16_t ratio[LAGS];
    correlate(&steps->wave[STEPS_WINDOW - count], count, ratio);
    for (int lag = STEPS_STRIDE_MIN; lag <= STEPS_STRIDE_MAX; lag++) {
        if (!peak(ratio, lag)) {
            continue;
        }
        int step = ratio[lag / 2], other = ratio[(lag + 1) / 2];
        if (other > step) {
            step = other;
        }
        uint16_t stride = refine(ratio, lag);
        bool on = same_pace(steps, stride);
        if (ratio[lag] >= (on ? STEPS_STRIDE_RATIO_ON : STEPS_STRIDE_RATIO) &&
            step >= (on ? STEPS_STEP_RATIO_ON : STEPS_STEP_RATIO) && !too_fast(ratio, lag, step)) {
            return stride;
        }
    }
    return 0;
}

/* How many of the last ticks are active without a break; 0 also if they are too weak on the whole. */
static int active_ticks(const struct steps *steps, bool *now) {
    const int32_t floor = square(STEPS_FLOOR_MG) * STEPS_BLOCK;
    int32_t energy[BLOCKS] = {0}, sum = 0;
    for (int i = 0; i < STEPS_WINDOW; i++) {
        energy[i / STEPS_BLOCK] += square(steps->wave[i]);
    }
    for (int i = 0; i < BLOCKS; i++) {
        sum += energy[i];
    }
    int32_t mean = sum / BLOCKS;
    int32_t least = (mean > floor ? mean : floor) / STEPS_QUIET;
    int blocks = 0;
    int32_t active = 0;
    while (blocks < BLOCKS && energy[BLOCKS - 1 - blocks] >= least) {
        active += energy[BLOCKS - 1 - blocks];
        blocks++;
    }
    *now = blocks > 0;
    return active >= floor * blocks ? blocks * STEPS_BLOCK : 0;
}

/* Judges the window, whose last block is complete now, and returns the steps to credit. */
static uint32_t judge(struct steps *steps) {
    if (steps->since < UINT16_MAX - STEPS_BLOCK) {
        steps->since = (uint16_t)(steps->since + STEPS_BLOCK);
    }
    bool now;
    int active = active_ticks(steps, &now);
    if (!now) {
        steps->owed = 0;
        steps->part = 0;
        return 0;
    }
    if (steps->owed < STEPS_WINDOW) {
        steps->owed = (uint8_t)(steps->owed + STEPS_BLOCK);
    }
    uint16_t stride = active < STEPS_RUN ? 0 : find_stride(steps, active);
    if (stride == 0) {
        return 0;
    }
    /* Only what this window shows to be walking, and only once. */
    uint32_t credit = steps->owed < active ? steps->owed : (uint32_t)active;
    uint32_t count = steps->part + (credit << 21) / stride; /* ticks * 4096 * 2 steps / (stride / 256) */
    steps->stride = stride;
    steps->since = 0;
    steps->owed = 0;
    steps->part = (uint16_t)(count % 4096);
    return count / 4096;
}

static uint32_t end_tick(struct steps *steps, uint16_t mean_mg) {
    static const uint8_t weight[SMOOTH] = {1, 2, 3, 2, 1};
    steps->ticks[steps->oldest] = mean_mg;
    steps->oldest = (uint8_t)((steps->oldest + 1) % STEPS_MEAN);
    int32_t sum = 0, smooth = 0;
    for (int i = 0; i < STEPS_MEAN; i++) {
        sum += steps->ticks[i];
    }
    for (int i = 0; i < SMOOTH; i++) {
        smooth += weight[i] * steps->ticks[(steps->oldest + STEPS_MEAN / 2 - SMOOTH / 2 + i) % STEPS_MEAN];
    }
    int32_t wave = smooth / SMOOTH_SUM - sum / STEPS_MEAN;
    if (wave > STEPS_CLIP_MG) {
        wave = STEPS_CLIP_MG;
    } else if (wave < -STEPS_CLIP_MG) {
        wave = -STEPS_CLIP_MG;
    }
    steps->wave[STEPS_WINDOW - STEPS_BLOCK + steps->block] = (int16_t)wave;
    steps->block++;
    if (steps->block < STEPS_BLOCK) {
        return 0;
    }
    uint32_t count = judge(steps);
    memmove(steps->wave, steps->wave + STEPS_BLOCK, (STEPS_WINDOW - STEPS_BLOCK) * sizeof steps->wave[0]);
    steps->block = 0;
    return count;
}

/* Follows the straight line from the last magnitude to this one, `ms` later, tick by tick. */
static uint32_t follow(struct steps *steps, uint16_t to, int32_t ms) {
    uint32_t count = 0;
    int32_t from = steps->magnitude, rise = to - from;
    for (int32_t done = 0; done < ms;) {
        int32_t part = STEPS_TICK_MS - steps->filled_ms;
        if (part > ms - done) {
            part = ms - done;
        }
        int32_t begin = from + rise * done / ms, end = from + rise * (done + part) / ms;
        steps->area += (uint32_t)((begin + end) * part);
        steps->filled_ms = (uint8_t)(steps->filled_ms + part);
        done += part;
        if (steps->filled_ms == STEPS_TICK_MS) {
            uint16_t mean = (uint16_t)(steps->area / (2 * STEPS_TICK_MS));
            steps->area = 0;
            steps->filled_ms = 0;
            count += end_tick(steps, mean);
        }
    }
    return count;
}

uint32_t steps_sample(struct steps *steps, uint32_t time_ms, int16_t x_mg, int16_t y_mg, int16_t z_mg) {
    uint32_t ahead = time_ms - steps->time_ms, behind = steps->time_ms - time_ms;
    uint32_t count = 0;
    if (steps->started && behind <= STEPS_LATE_MS) {
        return 0;
    }
    uint16_t now = magnitude(x_mg, y_mg, z_mg);
    if (steps->started && ahead <= STEPS_GAP_MS) {
        count = follow(steps, now, (int32_t)ahead);
    } else {
        steps_init(steps);
        steps->started = 1;
    }
    steps->time_ms = time_ms;
    steps->magnitude = now;
    return count;
}
