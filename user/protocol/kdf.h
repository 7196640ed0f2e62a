/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE2s, HMAC and HKDF as the whitepaper (5.4, "Hash", "Mac", "Hmac", "Kdf_n") names them. Any
 * thread; cannot fail. `out` may be the same memory as `key`. Secrets on the stack are wiped.
 */
#ifndef PROTOCOL_KDF_H
#define PROTOCOL_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/messages.h"

/* Hash(a || b): two inputs, because every use mixes something in. b may be NULL with length 0. */
void hash_mix(uint8_t out[KEY_SIZE], const void *a, size_t a_len, const void *b, size_t b_len);
/* Keyed BLAKE2s with a 16-byte tag. */
void mac(uint8_t out[COOKIE_SIZE], const uint8_t *key, size_t key_len, const void *in, size_t len);
void hmac(uint8_t out[KEY_SIZE], const uint8_t *key, size_t key_len, const void *in, size_t len);
/* Kdf_1..3: outputs that are NULL are not wanted; the last one wanted ends the chain. */
void kdf(uint8_t *first, uint8_t *second, uint8_t *third, const uint8_t chaining_key[KEY_SIZE],
	 const void *in, size_t len);

#endif
