/* An allowance for what must not happen too often: it grows with time up to a most, and each time takes its part of it. */
#ifndef PINFOLD_ALLOWANCE_H
#define PINFOLD_ALLOWANCE_H

#include <stdint.h>

/* Returns the allowance of had_ms, at most most_ms, after passed_ms more. */
static inline uint32_t allowance_grow(uint32_t had_ms, uint32_t passed_ms, uint32_t most_ms) {
	return passed_ms > most_ms - had_ms ? most_ms : had_ms + passed_ms;
}

#endif
