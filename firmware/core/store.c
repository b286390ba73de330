#include "store.h"

#include <string.h>

#include "bytes.h"
#include "crc.h"

/* The layout. Integers in the flash are big-endian.
 *
 * Pages 0 and 1 hold the identity, one at a time. A wipe writes the new one into the other page: from its last word on
 * it counts, as its generation is higher. Then everything else is erased, and the word `done` is written. A mount that finds it
 * missing goes on erasing.
 *
 * Pages 2 to 31 are the ring. Each page in use has a header with a sequence number, then slots of one fixed size, filled from
 * the first to the last. A record that a loss of power tore has a bad CRC, and its slot stays unused until
 * the page is erased. A record is let go by clearing its word `gone`. Whoever reads finds records by their numbers, not
 * by their places.
 *
 * One page or more is always free. When the page that takes records is full, a free one is opened. If it is the last
 * free one, a victim is named in its header: the page with the fewest records still needed. Those are copied, the word `commit`
 * of the new page is cleared, and the victim is killed. A mount that finds a victim named and no commit kills the new page, which
 * holds only copies; one that finds the commit kills the victim.
 *
 * To kill a page is to zero its header. This comes before every erase, since a page that was erased halfway might otherwise
 * look like one in use.
 *
 * Header and records carry the marks that must outlive the records: the highest counter, the number of the next
 * record, the dropped reports. A new header is written before any older page is erased, so the newest page alone knows
 * them all. A step report is dropped by the new record that takes its place: that record's
 * horizon excludes it, so both happen in the same word. */

enum {
	RING = 2, /* the first page of the ring */
	RING_PAGES = STORE_PAGES - RING,

	/* A page's header, offsets in bytes. */
	PAGE_MAGIC = 0,
	PAGE_SEQUENCE = 4,
	PAGE_COUNTER = 8,
	PAGE_RECORD = 12,
	PAGE_DROPPED = 16,
	PAGE_HORIZON = 20,
	PAGE_VICTIM = 24, /* its page, or NO_VICTIM */
	PAGE_VICTIM_SEQUENCE = 28,
	PAGE_CRC = 32,
	PAGE_HEADER = 36,
	PAGE_COMMIT = 36,
	PAGE_SLOTS = 48,

	/* A slot. */
	SLOT_KIND = 0,
	SLOT_BYTES = 1, /* of the payload: the statement and its signature, or the state */
	SLOT_KEY = 2,   /* of the state */
	SLOT_RECORD = 4,
	SLOT_HORIZON = 8,
	SLOT_DROPPED = 12,
	SLOT_PAYLOAD = 16,
	SLOT_CRC = 168,
	SLOT_WRITTEN = 172,
	SLOT_GONE = 172,
	SLOT_SIZE = 176,
	PAYLOAD_SIZE = SLOT_CRC - SLOT_PAYLOAD,
	SLOTS = (STORE_PAGE_SIZE - PAGE_SLOTS) / SLOT_SIZE,

	/* An identity. */
	IDENTITY_MAGIC = 0,
	IDENTITY_GENERATION = 4,
	IDENTITY_RECORD = 8, /* number of the first record */
	IDENTITY_SEED = 12,
	IDENTITY_CRC = 44,
	IDENTITY_SIZE = 48,
	IDENTITY_DONE = 48,

	/* A page that has not moved while this many were opened is moved, so that its cells wear like the others. */
	COLD = 4 * RING_PAGES,
};

#define MAGIC_PAGE 0x31524650u     /* PFR1 */
#define MAGIC_IDENTITY 0x31494650u /* PFI1 */
#define NO_VICTIM 0xFFFFFFFFu
#define BLANK 0xFFFFFFFFu

_Static_assert(PAYLOAD_SIZE >= STATEMENT_MAX_SIZE + PIN_SIGNATURE_SIZE, "a slot takes the largest statement");
_Static_assert(PAYLOAD_SIZE == STORE_STATE_SIZE, "a slot takes the largest state");
_Static_assert(SLOTS == 23 && SLOTS <= 32, "a bit for each slot");
_Static_assert(STORE_CAPACITY + STORE_STATES < (RING_PAGES - 1) * SLOTS - RING_PAGES, "every page but one has a slot to gain");

static uint32_t bits(uint32_t set)
{
	uint32_t n = 0;
	for (; set != 0; set &= set - 1) {
		n++;
	}
	return n;
}

static void raise_to(uint32_t *mark, uint32_t value)
{
	if (value > *mark) {
		*mark = value;
	}
}

/* The flash. A failed write or erase leaves the store broken. */

static bool get(const struct store *store, uint32_t offset, void *to, size_t size)
{
	return store->flash.read(store->flash.ctx, offset, to, size);
}

static bool put(struct store *store, uint32_t offset, const void *from, size_t size)
{
	if (!store->flash.write(store->flash.ctx, offset, from, size)) {
		store->broken = true;
	}
	return !store->broken;
}

static bool put_zeros(struct store *store, uint32_t offset, size_t size)
{
	static const uint8_t zeros[IDENTITY_SIZE];
	return put(store, offset, zeros, size);
}

static bool is_all(const struct store *store, uint8_t value, uint32_t offset, size_t size)
{
	uint8_t chunk[64];
	for (size_t done = 0; done < size; done += sizeof chunk) {
		size_t n = size - done < sizeof chunk ? size - done : sizeof chunk;
		if (!get(store, offset + (uint32_t)done, chunk, n)) {
			return false;
		}
		for (size_t i = 0; i < n; i++) {
			if (chunk[i] != value) {
				return false;
			}
		}
	}
	return true;
}

static bool is_blank(const struct store *store, uint32_t offset, size_t size)
{
	return is_all(store, 0xFF, offset, size);
}

static uint32_t page_at(uint32_t page)
{
	return page * STORE_PAGE_SIZE;
}

static uint32_t slot_at(uint32_t page, uint32_t slot)
{
	return page_at(page) + PAGE_SLOTS + slot * SLOT_SIZE;
}

/* Zeros the header, if there is one, so that nothing in the page counts any more. Not twice: that would be a third write. */
static bool kill(struct store *store, uint32_t page, size_t header)
{
	return is_blank(store, page_at(page), header) || is_all(store, 0, page_at(page), header) ||
	       put_zeros(store, page_at(page), header);
}

static bool erase(struct store *store, uint32_t page)
{
	if (!store->flash.erase(store->flash.ctx, page)) {
		store->broken = true;
	}
	return !store->broken;
}

/* Identity. */

static bool is_identity(const uint8_t identity[IDENTITY_SIZE])
{
	return get32(identity + IDENTITY_MAGIC) == MAGIC_IDENTITY &&
	       get32(identity + IDENTITY_CRC) == crc32(identity, IDENTITY_CRC);
}

static bool write_identity(struct store *store, uint32_t page, const uint8_t seed[PIN_SEED_SIZE])
{
	uint8_t identity[IDENTITY_SIZE];
	put32(identity + IDENTITY_MAGIC, MAGIC_IDENTITY);
	put32(identity + IDENTITY_GENERATION, store->generation + 1);
	put32(identity + IDENTITY_RECORD, store->next_record);
	memcpy(identity + IDENTITY_SEED, seed, PIN_SEED_SIZE);
	put32(identity + IDENTITY_CRC, crc32(identity, IDENTITY_CRC));
	bool ok = kill(store, page, IDENTITY_SIZE) && erase(store, page) &&
	          put(store, page_at(page), identity, sizeof identity);
	pin_forget(identity, sizeof identity);
	return ok;
}

/* Takes the identity that counts. False where there is none, or where that cannot be read: then the store is broken. */
static bool load_identity(struct store *store)
{
	uint8_t identity[IDENTITY_SIZE];
	for (uint8_t page = 0; page < RING; page++) {
		if (!get(store, page_at(page), identity, sizeof identity)) {
			store->broken = true;
			return false;
		}
		if (!is_identity(identity)) {
			continue;
		}
		uint32_t generation = get32(identity + IDENTITY_GENERATION);
		if (!store->provisioned || generation > store->generation) {
			store->provisioned = true;
			store->identity_page = page;
			store->generation = generation;
			store->next_record = get32(identity + IDENTITY_RECORD);
		}
	}
	pin_forget(identity, sizeof identity);
	return store->provisioned;
}

/* Erases all but the identity, first the old one. */
static bool finish_wipe(struct store *store)
{
	if (!kill(store, 1u - store->identity_page, IDENTITY_SIZE)) {
		return false;
	}
	for (uint32_t page = 0; page < STORE_PAGES; page++) {
		if (page != store->identity_page && !is_blank(store, page_at(page), STORE_PAGE_SIZE) &&
		    !erase(store, page)) {
			return false;
		}
	}
	return put_zeros(store, page_at(store->identity_page) + IDENTITY_DONE, 4);
}

/* Pages of the ring. */

static void forget_page(struct store *store, uint32_t page)
{
	store->sequence[page] = 0;
	store->live[page] = 0;
	store->reports[page] = 0;
	store->states[page] = 0;
}

static bool kill_page(struct store *store, uint32_t page)
{
	forget_page(store, page);
	return kill(store, page, PAGE_HEADER);
}

/* Makes the free page the one that takes records. */
static bool open_page(struct store *store, uint32_t page, uint32_t victim)
{
	uint8_t header[PAGE_HEADER];
	put32(header + PAGE_MAGIC, MAGIC_PAGE);
	put32(header + PAGE_SEQUENCE, store->newest + 1);
	put32(header + PAGE_COUNTER, store->counter);
	put32(header + PAGE_RECORD, store->next_record);
	put32(header + PAGE_DROPPED, store->dropped);
	put32(header + PAGE_HORIZON, store->horizon);
	put32(header + PAGE_VICTIM, victim);
	put32(header + PAGE_VICTIM_SEQUENCE, victim == NO_VICTIM ? 0 : store->sequence[victim]);
	put32(header + PAGE_CRC, crc32(header, PAGE_CRC));
	if (!kill_page(store, page) || !erase(store, page) || !put(store, page_at(page), header, sizeof header)) {
		return false;
	}
	store->newest++;
	store->sequence[page] = store->newest;
	store->current = (uint8_t)page;
	store->next_slot = 0;
	return true;
}

static bool is_record(const uint8_t image[SLOT_SIZE])
{
	return image[SLOT_KIND] >= STORE_OWN_HALF && image[SLOT_KIND] <= STORE_STATE &&
	       image[SLOT_BYTES] <= PAYLOAD_SIZE && image[SLOT_KEY] < STORE_STATES &&
	       get32(image + SLOT_CRC) == crc32(image, SLOT_CRC);
}

static bool read_slot(const struct store *store, uint32_t page, uint32_t slot, uint8_t image[SLOT_SIZE])
{
	return get(store, slot_at(page, slot), image, SLOT_SIZE) && is_record(image);
}

static void mark_live(struct store *store, uint32_t page, uint32_t slot, uint8_t kind)
{
	uint32_t bit = 1u << slot;
	store->live[page] |= bit;
	if (kind == STORE_STEP_REPORT) {
		store->reports[page] |= bit;
	}
	if (kind == STORE_STATE) {
		store->states[page] |= bit;
	}
}

static void mark_gone(struct store *store, uint32_t page, uint32_t slot)
{
	store->live[page] &= ~(1u << slot);
	store->reports[page] &= ~(1u << slot);
	store->states[page] &= ~(1u << slot);
}

/* Writes the record into the next slot, which must be there, and reads it back. */
static bool write_slot(struct store *store, uint8_t image[SLOT_SIZE], uint32_t horizon, uint32_t dropped)
{
	put32(image + SLOT_HORIZON, horizon);
	put32(image + SLOT_DROPPED, dropped);
	put32(image + SLOT_CRC, crc32(image, SLOT_CRC));
	uint32_t page = store->current, slot = store->next_slot;
	store->next_slot++;
	uint8_t back[SLOT_SIZE];
	if (!put(store, slot_at(page, slot), image, SLOT_WRITTEN) || !read_slot(store, page, slot, back) ||
	    memcmp(back, image, SLOT_WRITTEN) != 0) {
		store->broken = true;
		return false;
	}
	mark_live(store, page, slot, image[SLOT_KIND]);
	return true;
}

/* Chooses the page that is cheapest to move: the fewest live records, then the oldest. A page that has not moved for
 * long goes first, if that is wanted. NO_VICTIM where nothing is to be gained. */
static uint32_t choose_victim(const struct store *store, bool cold)
{
	uint32_t best = NO_VICTIM, fewest = SLOTS, oldest = NO_VICTIM;
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		uint32_t sequence = store->sequence[page], live = bits(store->live[page]);
		if (sequence == 0) {
			continue;
		}
		if (oldest == NO_VICTIM || sequence < store->sequence[oldest]) {
			oldest = page;
		}
		if (live < fewest || (live == fewest && best != NO_VICTIM && sequence < store->sequence[best])) {
			best = page;
			fewest = live;
		}
	}
	bool is_cold = oldest != NO_VICTIM && store->newest - store->sequence[oldest] >= COLD;
	return cold && is_cold ? oldest : best;
}

/* Moves what the victim still holds into the free page, and frees the victim. */
static bool move_page(struct store *store, uint32_t page, uint32_t victim)
{
	if (!open_page(store, page, victim)) {
		return false;
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		uint8_t image[SLOT_SIZE];
		if ((store->live[victim] & 1u << slot) == 0) {
			continue;
		}
		if (!get(store, slot_at(victim, slot), image, sizeof image)) {
			store->broken = true;
			return false;
		}
		if (is_record(image) && !write_slot(store, image, store->horizon, store->dropped)) {
			return false;
		}
	}
	return put_zeros(store, page_at(page) + PAGE_COMMIT, 4) && kill_page(store, victim);
}

/* Opens the next free page, which need not have a slot to spare after that if a cold page was moved into it. */
static enum store_result advance(struct store *store, bool cold)
{
	uint32_t free_pages = 0, next = 0;
	for (uint32_t i = RING_PAGES; i > 0; i--) {
		uint32_t from = store->current < RING ? 0 : store->current - (uint32_t)RING;
		uint32_t page = RING + (from + i) % RING_PAGES;
		if (store->sequence[page] == 0) {
			free_pages++;
			next = page;
		}
	}
	if (free_pages > 1) {
		return open_page(store, next, NO_VICTIM) ? STORE_OK : STORE_FLASH;
	}
	uint32_t victim = choose_victim(store, cold);
	if (free_pages == 0 || victim == NO_VICTIM) {
		return STORE_FULL; /* the capacity keeps it from coming to this */
	}
	return move_page(store, next, victim) ? STORE_OK : STORE_FLASH;
}

static enum store_result ensure_slot(struct store *store)
{
	for (uint32_t i = 0; store->current == 0 || store->next_slot == SLOTS; i++) {
		enum store_result result = i < RING_PAGES ? advance(store, i == 0) : STORE_FULL;
		if (result != STORE_OK) {
			return result;
		}
	}
	return STORE_OK;
}

/* Mount. */

static bool is_header(const uint8_t header[PAGE_HEADER])
{
	return get32(header + PAGE_MAGIC) == MAGIC_PAGE && get32(header + PAGE_CRC) == crc32(header, PAGE_CRC) &&
	       get32(header + PAGE_SEQUENCE) != 0;
}

static bool read_header(const struct store *store, uint32_t page, uint8_t header[PAGE_HEADER])
{
	return get(store, page_at(page), header, PAGE_HEADER) && is_header(header);
}

/* Finishes or undoes a move that was interrupted. Only the newest page can have been part of one. */
static bool settle_move(struct store *store, uint32_t page)
{
	uint8_t header[PAGE_HEADER], commit[4];
	if (!read_header(store, page, header) || !get(store, page_at(page) + PAGE_COMMIT, commit, sizeof commit)) {
		return false;
	}
	uint32_t victim = get32(header + PAGE_VICTIM);
	if (victim == NO_VICTIM) {
		return true;
	}
	if (get32(commit) == BLANK) {
		return kill_page(store, page);
	}
	bool there = victim >= RING && victim < STORE_PAGES && victim != page &&
	             store->sequence[victim] == get32(header + PAGE_VICTIM_SEQUENCE) && store->sequence[victim] != 0;
	return !there || kill_page(store, victim);
}

static uint32_t newest_page(const struct store *store)
{
	uint32_t newest = 0;
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		if (store->sequence[page] > (newest == 0 ? 0 : store->sequence[newest])) {
			newest = page;
		}
	}
	return newest;
}

static bool load_headers(struct store *store)
{
	uint8_t header[PAGE_HEADER];
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		if (!get(store, page_at(page), header, sizeof header)) {
			return false;
		}
		if (is_header(header)) {
			store->sequence[page] = get32(header + PAGE_SEQUENCE);
		}
	}
	uint32_t newest = newest_page(store);
	if (newest == 0) {
		return true;
	}
	raise_to(&store->newest, store->sequence[newest]);
	if (!settle_move(store, newest)) {
		return false;
	}
	store->current = (uint8_t)newest_page(store);
	if (store->current == 0 || !read_header(store, store->current, header)) {
		return store->current == 0;
	}
	raise_to(&store->counter, get32(header + PAGE_COUNTER));
	raise_to(&store->next_record, get32(header + PAGE_RECORD));
	raise_to(&store->dropped, get32(header + PAGE_DROPPED));
	raise_to(&store->horizon, get32(header + PAGE_HORIZON));
	return true;
}

/* The counter of an own statement, by its layout; 0 for what is not one. */
static uint32_t counter_of(const uint8_t image[SLOT_SIZE])
{
	switch (image[SLOT_KIND]) {
	case STORE_OWN_HALF:
		return get32(image + SLOT_PAYLOAD + 52);
	case STORE_STEP_REPORT:
		return get32(image + SLOT_PAYLOAD + 12);
	default:
		return 0;
	}
}

/* The number of the record there; 0 where that cannot be read. */
static uint32_t record_at(const struct store *store, uint32_t page, uint32_t slot)
{
	uint8_t number[4];
	return get(store, slot_at(page, slot) + SLOT_RECORD, number, sizeof number) ? get32(number) : 0;
}

/* Finds the live record of this number among those of the pages' sets. */
static bool find(const struct store *store, const uint32_t among[STORE_PAGES], uint32_t record, uint32_t *page,
                 uint32_t *slot)
{
	for (*page = RING; *page < STORE_PAGES && record != 0; ++*page) {
		for (*slot = 0; *slot < SLOTS; ++*slot) {
			if ((among[*page] & 1u << *slot) != 0 && record_at(store, *page, *slot) == record) {
				return true;
			}
		}
	}
	return false;
}

/* Makes this the state of its key, in place of an older one. */
static void replace_state(struct store *store, uint8_t key, uint32_t record)
{
	uint32_t page, slot, old = store->state_record[key];
	if (old != 0 && find(store, store->states, old < record ? old : record, &page, &slot)) {
		mark_gone(store, page, slot);
	}
	raise_to(&store->state_record[key], record);
}

/* False where the flash failed. What is no record is passed over. */
static bool load_slot(struct store *store, uint32_t page, uint32_t slot)
{
	uint8_t image[SLOT_SIZE];
	if (!get(store, slot_at(page, slot), image, sizeof image)) {
		return false;
	}
	if (!is_record(image)) {
		return true;
	}
	uint32_t record = get32(image + SLOT_RECORD);
	raise_to(&store->next_record, record + 1);
	raise_to(&store->counter, counter_of(image));
	raise_to(&store->horizon, get32(image + SLOT_HORIZON));
	raise_to(&store->dropped, get32(image + SLOT_DROPPED));
	if (get32(image + SLOT_GONE) == BLANK) {
		mark_live(store, page, slot, image[SLOT_KIND]);
		if (image[SLOT_KIND] == STORE_STATE) {
			replace_state(store, image[SLOT_KEY], record);
		}
	}
	return true;
}

/* Lets go of the step reports below the horizon. */
static void apply_horizon(struct store *store)
{
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		for (uint32_t slot = 0; slot < SLOTS; slot++) {
			uint32_t record = (store->reports[page] & 1u << slot) != 0 ? record_at(store, page, slot) : 0;
			if (record != 0 && record < store->horizon) {
				mark_gone(store, page, slot);
			}
		}
	}
}

static bool load_records(struct store *store)
{
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		for (uint32_t slot = 0; store->sequence[page] != 0 && slot < SLOTS; slot++) {
			if (!load_slot(store, page, slot)) {
				return false;
			}
		}
	}
	apply_horizon(store);
	store->next_slot = SLOTS;
	while (store->current != 0 && store->next_slot > 0 &&
	       is_blank(store, slot_at(store->current, store->next_slot - 1u), SLOT_SIZE)) {
		store->next_slot--;
	}
	return true;
}

static bool load(struct store *store)
{
	uint8_t done[4];
	if (!get(store, page_at(store->identity_page) + IDENTITY_DONE, done, sizeof done) ||
	    (get32(done) == BLANK && !finish_wipe(store)) || !load_headers(store) || !load_records(store)) {
		store->broken = true;
		return false;
	}
	return true;
}

enum store_result store_mount(struct store *store, struct flash flash)
{
	*store = (struct store){.flash = flash, .next_record = 1};
	uint8_t probe[4];
	if (!get(store, 0, probe, sizeof probe)) {
		store->broken = true;
		return STORE_FLASH;
	}
	if (!load_identity(store)) {
		return store->broken ? STORE_FLASH : STORE_NO_IDENTITY;
	}
	return load(store) ? STORE_OK : STORE_FLASH;
}

enum store_result store_provision(struct store *store, const uint8_t seed[PIN_SEED_SIZE])
{
	if (store->broken) {
		return STORE_FLASH;
	}
	uint32_t page = store->provisioned ? 1u - store->identity_page : 0;
	if (!write_identity(store, page, seed)) {
		return STORE_FLASH;
	}
	store->provisioned = true;
	store->identity_page = (uint8_t)page;
	if (!finish_wipe(store)) {
		return STORE_FLASH;
	}
	return store_mount(store, store->flash);
}

enum store_result store_identity(const struct store *store, uint8_t seed[PIN_SEED_SIZE])
{
	if (store->broken) {
		return STORE_FLASH;
	}
	if (!store->provisioned) {
		return STORE_NO_IDENTITY;
	}
	uint8_t identity[IDENTITY_SIZE];
	bool ok = get(store, page_at(store->identity_page), identity, sizeof identity) && is_identity(identity);
	memcpy(seed, identity + IDENTITY_SEED, PIN_SEED_SIZE);
	pin_forget(identity, sizeof identity);
	return ok ? STORE_OK : STORE_FLASH;
}

/* Records. */

static uint32_t count(const uint32_t sets[STORE_PAGES])
{
	uint32_t n = 0;
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		n += bits(sets[page]);
	}
	return n;
}

uint32_t store_next_record(const struct store *store) {
	return store->next_record;
}

uint32_t store_records(const struct store *store)
{
	return count(store->live) - count(store->states);
}

uint32_t store_dropped(const struct store *store)
{
	return store->dropped;
}

uint32_t store_room(const struct store *store)
{
	uint32_t halves = store_records(store) - count(store->reports);
	return store->provisioned && !store->broken && halves < STORE_CAPACITY ? STORE_CAPACITY - halves : 0;
}

uint32_t store_next_counter(const struct store *store)
{
	return store->provisioned && !store->broken ? store->counter + 1 : 0; /* 0 after the last one */
}

/* Finds the smallest number above `after` of a record in the sets that is not in `but` (which may be NULL); 0 = none. */
static uint32_t next_in(const struct store *store, const uint32_t sets[STORE_PAGES], const uint32_t *but, uint32_t after)
{
	uint32_t best = 0;
	for (uint32_t page = RING; page < STORE_PAGES; page++) {
		uint32_t set = but == NULL ? sets[page] : sets[page] & ~but[page];
		for (uint32_t slot = 0; set >> slot != 0; slot++) {
			uint32_t record = (set & 1u << slot) != 0 ? record_at(store, page, slot) : 0;
			if (record > after && (best == 0 || record < best)) {
				best = record;
			}
		}
	}
	return best;
}

static enum store_result ready(const struct store *store)
{
	if (store->broken) {
		return STORE_FLASH;
	}
	return store->provisioned ? STORE_OK : STORE_NO_IDENTITY;
}

/* Stores the payload as a new record, which drops the step reports below the horizon. */
static enum store_result append(struct store *store, enum store_kind kind, uint8_t key, const struct pin_part *parts,
                                uint32_t horizon, uint32_t dropped)
{
	enum store_result result = ensure_slot(store);
	if (result != STORE_OK) {
		return result;
	}
	uint8_t image[SLOT_SIZE];
	size_t size = parts[0].size + parts[1].size;
	memset(image, 0, sizeof image);
	image[SLOT_KIND] = (uint8_t)kind;
	image[SLOT_BYTES] = (uint8_t)size;
	image[SLOT_KEY] = key;
	put32(image + SLOT_RECORD, store->next_record);
	memcpy(image + SLOT_PAYLOAD, parts[0].data, parts[0].size);
	if (parts[1].size > 0) {
		memcpy(image + SLOT_PAYLOAD + parts[0].size, parts[1].data, parts[1].size);
	}
	if (!write_slot(store, image, horizon, dropped)) {
		return STORE_FLASH;
	}
	store->next_record++;
	raise_to(&store->counter, counter_of(image));
	store->dropped = dropped;
	if (horizon != store->horizon) {
		store->horizon = horizon;
		apply_horizon(store);
	}
	return STORE_OK;
}

/* Stores a statement that was found good. */
static enum store_result put_statement(struct store *store, enum store_kind kind, const uint8_t *statement, size_t size,
                                       const uint8_t signature[PIN_SIGNATURE_SIZE])
{
	uint32_t horizon = store->horizon, dropped = store->dropped;
	if (store_records(store) >= STORE_CAPACITY) {
		uint32_t oldest = next_in(store, store->reports, NULL, 0);
		if (oldest == 0) {
			store->dropped += kind == STORE_STEP_REPORT;
			return STORE_FULL;
		}
		horizon = oldest + 1;
		dropped++;
	}
	const struct pin_part parts[2] = {{statement, size}, {signature, PIN_SIGNATURE_SIZE}};
	return append(store, kind, 0, parts, horizon, dropped);
}

enum store_result store_put_own_half(struct store *store, const uint8_t statement[STATEMENT_HALF_SIZE],
                                     const uint8_t signature[PIN_SIGNATURE_SIZE])
{
	enum store_result result = ready(store);
	if (result != STORE_OK) {
		return result;
	}
	struct half half;
	if (statement_parse_half(&half, statement, STATEMENT_HALF_SIZE) != STATEMENT_OK || half.counter == 0 ||
	    half.counter != store_next_counter(store)) {
		return STORE_REFUSED;
	}
	return put_statement(store, STORE_OWN_HALF, statement, STATEMENT_HALF_SIZE, signature);
}

enum store_result store_put_peer_half(struct store *store, const uint8_t statement[STATEMENT_HALF_SIZE],
                                      const uint8_t signature[PIN_SIGNATURE_SIZE])
{
	enum store_result result = ready(store);
	if (result != STORE_OK) {
		return result;
	}
	struct half half;
	if (statement_parse_half(&half, statement, STATEMENT_HALF_SIZE) != STATEMENT_OK) {
		return STORE_REFUSED;
	}
	return put_statement(store, STORE_PEER_HALF, statement, STATEMENT_HALF_SIZE, signature);
}

enum store_result store_put_step_report(struct store *store, const uint8_t *statement, size_t size,
                                        const uint8_t signature[PIN_SIGNATURE_SIZE])
{
	enum store_result result = ready(store);
	if (result != STORE_OK) {
		return result;
	}
	struct step_report report;
	if (statement_parse_steps(&report, statement, size) != STATEMENT_OK || report.counter == 0 ||
	    report.counter != store_next_counter(store)) {
		return STORE_REFUSED;
	}
	return put_statement(store, STORE_STEP_REPORT, statement, size, signature);
}

enum store_result store_put_state(struct store *store, uint8_t key, const void *state, size_t size)
{
	enum store_result result = ready(store);
	if (result != STORE_OK) {
		return result;
	}
	if (key >= STORE_STATES || size < 1 || size > STORE_STATE_SIZE) {
		return STORE_REFUSED;
	}
	uint32_t record = store->next_record;
	const struct pin_part parts[2] = {{state, size}, {NULL, 0}};
	result = append(store, STORE_STATE, key, parts, store->horizon, store->dropped);
	if (result == STORE_OK) {
		replace_state(store, key, record);
	}
	return result;
}

size_t store_get_state(const struct store *store, uint8_t key, void *state, size_t max)
{
	uint8_t image[SLOT_SIZE];
	uint32_t page, slot;
	if (ready(store) != STORE_OK || key >= STORE_STATES || store->state_record[key] == 0 ||
	    !find(store, store->states, store->state_record[key], &page, &slot) ||
	    !read_slot(store, page, slot, image) || image[SLOT_BYTES] > max) {
		return 0;
	}
	memcpy(state, image + SLOT_PAYLOAD, image[SLOT_BYTES]);
	return image[SLOT_BYTES];
}

static bool read_record(const struct store *store, uint32_t number, struct store_record *record)
{
	uint8_t image[SLOT_SIZE];
	uint32_t page, slot;
	if (!find(store, store->live, number, &page, &slot) || !read_slot(store, page, slot, image) ||
	    image[SLOT_BYTES] < PIN_SIGNATURE_SIZE || image[SLOT_BYTES] > STATEMENT_MAX_SIZE + PIN_SIGNATURE_SIZE) {
		return false;
	}
	record->record = number;
	record->kind = (enum store_kind)image[SLOT_KIND];
	record->size = (uint8_t)(image[SLOT_BYTES] - PIN_SIGNATURE_SIZE);
	memcpy(record->statement, image + SLOT_PAYLOAD, record->size);
	memcpy(record->signature, image + SLOT_PAYLOAD + record->size, PIN_SIGNATURE_SIZE);
	return true;
}

bool store_fetch(const struct store *store, uint32_t after, struct store_record *record)
{
	while (ready(store) == STORE_OK && (after = next_in(store, store->live, store->states, after)) != 0) {
		if (read_record(store, after, record)) {
			return true;
		}
	}
	return false;
}

bool store_acknowledge(struct store *store, uint32_t record)
{
	uint32_t page, slot;
	if (ready(store) != STORE_OK) {
		return false;
	}
	if (!find(store, store->live, record, &page, &slot) || (store->states[page] & 1u << slot) != 0) {
		return true;
	}
	if (!put_zeros(store, slot_at(page, slot) + SLOT_GONE, 4)) {
		return false;
	}
	mark_gone(store, page, slot);
	return true;
}
