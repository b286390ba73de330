/* A link to the outside: one end of a unix stream socket, dialled or listened on, that may come and go. */
#ifndef PINFOLD_HAL_LINK_H
#define PINFOLD_HAL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link {
	const char *path;    /* NULL = never connected */
	bool listens;
	int listener, fd;    /* -1 = none */
	int64_t dialled_ms;  /* when it was last tried */
	uint8_t ahead[512];  /* read from the socket, and not by link_read yet */
	size_t first, count; /* of ahead */
};

/* Makes the link of a posix_options path, and tries to connect it. False, and a word on stderr, if the path can never
   be used. */
bool link_open(struct link *l, const char *path);

/* Reads up to max bytes and returns how many; 0 = none are there. */
size_t link_read(struct link *l, uint8_t *to, size_t max);

/* Writes what there is room for and returns how many bytes were taken. While nobody is at the other end, all are
   taken, and lost. */
size_t link_write(struct link *l, const uint8_t *from, size_t size);

/* Writes all; waits at most a second for room, then hangs up. */
void link_write_all(struct link *l, const uint8_t *from, size_t size);

/* Whether link_read has bytes without asking the socket. */
bool link_ready(const struct link *l);

/* The descriptor to wait on for something to read, -1 = none. */
int link_wait(const struct link *l);

#endif
