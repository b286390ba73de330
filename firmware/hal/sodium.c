/* What libsodium's Ed25519 wants of the rest of libsodium, which is not built: it brings memory locking, guarded heaps
   and the random sources of many systems. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "sodium/randombytes.h"
#include "sodium/utils.h"

void sodium_memzero(void *const pnt, const size_t len) {
	volatile uint8_t *p = pnt;
	for (size_t i = 0; i < len; i++) {
		p[i] = 0;
	}
}

int sodium_memcmp(const void *const b1_, const void *const b2_, size_t len) {
	const volatile uint8_t *a = b1_;
	const volatile uint8_t *b = b2_;
	unsigned differ = 0;
	for (size_t i = 0; i < len; i++) {
		differ |= (unsigned)(a[i] ^ b[i]);
	}
	return differ == 0 ? 0 : -1;
}

int sodium_is_zero(const unsigned char *n, const size_t nlen) {
	const volatile uint8_t *p = n;
	unsigned any = 0;
	for (size_t i = 0; i < nlen; i++) {
		any |= p[i];
	}
	return any == 0;
}

/* Keys come from seeds of hal_random; libsodium is never asked for random bytes. */
void randombytes_buf(void *const buf, const size_t size) {
	(void)buf;
	(void)size;
	abort();
}
