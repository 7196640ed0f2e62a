/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poly1305 (RFC 8439, 2.5) with AVX2: four messages side by side in a vector of 64-bit numbers, a message a lane, in
 * five limbs of 26 bits. For aead_avx2.c alone, which sets the instructions that the compiler may use. Constant time:
 * multiplications, additions and shifts by constants.
 */
#ifndef CRYPTO_POLY1305_AVX2_H
#define CRYPTO_POLY1305_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "crypto/lanes.h"

struct poly {
	__m256i r[5], s[5]; /* s: r times 5, for what passes 2^130 */
	__m256i h[5];
	__m256i pad[2];
};

#define M26 _mm256_set1_epi64x((1 << 26) - 1)

INLINE __m256i times5(__m256i x)
{
	return _mm256_add_epi64(x, _mm256_slli_epi64(x, 2));
}

INLINE void split(__m256i out[5], __m256i low, __m256i high)
{
	out[0] = _mm256_and_si256(low, M26);
	out[1] = _mm256_and_si256(_mm256_srli_epi64(low, 26), M26);
	out[2] = _mm256_and_si256(
		_mm256_or_si256(_mm256_srli_epi64(low, 52), _mm256_slli_epi64(high, 12)), M26);
	out[3] = _mm256_and_si256(_mm256_srli_epi64(high, 14), M26);
	out[4] = _mm256_srli_epi64(high, 40);
}

/* `x`: the key stream's first blocks, rows of words. */
static void poly_keys(struct poly p[2], const __m256i x[16])
{
	__m256i word[4];

	for (int v = 0; v < 2; v++) {
		for (int i = 0; i < 4; i++) {
			__m128i even = v ? _mm256_extracti128_si256(x[2 * i], 1)
					 : _mm256_castsi256_si128(x[2 * i]);
			__m128i odd = v ? _mm256_extracti128_si256(x[2 * i + 1], 1)
					: _mm256_castsi256_si128(x[2 * i + 1]);

			word[i] =
				_mm256_or_si256(_mm256_cvtepu32_epi64(even),
						_mm256_slli_epi64(_mm256_cvtepu32_epi64(odd), 32));
		}
		split(p[v].r, _mm256_and_si256(word[0], _mm256_set1_epi64x(0x0ffffffc0fffffff)),
		      _mm256_and_si256(word[1], _mm256_set1_epi64x(0x0ffffffc0ffffffc)));
		for (int i = 0; i < 5; i++) {
			p[v].s[i] = times5(p[v].r[i]);
			p[v].h[i] = _mm256_setzero_si256();
		}
		p[v].pad[0] = word[2];
		p[v].pad[1] = word[3];
	}
}

/* One block of each lane: h = (h + block) r, in those lanes that have one. */
INLINE void absorb(struct poly *p, __m256i low, __m256i high, __m256i lanes)
{
	__m256i a[5], d[5], carry;

	split(a, low, high);
	a[4] = _mm256_or_si256(a[4], _mm256_set1_epi64x(1 << 24));
	for (int i = 0; i < 5; i++)
		a[i] = _mm256_add_epi64(a[i], p->h[i]);
#pragma GCC unroll 5
	for (int i = 0; i < 5; i++) {
		d[i] = _mm256_mul_epu32(a[0], p->r[i]);
#pragma GCC unroll 4
		for (int k = 1; k < 5; k++)
			d[i] = _mm256_add_epi64(
				d[i],
				_mm256_mul_epu32(a[k], k <= i ? p->r[i - k] : p->s[5 + i - k]));
	}
	/* From 0 to 1 and 3 to 4, from 1 to 2 and 4 to 0, from 2 to 3 and 0 to 1, from 3 to 4. */
#define CARRY(from, to)                                                                            \
	do {                                                                                       \
		carry = _mm256_srli_epi64(d[from], 26);                                            \
		d[from] = _mm256_and_si256(d[from], M26);                                          \
		d[to] = _mm256_add_epi64(d[to], (to) ? carry : times5(carry));                     \
	} while (0)
	CARRY(0, 1);
	CARRY(3, 4);
	CARRY(1, 2);
	CARRY(4, 0);
	CARRY(2, 3);
	CARRY(0, 1);
	CARRY(3, 4);
#undef CARRY
	for (int i = 0; i < 5; i++)
		p->h[i] = _mm256_blendv_epi8(p->h[i], d[i], lanes);
}

/* 32 bytes of each of four lanes: two blocks, those of the lanes that `lanes` says. */
INLINE void absorb_two(struct poly *p, const uint8_t *const at[PART], __m256i first, __m256i second)
{
	__m256i a[4], low[2], high[2];

	for (int i = 0; i < 4; i++)
		a[i] = _mm256_loadu_si256((const __m256i *)at[i]);
	for (int i = 0; i < 2; i++) {
		low[i] = _mm256_unpacklo_epi64(a[2 * i], a[2 * i + 1]);
		high[i] = _mm256_unpackhi_epi64(a[2 * i], a[2 * i + 1]);
	}
	absorb(p, _mm256_permute2x128_si256(low[0], low[1], 0x20),
	       _mm256_permute2x128_si256(high[0], high[1], 0x20), first);
	absorb(p, _mm256_permute2x128_si256(low[0], low[1], 0x31),
	       _mm256_permute2x128_si256(high[0], high[1], 0x31), second);
}

INLINE __m256i having(const unsigned int count[PART], unsigned int more_than)
{
	return _mm256_set_epi64x(-(long long)(count[3] > more_than), -(count[2] > more_than),
				 -(count[1] > more_than), -(count[0] > more_than));
}

/* Associated data, which comes first; transport messages have none. */
static __attribute__((noinline, cold)) void authenticate_ad(struct poly *p,
							    const struct aead_op *ops,
							    unsigned int n)
{
	const __m256i bit = _mm256_set_epi64x(8, 4, 2, 1);
	struct lanes_words words = {0};
	unsigned int having;

	for (uint32_t i = 0; (having = lanes_ad(&words, ops, n, i)); i++) {
		const __m256i set = _mm256_and_si256(_mm256_set1_epi64x(having), bit);

		absorb(p, _mm256_loadu_si256((const __m256i *)words.low),
		       _mm256_loadu_si256((const __m256i *)words.high),
		       _mm256_cmpeq_epi64(set, bit));
	}
}

/* All of PART messages; `n` of them count. */
static __attribute__((noinline)) void authenticate(struct poly *p, const struct aead_op *ops,
						   unsigned int n, bool at_dst)
{
	const __m256i all = _mm256_set1_epi64x(-1);
	uint8_t tails[PART][2 * LANES_BLOCK];
	unsigned int chunks[PART], blocks[PART], most = 0, least = UINT32_MAX, more = 0;
	const uint8_t *at[PART];
	uint32_t any_ad = 0;

	for (unsigned int k = 0; k < PART; k++) {
		/* Unused lanes repeat the first one. */
		const struct aead_op *op = &ops[k < n ? k : 0];

		at[k] = at_dst ? op->dst : op->src;
		chunks[k] = op->len / LANES_BLOCK * 2;
		blocks[k] = lanes_tail(tails[k], at[k], op->len, op->ad_len);
		most = chunks[k] > most ? chunks[k] : most;
		least = chunks[k] < least ? chunks[k] : least;
		more = blocks[k] > more ? blocks[k] : more;
		any_ad |= op->ad_len;
	}
	if (any_ad)
		authenticate_ad(p, ops, n);
	for (unsigned int i = 0; i < least; i++) {
		absorb_two(p, at, all, all);
		for (unsigned int k = 0; k < PART; k++)
			at[k] += 32;
	}
	for (unsigned int i = least; i < most; i++) {
		const __m256i lanes = having(chunks, i);
		const uint8_t *from[PART];

		for (unsigned int k = 0; k < PART; k++) {
			from[k] = i < chunks[k] ? at[k] : tails[k];
			at[k] += i < chunks[k] ? 32 : 0;
		}
		absorb_two(p, from, lanes, lanes);
	}
	for (unsigned int i = 0; i < more; i += 2) {
		for (unsigned int k = 0; k < PART; k++)
			at[k] = tails[k] + 16 * i;
		absorb_two(p, at, having(blocks, i), having(blocks, i + 1));
	}
}

/* h mod 2^130-5, plus the pad, mod 2^128, of one lane. */
static void finish(const uint64_t h[5][PART], const uint64_t pad[2][PART], unsigned int k,
		   uint64_t *low, uint64_t *high)
{
	uint64_t x[5], g[5], carry = 0, keep;

	for (int i = 0; i < 5; i++)
		x[i] = h[i][k];
	/* Twice round, until all limbs are what they should be. */
	for (int i = 0; i < 10; i++) {
		x[i % 5] += i % 5 ? carry : carry * 5;
		carry = x[i % 5] >> 26;
		x[i % 5] &= (1 << 26) - 1;
	}
	x[0] += carry * 5;
	/* g = h + 5 - 2^130, where that is not negative */
	carry = 5;
	for (int i = 0; i < 5; i++) {
		g[i] = x[i] + carry;
		carry = g[i] >> 26;
		g[i] &= (1 << 26) - 1;
	}
	keep = carry - 1; /* all ones where h was smaller */
	for (int i = 0; i < 5; i++)
		x[i] = (x[i] & keep) | (g[i] & ~keep);
	*low = (x[0] | x[1] << 26 | x[2] << 52) + pad[0][k];
	*high = (x[2] >> 12 | x[3] << 14 | x[4] << 40) + pad[1][k] + (*low < pad[0][k]);
}

#endif
