#include "pin.h"

#include <string.h>

#include "allowance.h"
#include "bytes.h"
#include "hal.h"

/* What one round takes at most, so that no link holds up the others. */
#define DATAGRAMS 16
#define SAMPLES 64

#define MOUNT_AGAIN_MS 1000u
#define SLOTS_IN_DAY 96

/* Pieces of state in the store. */
#define STATE_STEPS 0u
#define STATE_FACE 1u

#define STEPS_SAVED_SIZE 20u
#define STEPS_VERSION 2u

static bool flash_read(void *ctx, uint32_t offset, void *to, size_t size) {
	(void)ctx;
	return hal_flash_read(offset, to, size);
}

static bool flash_write(void *ctx, uint32_t offset, const void *from, size_t size) {
	(void)ctx;
	return hal_flash_write(offset, from, size);
}

static bool flash_erase(void *ctx, uint32_t page) {
	(void)ctx;
	return hal_flash_erase(page);
}

static const struct flash flash = {.read = flash_read, .write = flash_write, .erase = flash_erase};

static void tap_send(void *ctx, const uint8_t *frame, size_t size) {
	(void)ctx;
	hal_peer_send(frame, size);
}

static uint32_t tap_room(void *ctx) {
	return store_room(&((struct pin *)ctx)->store);
}

static uint32_t tap_next_counter(void *ctx) {
	return store_next_counter(&((struct pin *)ctx)->store);
}

static bool tap_put_own(void *ctx, const uint8_t *statement, const uint8_t *signature) {
	return store_put_own_half(&((struct pin *)ctx)->store, statement, signature) == STORE_OK;
}

static bool tap_put_peer(void *ctx, const uint8_t *statement, const uint8_t *signature) {
	return store_put_peer_half(&((struct pin *)ctx)->store, statement, signature) == STORE_OK;
}

/* begin takes up the identity that the store holds. */
static bool begin(struct pin *pin, uint32_t now_ms) {
	uint8_t seed[PIN_SEED_SIZE];
	if (store_identity(&pin->store, seed) != STORE_OK) {
		return false;
	}
	pin_keypair(pin->public_key, pin->secret_key, seed);
	statement_pin_id(pin->id, pin->public_key);
	struct tap_port port = {.ctx = pin,
							.send = tap_send,
							.room = tap_room,
							.next_counter = tap_next_counter,
							.put_own_half = tap_put_own,
							.put_peer_half = tap_put_peer};
	tap_init(&pin->tap, port, seed, pin->link, now_ms);
	pin_forget(seed, sizeof seed);
	return true;
}

/* provision makes the pin a new one. */
static bool provision(struct pin *pin) {
	uint8_t seed[PIN_SEED_SIZE];
	hal_random(seed, sizeof seed);
	bool made = store_provision(&pin->store, seed) == STORE_OK;
	pin_forget(seed, sizeof seed);
	return made;
}

/* The saved steps: version, zone in quarter hours + 96, u16 steps of the slot, u32 slot, u32 day, u32 steps of the day, u32
   step reports whose loss a phone knows of. */
static void load_steps(struct pin *pin) {
	uint8_t s[STEPS_SAVED_SIZE];
	if (store_get_state(&pin->store, STATE_STEPS, s, sizeof s) != sizeof s || s[0] != STEPS_VERSION) {
		return;
	}
	pin->offset_quarters = (int32_t)s[1] - SLOTS_IN_DAY;
	tally_restore(&pin->tally, get32(s + 4), get16(s + 2));
	pin->day = get32(s + 8);
	pin->day_steps = get32(s + 12);
	pin->seen_dropped = get32(s + 16) < store_dropped(&pin->store) ? get32(s + 16) : store_dropped(&pin->store);
}

static void save_steps(struct pin *pin, uint32_t now_ms) {
	uint8_t s[STEPS_SAVED_SIZE] = {STEPS_VERSION, (uint8_t)(pin->offset_quarters + SLOTS_IN_DAY)};
	put16(s + 2, pin->tally.steps);
	put32(s + 4, pin->tally.slot);
	put32(s + 8, pin->day);
	put32(s + 12, pin->day_steps);
	put32(s + 16, pin->seen_dropped);
	pin->steps_dirty = store_put_state(&pin->store, STATE_STEPS, s, sizeof s) != STORE_OK;
	pin->steps_saved_ms = now_ms;
}

static void save_face(struct pin *pin, uint32_t now_ms) {
	uint8_t saved[FACE_SAVED_SIZE];
	face_save(&pin->face, saved);
	pin->face_dirty = store_put_state(&pin->store, STATE_FACE, saved, sizeof saved) != STORE_OK;
	pin->face_saved_ms = now_ms;
}

/* save saves what has changed, but a phone or a walk that changes it all the time must not wear out the flash. */
static void save(struct pin *pin, uint32_t now_ms) {
	if (pin->steps_dirty && now_ms - pin->steps_saved_ms >= PIN_SAVE_MS) {
		save_steps(pin, now_ms);
	}
	if (pin->face_dirty && now_ms - pin->face_saved_ms >= PIN_SAVE_MS) {
		save_face(pin, now_ms);
	}
}

/* forget drops what is known of the wearer. */
static void forget(struct pin *pin) {
	steps_init(&pin->steps);
	tally_init(&pin->tally);
	tally_init(&pin->unreported);
	memset(&pin->face, 0, sizeof pin->face);
	pin->day = 0;
	pin->day_steps = 0;
	pin->steps_dirty = false;
	pin->face_dirty = false;
	pin->seen_dropped = 0;
}

/* mount makes the flash usable, and the pin ready: the first time, and after a wipe that failed. */
static void mount(struct pin *pin, uint32_t now_ms) {
	pin->mounted_ms = now_ms;
	enum store_result r = store_mount(&pin->store, flash);
	if (r == STORE_NO_IDENTITY && provision(pin)) {
		r = STORE_OK;
		pin->ready = false;
		hal_log("a new pin");
	}
	if (r != STORE_OK || pin->ready) {
		return;
	}
	pin->ready = begin(pin, now_ms);
	if (pin->ready) {
		uint8_t saved[FACE_SAVED_SIZE];
		forget(pin);
		load_steps(pin);
		face_load(&pin->face, saved, store_get_state(&pin->store, STATE_FACE, saved, sizeof saved));
		pin->known_next = store_next_record(&pin->store);
		pin->phone.announce = true;
	}
}

void pin_init(struct pin *pin, enum half_link link) {
	memset(pin, 0, sizeof *pin);
	uint32_t now_ms = hal_millis();
	pin->link = link;
	clock_init(&pin->clock, now_ms);
	steps_init(&pin->steps);
	tally_init(&pin->tally);
	pin->reports_ms = PIN_REPORTS * PIN_REPORT_MS;
	pin->walked_ms = now_ms;
	phone_init(&pin->phone);
	screen_init(&pin->screen);
	pin->steps_saved_ms = now_ms - PIN_SAVE_MS;
	pin->face_saved_ms = now_ms - PIN_SAVE_MS;
	mount(pin, now_ms);
}

bool pin_wipe(struct pin *pin) {
	uint32_t now_ms = hal_millis();
	/* Where the flash fails halfway it may hold the new identity, or will after the next mount: nothing is signed with the old
	   key until that has said whose the counter is. */
	pin->ready = provision(pin) && begin(pin, now_ms);
	if (!pin->ready) {
		return false;
	}
	forget(pin);
	pin->known_next = store_next_record(&pin->store);
	hal_log("wiped: a new pin");
	return true;
}

uint32_t pin_day(struct pin *pin, uint32_t now_ms) {
	uint32_t slot = clock_slot(clock_now(&pin->clock, now_ms));
	int64_t local = (int64_t)slot + pin->offset_quarters;
	return slot == 0 || local < 0 ? 0 : (uint32_t)(local / SLOTS_IN_DAY);
}

uint32_t pin_steps_today(struct pin *pin, uint32_t now_ms) {
	uint32_t day = pin_day(pin, now_ms);
	return day != 0 && day == pin->day ? pin->day_steps : 0;
}

/* report signs and stores the steps of a slot that is closed; where the flash fails, again later. */
static void report(struct pin *pin, const struct tally *closed) {
	struct step_report r = {.counter = store_next_counter(&pin->store), .first_slot = closed->slot, .n = 1, .steps = {closed->steps}};
	memcpy(r.pin, pin->id, sizeof r.pin);
	uint8_t statement[STATEMENT_MAX_SIZE], signature[PIN_SIGNATURE_SIZE];
	size_t size;
	if (pin->store.broken) {
		pin->unreported = *closed;
		return;
	}
	if (r.counter == 0 || statement_build_steps(statement, &size, &r) != STATEMENT_OK) {
		return;
	}
	pin_sign(signature, statement, size, pin->secret_key);
	/* A full store counts it as dropped. */
	pin->unreported = store_put_step_report(&pin->store, statement, size, signature) == STORE_FLASH ? *closed : (struct tally){0};
}

/* walk counts the steps of the samples that came, and closes the slot when its time is over. */
static void walk(struct pin *pin, uint32_t now_ms) {
	uint32_t steps = 0;
	int16_t mg[3];
	uint32_t time_ms;
	for (int i = 0; i < SAMPLES && hal_accel_read(mg, &time_ms); i++) {
		steps += steps_sample(&pin->steps, time_ms, mg[0], mg[1], mg[2]);
	}
	uint32_t day = pin_day(pin, now_ms);
	struct tally closed;
	bool close = tally_add(&pin->tally, clock_slot(clock_now(&pin->clock, now_ms)), steps, &closed);
	if (day != 0 && steps > 0) {
		pin->day_steps = steps + (day == pin->day ? pin->day_steps : 0);
		pin->day = day;
		pin->steps_dirty = true;
	}
	pin->reports_ms = allowance_grow(pin->reports_ms, now_ms - pin->walked_ms, PIN_REPORTS * PIN_REPORT_MS);
	pin->walked_ms = now_ms;
	if (close && pin->reports_ms < PIN_REPORT_MS) {
		pin->steps_dirty = true;
	} else if (close) {
		pin->reports_ms -= PIN_REPORT_MS;
		report(pin, &closed);
		save_steps(pin, now_ms);
	} else if (pin->unreported.steps > 0 && !pin->store.broken) {
		closed = pin->unreported;
		report(pin, &closed);
	}
}

static void meet(struct pin *pin, uint32_t now_ms) {
	if (tap_needs_nonce(&pin->tap)) {
		uint8_t nonce[STATEMENT_NONCE_SIZE];
		hal_random(nonce, sizeof nonce);
		tap_give_nonce(&pin->tap, nonce);
	}
	tap_step(&pin->tap, now_ms, hal_peer_near());
	uint8_t datagram[HAL_PEER_MAX];
	for (int i = 0; i < DATAGRAMS; i++) {
		int8_t rssi = 0;
		size_t size = hal_peer_receive(datagram, sizeof datagram, &rssi);
		if (size == 0) {
			return;
		}
		tap_receive(&pin->tap, now_ms, clock_now(&pin->clock, now_ms), datagram, size, rssi);
	}
}

/* press gives a press of the button to whoever waits for one. */
static void press(struct pin *pin, uint32_t now_ms) {
	if (!phone_press(&pin->phone) && pin->ready) {
		tap_cancel(&pin->tap, now_ms);
	}
}

static void view(struct pin *pin, struct face_view *view, uint32_t now_ms) {
	face_view_init(view);
	memcpy(&view->face, &pin->face, sizeof view->face); /* with its padding, which is 0: views are compared as bytes */
	uint32_t day = pin_day(pin, now_ms);
	uint32_t own = pin_steps_today(pin, now_ms);
	uint32_t told = day == pin->face.day ? pin->face.steps : 0;
	view->steps = own > told ? own : told;
	view->face.steps = 0; /* what is not shown must not cause a new picture */
	view->face.day = 0;
	view->clock_set = day != 0;
	view->tap = pin->ready ? tap_state(&pin->tap) : TAP_IDLE;
	view->prompt = pin->phone.prompt;
	view->broken = !pin->ready || pin->store.broken;
	view->dropped = pin->ready ? store_dropped(&pin->store) - pin->seen_dropped : 0;
	view->full = pin->ready && !view->broken && store_room(&pin->store) < 2;
}

static void show(struct pin *pin, uint32_t now_ms) {
	struct face_view now;
	uint16_t top;
	if (hal_display_lost()) {
		screen_redraw(&pin->screen);
	}
	view(pin, &now, now_ms);
	if (screen_step(&pin->screen, &now, &top)) {
		hal_display_band(top, SCREEN_ROWS, pin->screen.pixels);
	}
	if (pin->screen.next == pin->screen.end) {
		phone_shown(&pin->phone, pin->screen.drawn.broken ? PHONE_NOTHING : pin->screen.drawn.prompt, now_ms);
	}
}

/* tell_phone lets the phone know of new records. Their number would not do: one may come while another is acknowledged. */
static void tell_phone(struct pin *pin) {
	if (pin->store.broken) {
		return; /* what it holds is not known */
	}
	uint32_t next = store_next_record(&pin->store);
	if (next != pin->known_next) {
		struct store_record record;
		if (store_fetch(&pin->store, pin->known_next - 1, &record)) {
			pin->phone.announce = true;
		}
		pin->known_next = next;
	}
	uint32_t records = store_records(&pin->store);
	if (records == 0 && pin->seen_dropped != store_dropped(&pin->store)) {
		pin->seen_dropped = store_dropped(&pin->store);
		pin->steps_dirty = true;
	}
}

void pin_poll(struct pin *pin) {
	uint32_t now_ms = hal_millis();
	if ((!pin->ready || pin->store.broken) && now_ms - pin->mounted_ms >= MOUNT_AGAIN_MS) {
		mount(pin, now_ms);
	}
	if (hal_button_pressed()) {
		press(pin, now_ms);
	}
	if (pin->ready) {
		meet(pin, now_ms);
		walk(pin, now_ms);
		save(pin, now_ms);
		tell_phone(pin);
	}
	phone_poll(pin, now_ms);
	show(pin, now_ms);
}
