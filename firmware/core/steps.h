#ifndef STEPS_H
#define STEPS_H

#include <stdint.h>

/*
 * Counts steps from the magnitude of the acceleration, so it does not matter how the pin hangs.
 *
 *   samples -> magnitude -> 25 Hz -> smooth, without gravity -> is it a rhythm of walking? -> steps
 *
 * Walking repeats itself: step after step, and more exactly stride after stride, since left and right differ. Every third
 * of a second the counter asks how well the last five seconds agree with themselves, shifted by a stride
 * (autocorrelation). Where they agree, the time walked, divided by the step's period, is what is credited. So nothing
 * hangs on single peaks: a foot that hits twice counts once, and a pocket that feels only every second step counts both.
 * Fidgeting is as strong as walking, but it seldom keeps time with itself for so long.
 *
 * Steps become known late: a walk's first ones together after STEPS_RUN ticks and half a second of filter, the
 * others within a second. A walk that is shorter counts nothing. A longer one is credited from its beginning.
 *
 * What it cannot tell from walking, because on a person's chest it is the same signal: anything that shakes the pin in
 * the rhythm of steps and goes on for five seconds, such as dancing, a rocking chair or a pin that swings widely on its
 * lanyard. And of a strong beat at random intervals near those of steps, kept up without a pause, about a ninth counts.
 *
 * Rates: made for 25 to 50 Hz. Any other is brought to 25 Hz by the same arithmetic. Above, nothing is lost. Below,
 * straight lines between samples flatten fast steps: the tests hold 12.5 Hz up to 2.2 steps a second, and under 2.5 Hz
 * (STEPS_GAP_MS) nothing is counted. The sensor's own low-pass must cut at half its rate.
 */

/* Every ..._RATIO is in thousandths of perfect agreement, 1000. Every tick is STEPS_TICK_MS. */
enum {
    /* 25 Hz holds steps (at most 3.1 a second) and their second harmonic, and no more. */
    STEPS_TICK_MS = 40,

    /* Samples further apart than this are a gap, and a walk does not go on over a gap. The recordings of the Oxford
       step counter set have holes of 220 ms amid walking. */
    STEPS_GAP_MS = 400,

    /* A sample at most this much older than the last one came late and is dropped. One that is older still means that
       the clock was set back. */
    STEPS_LATE_MS = 1000,

    /* Gravity and slow sway are the mean of this many ticks, one second, taken around the tick: full strength from
       1.2 Hz, one third at 0.5 Hz. 19 to 27 do alike; from 29 on strides come out stronger than they went in, and then back
       pockets are not seen to be walking. */
    STEPS_MEAN = 25,

    /* The waveform is cut off here, in mg. Running on a hard floor comes to about 2 g, and sums of squares fit 32 bits. */
    STEPS_CLIP_MG = 2000,

    /* The window that must agree with itself, 5.12 s: more than three strides of the slowest walk. */
    STEPS_WINDOW = 128,

    /* It is judged in blocks of this many ticks, 0.32 s: the precision of a walk's two ends, about half a step. */
    STEPS_BLOCK = 8,

    /* So many ticks, 4.48 s, must be active without a break before anything counts: 5 to 13 steps. */
    STEPS_RUN = 112,

    /* Root mean square of walking, in mg, at least. Noise of 40 mg on each axis leaves 12 to 24 after the filter,
       the recordings have 190 to 410. A sine of 80 mg passes up to 2.4 steps a second, one of 160 mg at any cadence. */
    STEPS_FLOOR_MG = 35,

    /* A block is active if its energy is at least this part, one sixteenth, of the window's mean and of the floor's. At
       one eighth the weak side of an uneven stride looks like a stop. */
    STEPS_QUIET = 16,

    /* A stride, in ticks: 0.64 to 1.72 s, so 3.1 to 1.16 steps a second. Slowest usual walk 1.4, fastest run 3. */
    STEPS_STRIDE_MIN = 16,
    STEPS_STRIDE_MAX = 43,

    /* The shortest repetition that is looked for, in ticks: one at 6 Hz, which no leg does. */
    STEPS_LAG_MIN = 4,

    /* How well one stride must agree with the next. Walking has 900 to 990, in a back pocket from 770 on. A beat of
       walking's strength whose intervals are random, 0.25 to 0.85 s, gets there by chance: at 700 a quarter of it
       counts, at 800 a ninth, at 850 a twentieth, but then steady walking loses 0.9%. */
    STEPS_STRIDE_RATIO = 800,

    /* How well a step must agree with the next. Walking has 900 or more on the chest, 650 to 800 in a front pocket, 50 to
       450 in a back pocket. Slow sharp nods, 0.8 a second, mostly stay below 200. So this is a choice: at 0 such nods count
       in some hours more than 40 steps; at 200 short walks in a back pocket are missed in part. The pin hangs on the
       chest. */
    STEPS_STEP_RATIO = 200,

    /* What goes on at the same pace needs to show less: a limp, a turn, a phone call. */
    STEPS_STRIDE_RATIO_ON = 600,
    STEPS_STEP_RATIO_ON = -250,

    /* The same pace: a stride that differs by at most this much, in percent... */
    STEPS_PACE_PERCENT = 12,

    /* ...from one that was seen at most this many ticks, 1.92 s, ago. */
    STEPS_PACE_TICKS = 48,

    /* Too fast to be steps: something repeats sooner than a step would, at least this well and at least so many
       thousandths as well as the steps do. The second is below 1000 because a period between two ticks looks
       weaker than it is, by a quarter at worst. */
    STEPS_FAST_RATIO = 500,
    STEPS_FAST_PART = 700,
};

/* The whole state of a counter. Its fields are steps.c's own. */
struct steps {
    uint32_t time_ms;            /* of the last sample */
    uint32_t area;               /* twice the integral of the magnitude over the open tick, mg ms */
    uint16_t magnitude;          /* of the last sample, mg */
    uint16_t stride;             /* the last one that passed, in 1/256 tick; 0 = none yet */
    uint16_t part;               /* of a step, credited but not whole yet, 1/4096 */
    uint16_t since;              /* ticks since the last stride that passed; stays at its maximum */
    uint8_t started;             /* there was a sample */
    uint8_t filled_ms;           /* of the open tick */
    uint8_t oldest;              /* place of the oldest tick in `ticks` */
    uint8_t block;               /* ticks in the open block, the last one of `wave` */
    uint8_t owed;                /* active ticks not credited yet, at most STEPS_WINDOW */
    uint16_t ticks[STEPS_MEAN];  /* magnitude, mg */
    int16_t wave[STEPS_WINDOW];  /* smoothed, without gravity, mg; the oldest first */
};

/** Begins anew: no walk, no time. */
void steps_init(struct steps *steps);

/**
 * Takes one sample and returns how many steps became known with it: most often 0, never more than 19.
 *
 * `time_ms` is any millisecond clock, also one that wraps. x, y and z are in mg, gravity included, the whole range of
 * the type; a sensor that saturates is fine. Samples of a batch carry the time at which each was measured, not the time
 * at which the batch was read: of samples with one time, all but the first are dropped.
 *
 * Time that stands still or runs back by up to STEPS_LATE_MS drops the sample. Gaps and greater jumps end the walk: what is not
 * credited by then is lost, and nothing is counted twice.
 */
uint32_t steps_sample(struct steps *steps, uint32_t time_ms, int16_t x_mg, int16_t y_mg, int16_t z_mg);

#endif
