#define _GNU_SOURCE
#include "posix.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "flash.h"
#include "frame.h"
#include "hal.h"
#include "inject.h"
#include "link.h"
#include "mirror.h"
#include "sodium/crypto_hash_sha256.h"

/* A datagram is sent whole or not at all, so what a full socket did not take waits here. */
struct outbox {
	uint8_t bytes[4 * FRAME_ENCODED(HAL_PEER_MAX)];
	size_t size;
};

static struct posix_options options;
static struct link phone, peer, sensors, display;
static struct inject injected;
static struct outbox outbox;
static uint8_t peer_buffer[FRAME_BUFFER(HAL_PEER_MAX)], inject_buffer[FRAME_BUFFER(INJECT_MAX)];
static struct frame_decoder peer_frames, inject_frames;
static uint16_t display_memory[HAL_DISPLAY_SIZE][HAL_DISPLAY_SIZE];
static struct mirror mirror = {.shown = display_memory};
static int64_t boot_ms;
static uint64_t draws;
static volatile sig_atomic_t stopped;

static int64_t now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void stop(int signal) {
	(void)signal;
	stopped = 1;
}

bool posix_stopped(void) {
	return stopped != 0;
}

bool posix_open(const struct posix_options *wanted) {
	options = *wanted;
	boot_ms = now_ms();
	injected.near = options.near;
	frame_decoder_init(&peer_frames, peer_buffer, sizeof peer_buffer);
	frame_decoder_init(&inject_frames, inject_buffer, sizeof inject_buffer);
	struct sigaction action = {.sa_handler = stop};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	return flash_open(options.flash, options.cut) && link_open(&phone, options.phone) && link_open(&peer, options.peer) &&
	       link_open(&sensors, options.inject) && link_open(&display, options.display);
}

/* sense takes commands of tests for the sensors, as long as there is room for what they bring. */
static void sense(void) {
	uint8_t byte;
	while (inject_ready(&injected) && link_read(&sensors, &byte, 1) == 1) {
		size_t size = frame_decode(&inject_frames, byte);
		if (size > 0) {
			inject_command(&injected, inject_buffer, size);
		}
	}
}

uint32_t hal_millis(void) {
	return (uint32_t)(now_ms() - boot_ms) + injected.ahead_ms;
}

/* seeded_random gives the same bytes for the same seed in every run. */
static void seeded_random(uint8_t *to, size_t size) {
	while (size > 0) {
		const uint64_t in[2] = {options.seed, draws++};
		uint8_t out[crypto_hash_sha256_BYTES];
		crypto_hash_sha256(out, (const uint8_t *)in, sizeof in);
		size_t n = size < sizeof out ? size : sizeof out;
		memcpy(to, out, n);
		to += n;
		size -= n;
	}
}

void hal_random(void *to, size_t size) {
	if (options.seeded) {
		seeded_random(to, size);
		return;
	}
	uint8_t *p = to;
	while (size > 0) {
		ssize_t n = getrandom(p, size, 0);
		if (n < 0) {
			abort(); /* no key and no nonce without it */
		}
		p += n;
		size -= (size_t)n;
	}
}

static void flush_peer(void) {
	if (outbox.size > 0) {
		size_t n = link_write(&peer, outbox.bytes, outbox.size);
		outbox.size -= n;
		memmove(outbox.bytes, outbox.bytes + n, outbox.size);
	}
}

void hal_peer_send(const uint8_t *datagram, size_t size) {
	uint8_t encoded[FRAME_ENCODED(HAL_PEER_MAX)];
	size_t n = size <= HAL_PEER_MAX ? frame_encode(encoded, sizeof encoded, datagram, size) : 0;
	flush_peer();
	if (n > 0 && n <= sizeof outbox.bytes - outbox.size) {
		memcpy(outbox.bytes + outbox.size, encoded, n);
		outbox.size += n;
		flush_peer();
	}
}

size_t hal_peer_receive(uint8_t *to, size_t max, int8_t *rssi_dbm) {
	uint8_t byte;
	for (int i = 0; i < HAL_PEER_NOISE && link_read(&peer, &byte, 1) == 1; i++) {
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
	return link_read(&phone, to, max);
}

size_t hal_phone_write(const uint8_t *from, size_t size) {
	return link_write(&phone, from, size);
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

void hal_display_band(uint16_t top, uint16_t rows, const uint16_t *pixels) {
	for (uint16_t y = 0; y < rows; y++) {
		uint16_t x = 0;
		uint8_t runs[MIRROR_MAX], encoded[FRAME_ENCODED(MIRROR_MAX)];
		for (size_t size; (size = mirror_next(&mirror, runs, pixels + y * HAL_DISPLAY_SIZE, (uint8_t)(top + y), &x)) > 0;) {
			size = frame_encode(encoded, sizeof encoded, runs, size);
			link_write_all(&display, encoded, size);
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

void posix_seen(const struct inject_seen *seen) {
	uint8_t answer[INJECT_ANSWER], encoded[FRAME_ENCODED(INJECT_ANSWER)];
	size_t size = inject_answer(&injected, seen, answer);
	link_write_all(&sensors, encoded, frame_encode(encoded, sizeof encoded, answer, size));
}

void hal_log(const char *text) {
	if (!options.quiet) {
		fprintf(stderr, "%u.%03u %s\n", hal_millis() / 1000, hal_millis() % 1000, text);
	}
}

void hal_idle(uint32_t ms) {
	flush_peer();
	if (injected.count > 0 || injected.presses > 0 || link_ready(&peer) || link_ready(&sensors)) {
		return;
	}
	struct pollfd waits[] = {
		{.fd = link_wait(&phone), .events = POLLIN},
		{.fd = link_wait(&peer), .events = POLLIN},
		{.fd = link_wait(&sensors), .events = POLLIN},
	};
	poll(waits, sizeof waits / sizeof waits[0], (int)ms);
}
