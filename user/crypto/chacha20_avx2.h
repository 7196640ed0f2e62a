/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439, 2.3) with AVX2: eight key stream blocks side by side, a block a lane. Row i of all lanes'
 * states is the vector x[i]. For aead_avx2.c alone, which sets the instructions that the compiler may use. Constant
 * time: additions, exclusive ors, rotations by constants.
 */
#ifndef CRYPTO_CHACHA20_AVX2_H
#define CRYPTO_CHACHA20_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "crypto/lanes.h"

#define ROTATE(x, n) _mm256_or_si256(_mm256_slli_epi32(x, n), _mm256_srli_epi32(x, 32 - (n)))

INLINE void quarter(__m256i *a, __m256i *b, __m256i *c, __m256i *d)
{
	const __m256i by16 = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2,
					     13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
	const __m256i by8 = _mm256_set_epi8(14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3,
					    14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3);

	*a = _mm256_add_epi32(*a, *b);
	*d = _mm256_shuffle_epi8(_mm256_xor_si256(*d, *a), by16);
	*c = _mm256_add_epi32(*c, *d);
	*b = _mm256_xor_si256(*b, *c);
	*b = ROTATE(*b, 12);
	*a = _mm256_add_epi32(*a, *b);
	*d = _mm256_shuffle_epi8(_mm256_xor_si256(*d, *a), by8);
	*c = _mm256_add_epi32(*c, *d);
	*b = _mm256_xor_si256(*b, *c);
	*b = ROTATE(*b, 7);
}

INLINE void load_keys(__m256i x[16], const struct lanes *l)
{
	uint32_t words[8][LANES_MAX], word;

	if (l->one_key) {
		for (int i = 0; i < 8; i++) {
			memcpy(&word, l->key[0] + 4 * i, 4);
			x[4 + i] = _mm256_set1_epi32((int)word);
		}
		return;
	}
	lanes_keys(l, GROUP, words);
	for (int i = 0; i < 8; i++)
		x[4 + i] = _mm256_loadu_si256((const __m256i *)words[i]);
}

INLINE void key_stream(__m256i x[16], const struct lanes *l)
{
	__m256i start[16];

	x[0] = _mm256_set1_epi32(0x61707865);
	x[1] = _mm256_set1_epi32(0x3320646e);
	x[2] = _mm256_set1_epi32(0x79622d32);
	x[3] = _mm256_set1_epi32(0x6b206574);
	load_keys(x, l);
	x[12] = _mm256_loadu_si256((const __m256i *)l->block);
	x[13] = _mm256_set1_epi32((int)l->prefix);
	x[14] = _mm256_loadu_si256((const __m256i *)l->nonce[0]);
	x[15] = _mm256_loadu_si256((const __m256i *)l->nonce[1]);
	for (int i = 0; i < 16; i++)
		start[i] = x[i];
	for (int i = 0; i < 10; i++) {
		quarter(&x[0], &x[4], &x[8], &x[12]);
		quarter(&x[1], &x[5], &x[9], &x[13]);
		quarter(&x[2], &x[6], &x[10], &x[14]);
		quarter(&x[3], &x[7], &x[11], &x[15]);
		quarter(&x[0], &x[5], &x[10], &x[15]);
		quarter(&x[1], &x[6], &x[11], &x[12]);
		quarter(&x[2], &x[7], &x[8], &x[13]);
		quarter(&x[3], &x[4], &x[9], &x[14]);
	}
	for (int i = 0; i < 16; i++)
		x[i] = _mm256_add_epi32(x[i], start[i]);
}

/* Eight rows of words to 32 bytes of each lane: x[k] becomes those of lane k. */
INLINE void transpose(__m256i x[8])
{
	__m256i a[8], b[8];

	for (int i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
		a[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
	}
	for (int i = 0; i < 8; i += 4) {
		b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	for (int m = 0; m < 4; m++) {
		x[m] = _mm256_permute2x128_si256(b[m], b[4 + m], 0x20);
		x[4 + m] = _mm256_permute2x128_si256(b[m], b[4 + m], 0x31);
	}
}

INLINE void apply(const uint8_t *src, uint8_t *dst, __m256i low, __m256i high)
{
	const __m256i a = _mm256_loadu_si256((const __m256i *)src);
	const __m256i b = _mm256_loadu_si256((const __m256i *)(src + 32));

	_mm256_storeu_si256((__m256i *)dst, _mm256_xor_si256(a, low));
	_mm256_storeu_si256((__m256i *)(dst + 32), _mm256_xor_si256(b, high));
}

#endif
