/* SPDX-License-Identifier: Apache-2.0 */
/* The files chacha20_avx512.h and poly1305_avx512.h against RFC 8439, each by itself. */
#include "check.h"
#include "rfc8439_vectors.h"

#ifdef __x86_64__

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(                                                                      \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2"))), \
	apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* As in aead_avx512.c. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define GROUP  16u

#include "crypto/chacha20_avx512.h"
#include "crypto/poly1305_avx512.h"

/* Lane 3 has the RFC's block 1; the others have other blocks. */
static void chacha20(void **state)
{
	static const uint32_t nonce[2] = CHACHA20_NONCE;
	__m512i start[2][16], x[2][16], one[16];
	struct lanes l = {.n = 16, .one_key = true, .prefix = CHACHA20_PREFIX};
	uint8_t key[32], want[64];

	(void)state;
	unhex(want, sizeof(want), chacha20_block);
	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (unsigned int i = 0; i < 16; i++) {
		l.key[i] = key;
		l.block[i] = 14 + i;
		l.nonce[0][i] = nonce[0];
		l.nonce[1][i] = nonce[1];
	}
	l.block[3] = 1;
	for (int one_key = 0; one_key < 2; one_key++) {
		l.one_key = one_key;
		begin(start[0], &l);
		begin(start[1], &l);
		key_stream(one, start[0]);
		key_streams(x, start);
		transpose(one);
		transpose(x[0]);
		transpose(x[1]);
		assert_memory_equal(&one[3], want, 64);
		assert_memory_equal(&x[0][3], want, 64);
		assert_memory_equal(&x[1][3], want, 64);
	}
}

/* In lane 5 of the second vector; block by block, or four at once where there are so many. */
static void tag(const struct poly1305_vector *v, uint8_t out[16], bool four)
{
	uint32_t words[8];
	uint8_t text[64];
	const size_t len = unhex(text, sizeof(text), v->text);
	uint64_t low[8], high[8];
	__m512i x[16], blocks[8];
	struct poly p[2];

	unhex((uint8_t *)words, 16, v->r);
	unhex((uint8_t *)(words + 4), 16, v->s);
	for (int i = 0; i < 8; i++)
		x[i] = _mm512_maskz_set1_epi32(1 << 13, (int)words[i]);
	poly_keys(p, x);
	if (four) {
		for (int i = 0; i < 8; i++) {
			uint64_t half;

			memcpy(&half, text + 8 * i, 8);
			blocks[i] = _mm512_set1_epi64((long long)half);
		}
		set_powers(&p[1]);
		absorb_all(&p[1], blocks);
	}
	for (size_t at = 0; at < len && !four; at += 16) {
		uint64_t half[2];

		memcpy(half, text + at, 16);
		absorb(&p[1], _mm512_set1_epi64((long long)half[0]),
		       _mm512_set1_epi64((long long)half[1]), 1 << 5);
	}
	finish(&p[1], low, high);
	memcpy(out, &low[5], 8);
	memcpy(out + 8, &high[5], 8);
}

static void poly1305(void **state)
{
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(poly1305_vectors); i++) {
		const struct poly1305_vector *v = &poly1305_vectors[i];

		tag(v, out, false);
		assert_hex(out, v->tag);
		if (strlen(v->text) == 2 * 64) {
			tag(v, out, true);
			assert_hex(out, v->tag);
		}
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
	return rfc8439_run(__builtin_cpu_supports("avx512ifma") &&
				   __builtin_cpu_supports("avx512vbmi2"),
			   "AVX-512", chacha20, poly1305);
}

#else

int main(void)
{
	return rfc8439_run(false, "AVX-512", NULL, NULL);
}

#endif
