#include "mps2.h"

#include <string.h>

#include "cortex.h"
#include "frame.h"
#include "hal.h"
#include "inject.h"
#include "mirror.h"
#include "sodium/crypto_hash_sha256.h"
#include "uart.h"

#define FLASH_SIZE (HAL_FLASH_PAGE * HAL_FLASH_PAGES)
#define TICK_HZ 1000u
#define PATIENCE_MS 1000u

/* CMSDK timer 0 (ARM DDI 0479): counts down from 2^32 - 1 at the core's clock, again and again. */
#define TIMER_CONTROL (*(volatile uint32_t *)0x40000000u)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004u)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008u)

static struct inject injected;
static uint8_t peer_buffer[FRAME_BUFFER(HAL_PEER_MAX)], inject_buffer[FRAME_BUFFER(INJECT_MAX)];
static struct frame_decoder peer_frames, inject_frames;
static struct mirror mirror = {.shown = (uint16_t (*)[HAL_DISPLAY_SIZE])MPS2_DISPLAY};
static uint8_t outbox[2 * FRAME_ENCODED(HAL_PEER_MAX)]; /* datagrams that the UART did not take yet */
static size_t outbox_size;
static uint32_t timer_last;
static uint64_t cycles; /* since boot */
static uint8_t random_state[crypto_hash_sha256_BYTES];
static bool display_stuck;

static void say(const char *text) {
	(void)uart_write(UART_LOG, (const uint8_t *)text, strlen(text));
}

_Noreturn void mps2_halt(const char *why) {
	(void)cortex_mask_irqs();
	say(why);
	say("\nhalted\n");
	for (;;) {
		cortex_sleep();
	}
}

/* derive makes a hash of the random source's state, different for each use. */
static void derive(uint8_t out[crypto_hash_sha256_BYTES], const uint8_t state[crypto_hash_sha256_BYTES], uint8_t use) {
	uint8_t in[crypto_hash_sha256_BYTES + 1];
	memcpy(in, state, crypto_hash_sha256_BYTES);
	in[crypto_hash_sha256_BYTES] = use;
	crypto_hash_sha256(out, in, sizeof in);
}

enum { USE_NOW, USE_NEXT_BOOT, USE_OUTPUT, USE_NEXT };

static void open_random(void) {
	uint8_t *seed = (uint8_t *)MPS2_SEED;
	uint8_t any = 0;
	for (uint32_t i = 0; i < MPS2_SEED_SIZE; i++) {
		any |= seed[i];
	}
	if (any == 0) {
		mps2_halt("no random seed at 0x21020000");
	}
	uint8_t next[crypto_hash_sha256_BYTES];
	derive(random_state, seed, USE_NOW);
	derive(next, seed, USE_NEXT_BOOT);
	memcpy(seed, next, MPS2_SEED_SIZE);
}

void mps2_open(void) {
	TIMER_RELOAD = UINT32_MAX;
	TIMER_VALUE = UINT32_MAX;
	TIMER_CONTROL = 1;
	timer_last = UINT32_MAX;
	frame_decoder_init(&peer_frames, peer_buffer, sizeof peer_buffer);
	frame_decoder_init(&inject_frames, inject_buffer, sizeof inject_buffer);
	uart_open();
	cortex_tick(MPS2_CLOCK_HZ / TICK_HZ);
	open_random();
	*(volatile uint32_t *)MPS2_RUNNING = MPS2_RUNNING_WORD;
}

/* sense takes commands of tests for the sensors, as long as there is room for what they bring. */
static void sense(void) {
	uint8_t byte;
	while (inject_ready(&injected) && uart_read(UART_SENSORS, &byte, 1) == 1) {
		size_t size = frame_decode(&inject_frames, byte);
		if (size > 0) {
			inject_command(&injected, inject_buffer, size);
		}
	}
}

static bool in_flash(uint32_t offset, size_t size) {
	return offset <= FLASH_SIZE && size <= FLASH_SIZE - offset;
}

bool hal_flash_read(uint32_t offset, void *to, size_t size) {
	if (!in_flash(offset, size)) {
		return false;
	}
	memcpy(to, (const uint8_t *)MPS2_FLASH + offset, size);
	return true;
}

bool hal_flash_write(uint32_t offset, const void *from, size_t size) {
	if (!in_flash(offset, size) || offset % HAL_FLASH_WORD != 0 || size % HAL_FLASH_WORD != 0) {
		return false;
	}
	for (size_t i = 0; i < size; i += HAL_FLASH_WORD) {
		uint32_t word;
		memcpy(&word, (const uint8_t *)from + i, sizeof word);
		volatile uint32_t *cell = (volatile uint32_t *)(MPS2_FLASH + offset + i);
		*cell = *cell & word; /* one store: QEMU can be stopped between any two */
	}
	return true;
}

bool hal_flash_erase(uint32_t page) {
	if (page >= HAL_FLASH_PAGES) {
		return false;
	}
	memset((uint8_t *)MPS2_FLASH + page * HAL_FLASH_PAGE, 0xFF, HAL_FLASH_PAGE);
	return true;
}

uint32_t hal_millis(void) {
	uint32_t mask = cortex_mask_irqs();
	uint32_t value = TIMER_VALUE;
	cycles += timer_last - value;
	timer_last = value;
	uint32_t ms = (uint32_t)(cycles / (MPS2_CLOCK_HZ / 1000u));
	cortex_restore_irqs(mask);
	return ms + injected.ahead_ms;
}

void hal_random(void *to, size_t size) {
	uint8_t *p = to;
	while (size > 0) {
		uint8_t out[crypto_hash_sha256_BYTES], next[crypto_hash_sha256_BYTES];
		derive(out, random_state, USE_OUTPUT);
		derive(next, random_state, USE_NEXT); /* what was given out cannot be computed from what is kept */
		memcpy(random_state, next, sizeof next);
		size_t n = size < sizeof out ? size : sizeof out;
		memcpy(p, out, n);
		p += n;
		size -= n;
	}
}

static void flush_peer(void) {
	if (outbox_size > 0) {
		size_t n = uart_write(UART_PEER, outbox, outbox_size);
		outbox_size -= n;
		memmove(outbox, outbox + n, outbox_size);
	}
}

void hal_peer_send(const uint8_t *datagram, size_t size) {
	flush_peer();
	if (size <= HAL_PEER_MAX) {
		outbox_size += frame_encode(outbox + outbox_size, sizeof outbox - outbox_size, datagram, size);
		flush_peer();
	}
}

size_t hal_peer_receive(uint8_t *to, size_t max, int8_t *rssi_dbm) {
	uint8_t byte;
	for (int i = 0; i < HAL_PEER_NOISE && uart_read(UART_PEER, &byte, 1) == 1; i++) {
		size_t size = frame_decode(&peer_frames, byte);
		if (size > 0 && size <= max) {
			memcpy(to, peer_buffer, size);
			*rssi_dbm = injected.rssi_dbm;
			return size;
		}
	}
	return 0;
}

bool hal_peer_near(void) {
	sense();
	return injected.near;
}

size_t hal_phone_read(uint8_t *to, size_t max) {
	return uart_read(UART_PHONE, to, max);
}

size_t hal_phone_write(const uint8_t *from, size_t size) {
	return uart_write(UART_PHONE, from, size);
}

bool hal_accel_read(int16_t mg[3], uint32_t *time_ms) {
	struct inject_sample s;
	sense();
	if (!inject_take(&injected, &s)) {
		return false;
	}
	memcpy(mg, s.mg, sizeof s.mg);
	*time_ms = s.time_ms;
	return true;
}

bool hal_button_pressed(void) {
	sense();
	if (injected.presses == 0) {
		return false;
	}
	injected.presses--;
	return true;
}

/* write_all reports whether the UART took all bytes within the time. */
static bool write_all(enum uart u, const uint8_t *bytes, size_t size, uint32_t patience_ms) {
	uint32_t begin = hal_millis();
	while (size > 0) {
		size_t n = uart_write(u, bytes, size);
		bytes += n;
		size -= n;
		if (n == 0 && hal_millis() - begin >= patience_ms) {
			return false;
		}
	}
	return true;
}

/* show sends one frame of the mirror. Nobody may be looking on, or too slowly: then the display is given up until it
   takes bytes again. */
static void show(const uint8_t *bytes, size_t size) {
	display_stuck = !write_all(UART_DISPLAY, bytes, size, display_stuck ? 0 : PATIENCE_MS);
}

void hal_display_band(uint16_t top, uint16_t rows, const uint16_t *pixels) {
	for (uint16_t y = 0; y < rows; y++) {
		uint16_t x = 0;
		uint8_t runs[MIRROR_MAX], encoded[FRAME_ENCODED(MIRROR_MAX)];
		for (size_t size; (size = mirror_next(&mirror, runs, pixels + y * HAL_DISPLAY_SIZE, (uint8_t)(top + y), &x)) > 0;) {
			size = frame_encode(encoded, sizeof encoded, runs, size);
			show(encoded, size);
		}
	}
}

bool hal_display_lost(void) {
	sense();
	bool lost = injected.redraw;
	if (lost) {
		mirror_forget(&mirror);
	}
	injected.redraw = false;
	return lost;
}

void mps2_seen(const struct inject_seen *seen) {
	uint8_t answer[INJECT_ANSWER], encoded[FRAME_ENCODED(INJECT_ANSWER)];
	size_t size = inject_answer(&injected, seen, answer);
	(void)write_all(UART_SENSORS, encoded, frame_encode(encoded, sizeof encoded, answer, size), PATIENCE_MS);
}

void hal_log(const char *text) {
	say(text);
	say("\n");
}

void hal_idle(uint32_t ms) {
	uint32_t begin = hal_millis();
	flush_peer();
	while (hal_millis() - begin < ms && injected.count == 0 && injected.presses == 0) {
		uint32_t mask = cortex_mask_irqs();
		bool ready = uart_ready(UART_PHONE) || uart_ready(UART_PEER) || uart_ready(UART_SENSORS);
		if (!ready) {
			cortex_sleep(); /* a pending interrupt ends it, also while they are off */
		}
		cortex_restore_irqs(mask);
		if (ready) {
			return;
		}
	}
}
