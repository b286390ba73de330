/* NOR flash for tests, with a loss of power at any word written and any page erased. */
#ifndef PINFOLD_TEST_FLASH_H
#define PINFOLD_TEST_FLASH_H

#include <assert.h>
#include <string.h>

#include "random.h"
#include "store.h"

#define FLASH_SIZE (STORE_PAGES * STORE_PAGE_SIZE)

/* What becomes of the word or page at which power fails. */
enum tear {
	TEAR_NOTHING, /* it stays as it was */
	TEAR_SOME,    /* some bits change, others do not; of a page, some words */
	TEAR_ALL,     /* it is done, but nobody is told */
	TEARS,
};

struct sim_flash {
	uint8_t bytes[FLASH_SIZE];
	uint8_t writes[FLASH_SIZE / 4]; /* of each word since it was erased */
	uint32_t erases[STORE_PAGES];
	uint64_t operations; /* words written and pages erased */
	uint64_t cut_at;     /* the operation at which power fails; 0 = never */
	uint32_t max_writes; /* the most that one word was written between erases */
	enum tear tear;
	bool dead;
	struct random random;
};

static void sim_flash_init(struct sim_flash *flash)
{
	memset(flash, 0, sizeof *flash);
	memset(flash->bytes, 0xFF, sizeof flash->bytes);
}

static bool sim_read(void *ctx, uint32_t offset, void *to, size_t size)
{
	struct sim_flash *flash = ctx;
	assert(offset <= FLASH_SIZE && size <= FLASH_SIZE - offset);
	if (!flash->dead) {
		memcpy(to, flash->bytes + offset, size);
	}
	return !flash->dead;
}

static bool sim_write(void *ctx, uint32_t offset, const void *from, size_t size)
{
	struct sim_flash *flash = ctx;
	assert(offset % 4 == 0 && size % 4 == 0 && offset <= FLASH_SIZE && size <= FLASH_SIZE - offset);
	for (size_t word = 0; word < size && !flash->dead; word += 4) {
		uint8_t *to = flash->bytes + offset + word;
		uint32_t n = ++flash->writes[(offset + word) / 4];
		flash->max_writes = n > flash->max_writes ? n : flash->max_writes;
		flash->dead = ++flash->operations == flash->cut_at;
		for (size_t i = 0; i < 4; i++) {
			uint8_t keep = ((const uint8_t *)from)[word + i];
			if (flash->dead && flash->tear == TEAR_NOTHING) {
				keep = 0xFF;
			} else if (flash->dead && flash->tear == TEAR_SOME) {
				keep |= (uint8_t)random_u32(&flash->random);
			}
			to[i] &= keep;
		}
	}
	return !flash->dead;
}

/* An erase that fails halfway leaves each word erased, as it was, or with some of its bits set. */
static void tear_page(struct sim_flash *flash, uint8_t *bytes)
{
	for (size_t word = 0; word < STORE_PAGE_SIZE; word += 4) {
		uint32_t how = random_below(&flash->random, 3);
		for (size_t i = 0; i < 4; i++) {
			bytes[word + i] |= how == 0 ? 0xFF : how == 1 ? 0 : (uint8_t)random_u32(&flash->random);
		}
	}
}

static bool sim_erase(void *ctx, uint32_t page)
{
	struct sim_flash *flash = ctx;
	assert(page < STORE_PAGES);
	if (flash->dead) {
		return false;
	}
	uint8_t *bytes = flash->bytes + page * STORE_PAGE_SIZE;
	flash->erases[page]++;
	flash->dead = ++flash->operations == flash->cut_at;
	if (flash->dead && flash->tear == TEAR_SOME) {
		tear_page(flash, bytes);
	} else if (!flash->dead || flash->tear == TEAR_ALL) {
		memset(bytes, 0xFF, STORE_PAGE_SIZE);
		memset(flash->writes + page * STORE_PAGE_SIZE / 4, 0, STORE_PAGE_SIZE / 4);
	}
	return !flash->dead;
}

static struct flash sim_bind(struct sim_flash *flash)
{
	return (struct flash){.read = sim_read, .write = sim_write, .erase = sim_erase, .ctx = flash};
}

/* Power comes back. */
static void sim_revive(struct sim_flash *flash)
{
	flash->dead = false;
	flash->cut_at = 0;
}

#endif
