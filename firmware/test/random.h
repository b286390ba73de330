/* A small seeded random generator for tests: splitmix64. */
#ifndef PINFOLD_TEST_RANDOM_H
#define PINFOLD_TEST_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_u64(struct random *random)
{
	uint64_t z = random->state += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static inline uint32_t random_u32(struct random *random)
{
	return (uint32_t)(random_u64(random) >> 32);
}

/* A number from 0 to n - 1. */
static inline uint32_t random_below(struct random *random, uint32_t n)
{
	return (uint32_t)((random_u64(random) >> 32) * n >> 32);
}

static inline void random_fill(struct random *random, uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		to[i] = (uint8_t)random_u64(random);
	}
}

/* The number in the environment variable, or another. */
static inline uint32_t number_from(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);
	return text == NULL ? otherwise : (uint32_t)strtoul(text, NULL, 10);
}

#endif
