#include "crypto.h"

#include "sodium/crypto_hash_sha256.h"
#include "sodium/crypto_sign_ed25519.h"
#include "sodium/utils.h"

void pin_sha256(uint8_t hash[PIN_HASH_SIZE], const struct pin_part *parts, size_t n)
{
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].size > 0) {
			crypto_hash_sha256_update(&state, parts[i].data, parts[i].size);
		}
	}
	crypto_hash_sha256_final(&state, hash);
}

/* The libsodium functions below report failure only where a key or signature is bad. */

void pin_keypair(uint8_t public_key[PIN_PUBLIC_KEY_SIZE], uint8_t secret_key[PIN_SECRET_KEY_SIZE],
                 const uint8_t seed[PIN_SEED_SIZE])
{
	(void)crypto_sign_ed25519_seed_keypair(public_key, secret_key, seed);
}

void pin_sign(uint8_t signature[PIN_SIGNATURE_SIZE], const uint8_t *message, size_t size,
              const uint8_t secret_key[PIN_SECRET_KEY_SIZE])
{
	(void)crypto_sign_ed25519_detached(signature, NULL, message, size, secret_key);
}

bool pin_verify(const uint8_t signature[PIN_SIGNATURE_SIZE], const uint8_t *message, size_t size,
                const uint8_t public_key[PIN_PUBLIC_KEY_SIZE])
{
	return crypto_sign_ed25519_verify_detached(signature, message, size, public_key) == 0;
}

void pin_forget(void *secret, size_t size)
{
	sodium_memzero(secret, size);
}
