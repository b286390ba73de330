#include "fake_hal.h"

#include <string.h>

static struct fake *used;

void fake_init(struct fake *fake, uint64_t seed) {
	memset(fake, 0, sizeof *fake);
	memset(fake->flash, 0xFF, sizeof fake->flash);
	fake->random = seed;
	fake->phone_room = SIZE_MAX;
}

void fake_use(struct fake *fake) {
	used = fake;
}

/* due counts down to the one that fails. */
static bool due(uint32_t *left) {
	return *left > 0 && --*left == 0;
}

bool hal_flash_read(uint32_t offset, void *to, size_t size) {
	used->reads++;
	if (due(&used->fail_read) || used->flash_fails || offset > sizeof used->flash || size > sizeof used->flash - offset) {
		return false;
	}
	memcpy(to, used->flash + offset, size);
	return true;
}

bool hal_flash_write(uint32_t offset, const void *from, size_t size) {
	if (due(&used->fail_change) || used->flash_fails || offset % 4 != 0 || size % 4 != 0 || offset > sizeof used->flash || size > sizeof used->flash - offset) {
		return false;
	}
	for (size_t i = 0; i < size; i++) {
		used->flash[offset + i] &= ((const uint8_t *)from)[i];
	}
	used->writes += (uint32_t)(size / 4);
	return true;
}

bool hal_flash_erase(uint32_t page) {
	if (due(&used->fail_change) || used->flash_fails || page >= HAL_FLASH_PAGES) {
		return false;
	}
	memset(used->flash + page * HAL_FLASH_PAGE, 0xFF, HAL_FLASH_PAGE);
	used->erases[page]++;
	used->writes++;
	return true;
}

uint32_t hal_millis(void) {
	return used->millis;
}

void hal_random(void *to, size_t size) {
	for (size_t i = 0; i < size; i++) {
		used->random = used->random * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)to)[i] = (uint8_t)(used->random >> 40);
	}
}

void hal_peer_send(const uint8_t *datagram, size_t size) {
	for (size_t i = 0; i < sizeof used->peers / sizeof used->peers[0]; i++) {
		struct fake *peer = used->peers[i];
		if (peer == NULL || peer->inbox_count == FAKE_QUEUE || (used->drop != NULL && used->drop(used->drop_ctx, datagram))) {
			continue;
		}
		struct fake_datagram *d = &peer->inbox[(peer->inbox_first + peer->inbox_count++) % FAKE_QUEUE];
		memcpy(d->bytes, datagram, size);
		d->size = size;
	}
}

size_t hal_peer_receive(uint8_t *to, size_t max, int8_t *rssi_dbm) {
	if (used->inbox_count == 0) {
		return 0;
	}
	struct fake_datagram *d = &used->inbox[used->inbox_first];
	used->inbox_first = (used->inbox_first + 1) % FAKE_QUEUE;
	used->inbox_count--;
	*rssi_dbm = 0;
	if (d->size > max) {
		return 0;
	}
	memcpy(to, d->bytes, d->size);
	return d->size;
}

bool hal_peer_near(void) {
	return used->near;
}

size_t hal_phone_read(uint8_t *to, size_t max) {
	size_t n = used->to_pin_size - used->to_pin_read;
	n = n < max ? n : max;
	memcpy(to, used->to_pin + used->to_pin_read, n);
	used->to_pin_read += n;
	if (used->to_pin_read == used->to_pin_size) {
		used->to_pin_read = used->to_pin_size = 0;
	}
	return n;
}

size_t hal_phone_write(const uint8_t *from, size_t size) {
	size_t room = sizeof used->from_pin - used->from_pin_size;
	size_t n = size < used->phone_room ? size : used->phone_room;
	n = n < room ? n : room;
	memcpy(used->from_pin + used->from_pin_size, from, n);
	used->from_pin_size += n;
	if (used->phone_room != SIZE_MAX) {
		used->phone_room -= n;
	}
	return n;
}

bool hal_accel_read(int16_t mg[3], uint32_t *time_ms) {
	if (used->sample_next == used->samples) {
		used->samples = used->sample_next = 0;
		return false;
	}
	memcpy(mg, used->mg[used->sample_next], sizeof used->mg[0]);
	*time_ms = used->sample_ms[used->sample_next++];
	return true;
}

bool hal_button_pressed(void) {
	if (used->presses == 0) {
		return false;
	}
	used->presses--;
	return true;
}

void hal_display_band(uint16_t top, uint16_t rows, const uint16_t *pixels) {
	memcpy(used->frame + top * HAL_DISPLAY_SIZE, pixels, rows * HAL_DISPLAY_SIZE * sizeof *pixels);
	used->bands++;
}

bool hal_display_lost(void) {
	bool lost = used->lost;
	used->lost = false;
	return lost;
}

void hal_log(const char *text) {
	(void)text;
}

void hal_idle(uint32_t ms) {
	used->millis += ms;
}
