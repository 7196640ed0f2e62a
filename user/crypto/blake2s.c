/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/blake2s.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

/* RFC 7693, 2.6 */
static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* 2.7: the message words of each round */
static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

/* Where the input was secret, so is what compress() leaves behind. Its frame has 200 bytes with gcc 12. */
#define COMPRESS_STACK 512

static inline uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* 3.1 */
static inline __attribute__((always_inline)) void mix(uint32_t v[16], int a, int b, int c, int d,
						      uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotate(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 7);
}

/* 3.2. `last`: all ones for the last block, else 0. */
static __attribute__((noinline)) void compress(struct blake2s *b,
					       const uint8_t block[BLAKE2S_BLOCK], uint32_t last)
{
	uint32_t v[16], m[16];

	memcpy(m, block, sizeof(m));
	for (int i = 0; i < 16; i++)
		m[i] = le32toh(m[i]);
	memcpy(v, b->h, sizeof(b->h));
	memcpy(v + 8, iv, sizeof(iv));
	v[12] ^= (uint32_t)b->bytes;
	v[13] ^= (uint32_t)(b->bytes >> 32);
	v[14] ^= last;
#pragma GCC unroll 10
	for (int i = 0; i < 10; i++) {
		const uint8_t *s = sigma[i];

		mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
		mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
		mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
		mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
		mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
		mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
		mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
		mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
	}
	for (int i = 0; i < 8; i++)
		b->h[i] ^= v[i] ^ v[8 + i];
}

void blake2s_init(struct blake2s *b, uint8_t size, const void *key, size_t key_len)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->h, iv, sizeof(iv));
	b->size = size;
	b->h[0] ^= 0x01010000 ^ (uint32_t)key_len << 8 ^ size; /* 2.5 */
	if (key_len) {
		memcpy(b->block, key, key_len);
		b->used = BLAKE2S_BLOCK;
	}
}

void blake2s_update(struct blake2s *b, const void *in, size_t len)
{
	const uint8_t *from = in;

	while (len) {
		size_t n = sizeof(b->block) - b->used;

		if (!n) {
			b->bytes += BLAKE2S_BLOCK;
			compress(b, b->block, 0);
			b->used = 0;
			continue;
		}
		n = len < n ? len : n;
		memcpy(b->block + b->used, from, n);
		b->used = (uint8_t)(b->used + n);
		from += n;
		len -= n;
	}
}

void blake2s_final(struct blake2s *b, uint8_t *out)
{
	b->bytes += b->used;
	memset(b->block + b->used, 0, sizeof(b->block) - b->used);
	compress(b, b->block, ~0u);
	for (int i = 0; i < 8; i++)
		b->h[i] = htole32(b->h[i]);
	memcpy(out, b->h, b->size);
	sodium_memzero(b, sizeof(*b));
	sodium_stackzero(COMPRESS_STACK);
}
