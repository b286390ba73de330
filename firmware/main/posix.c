/* The pin as a process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hal.h"
#include "pin.h"
#include "posix/posix.h"

#define ROUND_MS 10

static struct pin pin;

static int usage(void) {
	fputs("usage: pin [--flash FILE] [--phone SOCKET] [--peer SOCKET] [--inject SOCKET] [--display SOCKET]\n"
		  "           [--near] [--quiet] [--seed NUMBER] [--cut NUMBER]\n"
		  "A SOCKET is dialled, or with listen: before it listened on.\n",
		  stderr);
	return 2;
}

static bool number(const char *text, uint64_t max, uint64_t *to) {
	char *end;
	*to = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && *to <= max;
}

/* with takes an option that has a value. */
static bool with(struct posix_options *o, const char *name, const char *value) {
	uint64_t n;
	if (strcmp(name, "--flash") == 0) {
		o->flash = value;
	} else if (strcmp(name, "--phone") == 0) {
		o->phone = value;
	} else if (strcmp(name, "--peer") == 0) {
		o->peer = value;
	} else if (strcmp(name, "--inject") == 0) {
		o->inject = value;
	} else if (strcmp(name, "--display") == 0) {
		o->display = value;
	} else if (strcmp(name, "--seed") == 0 && number(value, UINT64_MAX, &n)) {
		o->seeded = true;
		o->seed = n;
	} else if (strcmp(name, "--cut") == 0 && number(value, UINT32_MAX, &n)) {
		o->cut = (uint32_t)n;
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv) {
	struct posix_options o = {0};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--near") == 0) {
			o.near = true;
		} else if (strcmp(argv[i], "--quiet") == 0) {
			o.quiet = true;
		} else if (i + 1 == argc || !with(&o, argv[i], argv[i + 1])) {
			return usage();
		} else {
			i++;
		}
	}
	if (!posix_open(&o)) {
		return 1;
	}
	pin_init(&pin, HALF_LINK_WIRE);
	while (!posix_stopped()) {
		pin_poll(&pin);
		posix_seen(&(struct inject_seen){
			.tap = (uint8_t)tap_state(&pin.tap), .apart = tap_apart(&pin.tap), .taps = tap_friends(&pin.tap)});
		hal_idle(ROUND_MS);
	}
	return 0;
}
