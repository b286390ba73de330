/* The pin's wall clock, which a phone sets, and the quarter-hour slots that steps are counted in (docs/design.md section 4).
 * Milliseconds throughout. The clock runs on hal_millis, whose wrap after 49 days it bridges. */
#ifndef PINFOLD_CLOCK_H
#define PINFOLD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_SLOT_MS 900000        /* a quarter hour, docs/design.md section 4 */
#define CLOCK_MAX_MS 4102444800000  /* the year 2100: no phone is believed that says more */
#define CLOCK_SLEW_MS 60000         /* how much too fast the clock may be and still not be turned back */

struct clock {
	uint32_t last_millis;
	bool set;
	int64_t wall_ms;
	int64_t ahead_ms; /* by how much wall_ms is too late: it runs at half speed until that is made good */
	uint8_t odd_ms;   /* of the last millisecond, the half that is still to be counted */
};

/* Begins with a clock that was never set. What it showed before a reboot is worth nothing: nobody knows how long the
 * pin was off. */
void clock_init(struct clock *clock, uint32_t millis);

/* Takes a phone's word for the time, milliseconds since the Unix epoch. False, and no change, where that is not from 1
 * to CLOCK_MAX_MS. A clock that is behind is put forward at once. One that is ahead by at most CLOCK_SLEW_MS
 * runs at half speed until it is right, so that no slot is entered twice for a few seconds of drift. One that is
 * ahead by more is turned back at once: it was wrong. */
bool clock_set(struct clock *clock, uint32_t millis, int64_t wall_ms);

/* Returns the time, or 0 where the clock was never set. Must be called once in 49 days or oftener. */
int64_t clock_now(struct clock *clock, uint32_t millis);

/* Returns the slot, quarter hours since the Unix epoch, of a time of clock_now; 0 where that is 0. */
uint32_t clock_slot(int64_t wall_ms);

/* The steps of the slot that is open. Each step is counted in one slot, that of the moment it is added, and a slot
 * begins with 0 steps each time it is entered. Whatever the clock does, the largest value reported of a slot is then at
 * most the steps taken while the clock showed it: a jump may lose steps, never add any. */
struct tally {
	uint32_t slot; /* 0 = none open */
	uint16_t steps; /* stays at 65535, the most a report can say */
};

/* Begins with no open slot. */
void tally_init(struct tally *tally);

/* Opens a slot that was saved before a reboot, with the steps it had. If it is not the slot of the clock any more once
 * that is set, it is closed as it is. */
void tally_restore(struct tally *tally, uint32_t slot, uint16_t steps);

/* Adds steps (0 where only time has passed) in the slot of now, which is clock_slot(clock_now()). While that is 0 steps
 * are lost, as nobody knows when they were made, and nothing closes. Returns true where another slot was open
 * and had steps: it is closed now, and *closed is what to report. */
bool tally_add(struct tally *tally, uint32_t slot, uint32_t steps, struct tally *closed);

#endif
