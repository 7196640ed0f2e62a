/* SPDX-License-Identifier: Apache-2.0 */
/* The files chacha20_avx2.h and poly1305_avx2.h against RFC 8439, each by itself. */
#include "check.h"
#include "rfc8439_vectors.h"

#ifdef __x86_64__

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi2")
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* As in aead_avx2.c. */
#define INLINE static inline __attribute__((always_inline))
#define GROUP  8u
#define PART   4u

#include "crypto/chacha20_avx2.h"
#include "crypto/poly1305_avx2.h"

/* Lane 3 has the RFC's block 1; the others have other blocks. */
static void chacha20(void **state)
{
	static const uint32_t nonce[2] = CHACHA20_NONCE;
	struct lanes l = {.n = GROUP, .prefix = CHACHA20_PREFIX};
	uint8_t key[32], want[64];
	__m256i x[16];

	(void)state;
	unhex(want, sizeof(want), chacha20_block);
	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (unsigned int i = 0; i < GROUP; i++) {
		l.key[i] = key;
		l.block[i] = 14 + i;
		l.nonce[0][i] = nonce[0];
		l.nonce[1][i] = nonce[1];
	}
	l.block[3] = 1;
	for (int one_key = 0; one_key < 2; one_key++) {
		l.one_key = one_key;
		key_stream(x, &l);
		transpose(x);
		transpose(x + 8);
		assert_memory_equal(&x[3], want, 32);
		assert_memory_equal(&x[8 + 3], want + 32, 32);
	}
}

/* In lane 2 of the second vector. */
static void tag(const struct poly1305_vector *v, uint8_t out[16])
{
	uint32_t words[8];
	uint8_t text[64];
	const size_t len = unhex(text, sizeof(text), v->text);
	uint64_t h[5][PART], pad[2][PART], low, high;
	struct poly p[2];
	__m256i x[16];

	unhex((uint8_t *)words, 16, v->r);
	unhex((uint8_t *)(words + 4), 16, v->s);
	for (int i = 0; i < 8; i++)
		x[i] = _mm256_set_epi32(0, (int)words[i], 0, 0, 0, 0, 0, 0);
	poly_keys(p, x);
	for (size_t at = 0; at < len; at += 16) {
		uint64_t half[2];

		memcpy(half, text + at, 16);
		absorb(&p[1], _mm256_set1_epi64x((long long)half[0]),
		       _mm256_set1_epi64x((long long)half[1]), _mm256_set_epi64x(0, -1, 0, 0));
	}
	for (int i = 0; i < 5; i++)
		_mm256_storeu_si256((__m256i *)h[i], p[1].h[i]);
	for (int i = 0; i < 2; i++)
		_mm256_storeu_si256((__m256i *)pad[i], p[1].pad[i]);
	finish(h, pad, 2, &low, &high);
	memcpy(out, &low, 8);
	memcpy(out + 8, &high, 8);
}

static void poly1305(void **state)
{
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(poly1305_vectors); i++) {
		const struct poly1305_vector *v = &poly1305_vectors[i];

		tag(v, out);
		assert_hex(out, v->tag);
	}
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

int main(void)
{
	__builtin_cpu_init();
	return rfc8439_run(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"), "AVX2",
			   chacha20, poly1305);
}

#else

int main(void)
{
	return rfc8439_run(false, "AVX2", NULL, NULL);
}

#endif
