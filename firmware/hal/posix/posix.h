/* The pin as a process: how it is wired. Its sockets speak what core/frame.h, inject.h and mirror.h say. */
#ifndef PINFOLD_HAL_POSIX_H
#define PINFOLD_HAL_POSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "inject.h"

/* A socket's path is dialled, and dialled again after it closed; "listen:PATH" is listened on, for one at a time. NULL
   leaves it unconnected: what is sent there is lost. */
struct posix_options {
	const char *flash;    /* file; made, erased, if it is not there. NULL = in memory only */
	const char *phone;    /* socket: frames of ToPin and FromPin */
	const char *peer;     /* socket: frames, each one datagram */
	const char *inject;   /* socket: frames of the commands in inject.h */
	const char *display;  /* socket: frames of runs of pixels, as in mirror.h */
	bool near;            /* another pin is near from the start */
	bool quiet;           /* hal_log says nothing */
	bool seeded;          /* random numbers follow from seed: tests only */
	uint64_t seed;
	uint32_t cut;         /* end the process within the so-many-th write of a word or erase of a page; 0 = never */
};

/* The exit status of a process whose power was cut. */
#define POSIX_CUT_STATUS 75

/* Opens the board. Says on stderr what is wrong and returns false if it cannot. Sockets that are not there yet are no
   error. */
bool posix_open(const struct posix_options *options);

/* Answers who looks. */
void posix_seen(const struct inject_seen *seen);

/* Whether a signal asked the process to end. */
bool posix_stopped(void);

#endif
