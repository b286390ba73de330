/* The pin: everything put together on the calls of hal.h. */
#ifndef PINFOLD_PIN_H
#define PINFOLD_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "face.h"
#include "phone.h"
#include "statement.h"
#include "steps.h"
#include "store.h"
#include "tap.h"

#define PIN_FIRMWARE "0.1.0"

/* Step reports are made of at most so many slots at once, and then of one each so often. A clock that is set all the time
   closes more, whose steps are lost: else it would wear out the flash and push out older reports. */
#define PIN_REPORTS 12u
#define PIN_REPORT_MS 300000u

/* How often the open slot and the face are saved, at most: a reboot loses the steps of less. */
#define PIN_SAVE_MS 120000u

struct pin {
	struct store store;
	bool ready; /* it has an identity: the flash worked at least once */
	uint8_t id[STATEMENT_PIN_SIZE];
	uint8_t public_key[PIN_PUBLIC_KEY_SIZE];
	uint8_t secret_key[PIN_SECRET_KEY_SIZE];
	enum half_link link;

	struct clock clock;
	int32_t offset_quarters; /* local time ahead of UTC, in quarter hours */
	struct tap tap;
	struct steps steps;
	struct tally tally;
	uint32_t reports_ms, walked_ms; /* allowance for step reports, and when it was last added to */
	struct tally unreported; /* a closed slot whose report the flash did not take */
	uint32_t day, day_steps; /* the pin's own steps of a local day, in days since 1970-01-01 */
	struct phone phone;
	struct face face;
	struct screen screen;

	bool steps_dirty, face_dirty;         /* not saved yet */
	uint32_t steps_saved_ms, face_saved_ms;
	uint32_t known_next;                  /* number of the first record that the phone was not told of */
	uint32_t seen_dropped;                /* step reports that were lost before a phone last took all */
	uint32_t mounted_ms;                  /* last try */
};

/* Begins: mounts the store, makes a new pin of one that has no identity. link goes into its halves. A flash that does not work
   is no end: the face says so, and mounting is tried again. */
void pin_init(struct pin *pin, enum half_link link);

/* Does one round of everything and returns soon. To be called every 10 ms or so. */
void pin_poll(struct pin *pin);

/* What follows is for the phone link. */

/* Forgets the key and all that the pin holds, and makes it a new one. False if the flash failed. */
bool pin_wipe(struct pin *pin);

/* Returns the steps that the pin itself counted on the local day of now_ms, 0 if its clock was never set. */
uint32_t pin_steps_today(struct pin *pin, uint32_t now_ms);

/* Returns the local day, days since 1970-01-01; 0 if the clock was never set. */
uint32_t pin_day(struct pin *pin, uint32_t now_ms);

#endif
