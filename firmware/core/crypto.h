/* Ed25519 (RFC 8032) and SHA-256 for the pin, by libsodium. Nothing here keeps state or fails. */
#ifndef PINFOLD_CRYPTO_H
#define PINFOLD_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIN_SEED_SIZE 32u
#define PIN_PUBLIC_KEY_SIZE 32u
#define PIN_SECRET_KEY_SIZE 64u /* the seed, then the public key, as Go's ed25519.PrivateKey */
#define PIN_SIGNATURE_SIZE 64u
#define PIN_HASH_SIZE 32u

/* Bytes to be hashed. data may be NULL where size is 0. */
struct pin_part {
	const void *data;
	size_t size;
};

/* Writes the SHA-256 of the n parts, one after the other. */
void pin_sha256(uint8_t hash[PIN_HASH_SIZE], const struct pin_part *parts, size_t n);

/* Derives the key pair of a seed, RFC 8032 section 5.1.5. */
void pin_keypair(uint8_t public_key[PIN_PUBLIC_KEY_SIZE], uint8_t secret_key[PIN_SECRET_KEY_SIZE],
				 const uint8_t seed[PIN_SEED_SIZE]);

/* Signs the bytes. The same key and bytes always give the same signature. */
void pin_sign(uint8_t signature[PIN_SIGNATURE_SIZE], const uint8_t *message, size_t size,
			  const uint8_t secret_key[PIN_SECRET_KEY_SIZE]);

/* Reports whether it is the key's signature over exactly these bytes. Refuses a second part that is not reduced, as
 * RFC 8032 section 5.1.7 demands, and keys and first parts of small order or not in canonical form. */
bool pin_verify(const uint8_t signature[PIN_SIGNATURE_SIZE], const uint8_t *message, size_t size,
				const uint8_t public_key[PIN_PUBLIC_KEY_SIZE]);

/* Overwrites secrets with zeros, in a way that no compiler leaves out. */
void pin_forget(void *secret, size_t size);

#endif
