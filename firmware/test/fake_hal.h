/* A board in memory: several pins in one test, each with a board of its own. The calls of hal.h go to the one in use. */
#ifndef PINFOLD_TEST_FAKE_HAL_H
#define PINFOLD_TEST_FAKE_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal.h"

#define FAKE_QUEUE 64u

struct fake_datagram {
	uint8_t bytes[HAL_PEER_MAX];
	size_t size;
};

struct fake {
	uint8_t flash[HAL_FLASH_PAGE * HAL_FLASH_PAGES];
	bool flash_fails;
	uint32_t fail_read, fail_change; /* the so-many-th read, or write or erase, fails, once; 0 = none does */
	uint32_t erases[HAL_FLASH_PAGES];
	uint32_t reads;                  /* of the flash */
	uint32_t writes; /* words written and pages erased */
	uint32_t millis;
	uint64_t random;
	bool near;
	uint8_t presses;
	struct fake_datagram inbox[FAKE_QUEUE];
	size_t inbox_first, inbox_count;
	struct fake *peers[2];             /* who hears what this one sends */
	bool (*drop)(void *ctx, const uint8_t *datagram); /* whether it is lost; NULL = none is */
	void *drop_ctx;
	uint8_t to_pin[4096], from_pin[32768];
	size_t to_pin_read, to_pin_size, from_pin_size;
	size_t phone_room;                 /* bytes that the phone link takes */
	int16_t mg[256][3];
	uint32_t sample_ms[256];
	size_t samples, sample_next;
	uint16_t frame[HAL_DISPLAY_SIZE * HAL_DISPLAY_SIZE];
	uint32_t bands;
	bool lost;
};

/* Makes a board: erased flash, time 0, random numbers that follow from seed. */
void fake_init(struct fake *fake, uint64_t seed);

/* Makes it the one that the calls of hal.h go to. */
void fake_use(struct fake *fake);

#endif
