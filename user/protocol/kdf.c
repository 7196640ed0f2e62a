/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/kdf.h"

#include <sodium.h>
#include <string.h>

#include "crypto/blake2s.h"

void hash_mix(uint8_t out[KEY_SIZE], const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct blake2s state;

	blake2s_init(&state, KEY_SIZE, NULL, 0);
	blake2s_update(&state, a, a_len);
	if (b_len)
		blake2s_update(&state, b, b_len);
	blake2s_final(&state, out);
}

void mac(uint8_t out[COOKIE_SIZE], const uint8_t *key, size_t key_len, const void *in, size_t len)
{
	struct blake2s state;

	blake2s_init(&state, COOKIE_SIZE, key, key_len);
	blake2s_update(&state, in, len);
	blake2s_final(&state, out);
}

/* RFC 2104 over BLAKE2s, whose block is 64 bytes. */
void hmac(uint8_t out[KEY_SIZE], const uint8_t *key, size_t key_len, const void *in, size_t len)
{
	uint8_t pad[BLAKE2S_BLOCK] = {0};
	uint8_t inner[KEY_SIZE];

	if (key_len > sizeof(pad))
		hash_mix(pad, key, key_len, NULL, 0);
	else
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	hash_mix(inner, pad, sizeof(pad), in, len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash_mix(out, pad, sizeof(pad), inner, sizeof(inner));
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

/* RFC 5869 with an empty info: T(n) = HMAC(prk, T(n-1) || n). */
void kdf(uint8_t *first, uint8_t *second, uint8_t *third, const uint8_t chaining_key[KEY_SIZE],
	 const void *in, size_t len)
{
	uint8_t *const outputs[] = {first, second, third};
	uint8_t pseudo_random_key[KEY_SIZE];
	uint8_t block[KEY_SIZE + 1];
	size_t previous = 0;

	hmac(pseudo_random_key, chaining_key, KEY_SIZE, in, len);
	for (uint8_t i = 0; i < 3 && outputs[i]; i++) {
		block[previous] = (uint8_t)(i + 1);
		hmac(outputs[i], pseudo_random_key, KEY_SIZE, block, previous + 1);
		memcpy(block, outputs[i], KEY_SIZE);
		previous = KEY_SIZE;
	}
	sodium_memzero(pseudo_random_key, sizeof(pseudo_random_key));
	sodium_memzero(block, sizeof(block));
}
