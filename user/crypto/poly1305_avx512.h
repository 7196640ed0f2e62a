/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poly1305 (RFC 8439, 2.5) with AVX-512: eight messages side by side in a vector of 64-bit numbers, a message a lane,
 * in limbs of 44, 44 and 42 bits. Four blocks of a message are multiplied by r^4 to r and carried once. For
 * aead_avx512.c alone, which sets the instructions that the compiler may use. Constant time: multiplications,
 * additions and shifts by constants.
 */
#ifndef CRYPTO_POLY1305_AVX512_H
#define CRYPTO_POLY1305_AVX512_H

#include <immintrin.h>

#include "crypto/lanes.h"

struct power {
	__m512i r[3], s[2]; /* s: r[1] and r[2] times 20, for what passes 2^130 */
};

/* Four blocks are added up, each times a power of r, before the sum is carried. */
#define POWERS 4

struct poly {
	struct power power[POWERS]; /* r, r^2, ... */
	__m512i ends[3];	    /* 2^128 (r + r^2 + ...): the bit behind each block */
	__m512i pad[2];
	__m512i h[3];
};

#define M44 _mm512_set1_epi64((1ll << 44) - 1)
#define M42 _mm512_set1_epi64((1ll << 42) - 1)

INLINE __m512i times5(__m512i x)
{
	return _mm512_add_epi64(x, _mm512_slli_epi64(x, 2));
}

INLINE void split(__m512i out[3], __m512i low, __m512i high)
{
	out[0] = _mm512_and_si512(low, M44);
	out[1] = _mm512_and_si512(_mm512_shrdi_epi64(low, high, 44), M44);
	out[2] = _mm512_srli_epi64(high, 24);
}

/* Sums of products' low and high 52 bits. */
struct sums {
	__m512i lo[3], hi[3];
};

INLINE void add_product(struct sums *sums, const __m512i a[3], const struct power *p)
{
	const __m512i *const factors[3][3] = {{&p->r[0], &p->r[1], &p->r[2]},
					      {&p->s[1], &p->r[0], &p->r[1]},
					      {&p->s[0], &p->s[1], &p->r[0]}};

	UNROLL
	for (int i = 0; i < 3; i++) {
		UNROLL
		for (int k = 0; k < 3; k++) {
			sums->lo[k] = _mm512_madd52lo_epu64(sums->lo[k], a[i], *factors[i][k]);
			sums->hi[k] = _mm512_madd52hi_epu64(sums->hi[k], a[i], *factors[i][k]);
		}
	}
}

/* The parts meet at bit 52, the numbers at 44 and 42. */
INLINE void carry(__m512i out[3], const struct sums *sums)
{
	__m512i n0 = sums->lo[0], n1 = sums->lo[1], n2 = sums->lo[2], over;

	over = _mm512_add_epi64(_mm512_srli_epi64(n0, 44), _mm512_slli_epi64(sums->hi[0], 8));
	n1 = _mm512_add_epi64(n1, over);
	over = _mm512_add_epi64(_mm512_srli_epi64(n1, 44), _mm512_slli_epi64(sums->hi[1], 8));
	n2 = _mm512_add_epi64(n2, over);
	over = _mm512_add_epi64(_mm512_srli_epi64(n2, 42), _mm512_slli_epi64(sums->hi[2], 10));
	n0 = _mm512_add_epi64(_mm512_and_si512(n0, M44), times5(over));
	out[1] = _mm512_add_epi64(_mm512_and_si512(n1, M44), _mm512_srli_epi64(n0, 44));
	out[0] = _mm512_and_si512(n0, M44);
	out[2] = _mm512_and_si512(n2, M42);
}

INLINE void multiply(__m512i out[3], const __m512i a[3], const struct power *by)
{
	const __m512i zero = _mm512_setzero_si512();
	struct sums sums = {{zero, zero, zero}, {zero, zero, zero}};

	add_product(&sums, a, by);
	carry(out, &sums);
}

INLINE void set_power(struct power *p, const __m512i r[3])
{
	for (int i = 0; i < 3; i++)
		p->r[i] = r[i];
	p->s[0] = _mm512_slli_epi64(times5(r[1]), 2);
	p->s[1] = _mm512_slli_epi64(times5(r[2]), 2);
}

static void set_powers(struct poly *p)
{
	const __m512i end[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
				_mm512_set1_epi64(1ll << 40)};
	__m512i r[3] = {p->power[0].r[0], p->power[0].r[1], p->power[0].r[2]};
	__m512i sum[3] = {r[0], r[1], r[2]};
	struct power all;

	for (int k = 1; k < POWERS; k++) {
		multiply(r, r, &p->power[0]);
		set_power(&p->power[k], r);
		for (int i = 0; i < 3; i++)
			sum[i] = _mm512_add_epi64(sum[i], r[i]);
	}
	set_power(&all, sum);
	multiply(p->ends, end, &all);
}

/* `x`: the key stream's first blocks, rows of words. */
static void poly_keys(struct poly p[2], const __m512i x[16])
{
	__m512i word[4], r[3];

	for (int v = 0; v < 2; v++) {
		UNROLL
		for (int i = 0; i < 4; i++) {
			__m256i even = v ? _mm512_extracti64x4_epi64(x[2 * i], 1)
					 : _mm512_castsi512_si256(x[2 * i]);
			__m256i odd = v ? _mm512_extracti64x4_epi64(x[2 * i + 1], 1)
					: _mm512_castsi512_si256(x[2 * i + 1]);

			word[i] =
				_mm512_or_si512(_mm512_cvtepu32_epi64(even),
						_mm512_slli_epi64(_mm512_cvtepu32_epi64(odd), 32));
		}
		split(r, _mm512_and_si512(word[0], _mm512_set1_epi64(0x0ffffffc0fffffff)),
		      _mm512_and_si512(word[1], _mm512_set1_epi64(0x0ffffffc0ffffffc)));
		set_power(&p[v].power[0], r);
		p[v].pad[0] = word[2];
		p[v].pad[1] = word[3];
		for (int i = 0; i < 3; i++)
			p[v].h[i] = _mm512_setzero_si512();
	}
}

/* One block of each lane: h = (h + block) r. `lanes`: those that have one. */
INLINE void absorb(struct poly *p, __m512i low, __m512i high, __mmask8 lanes)
{
	__m512i a[3], h[3];

	split(a, low, high);
	a[2] = _mm512_or_si512(a[2], _mm512_set1_epi64(1ll << 40));
	for (int i = 0; i < 3; i++)
		a[i] = _mm512_add_epi64(a[i], p->h[i]);
	multiply(h, a, &p->power[0]);
	for (int i = 0; i < 3; i++)
		p->h[i] = _mm512_mask_mov_epi64(p->h[i], lanes, h[i]);
}

/* Four blocks of each lane; what waits for those before comes last. */
INLINE void absorb_all(struct poly *p, const __m512i blocks[8])
{
	const __m512i zero = _mm512_setzero_si512();
	struct sums sums = {{p->ends[0], p->ends[1], p->ends[2]}, {zero, zero, zero}};
	__m512i a[3];

	UNROLL
	for (int b = 1; b < POWERS; b++) {
		split(a, blocks[2 * b], blocks[2 * b + 1]);
		add_product(&sums, a, &p->power[POWERS - 1 - b]);
	}
	split(a, blocks[0], blocks[1]);
	UNROLL
	for (int i = 0; i < 3; i++)
		a[i] = _mm512_add_epi64(a[i], p->h[i]);
	add_product(&sums, a, &p->power[POWERS - 1]);
	carry(p->h, &sums);
}

/* 64 bytes of each of eight lanes to four blocks' low and high halves. */
INLINE void load_blocks(__m512i out[8], const uint8_t *const at[8], uint32_t offset)
{
	__m512i a[8], b[8];

	UNROLL
	for (int i = 0; i < 8; i++)
		a[i] = _mm512_loadu_si512(at[i] + offset);
	/* b[2g + h]: half h of each block, of lanes 2g and 2g+1 */
	UNROLL
	for (int i = 0; i < 8; i += 2) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 1]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 1]);
	}
	UNROLL
	for (int h = 0; h < 2; h++) {
		__m512i p = _mm512_shuffle_i64x2(b[h], b[2 + h], 0x44);
		__m512i q = _mm512_shuffle_i64x2(b[4 + h], b[6 + h], 0x44);
		__m512i r = _mm512_shuffle_i64x2(b[h], b[2 + h], 0xee);
		__m512i s = _mm512_shuffle_i64x2(b[4 + h], b[6 + h], 0xee);

		out[h] = _mm512_shuffle_i64x2(p, q, 0x88);
		out[2 + h] = _mm512_shuffle_i64x2(p, q, 0xdd);
		out[4 + h] = _mm512_shuffle_i64x2(r, s, 0x88);
		out[6 + h] = _mm512_shuffle_i64x2(r, s, 0xdd);
	}
}

/* Associated data, which comes first; transport messages have none. */
static __attribute__((noinline, cold)) void authenticate_ad(struct poly p[2],
							    const struct aead_op *ops,
							    unsigned int n)
{
	struct lanes_words words = {0};
	unsigned int lanes;

	for (uint32_t i = 0; (lanes = lanes_ad(&words, ops, n, i)); i++)
		for (unsigned int v = 0; 8 * v < n; v++)
			absorb(&p[v], _mm512_loadu_si512(words.low + 8 * v),
			       _mm512_loadu_si512(words.high + 8 * v), (__mmask8)(lanes >> 8 * v));
}

/* The rest of the cipher text and the lengths, by lane. */
struct tails {
	uint8_t bytes[GROUP][2 * LANES_BLOCK];
	unsigned int blocks[GROUP];
};

INLINE __mmask8 having(const unsigned int *count, unsigned int more_than)
{
	return _mm256_cmpgt_epu32_mask(_mm256_loadu_si256((const __m256i *)count),
				       _mm256_set1_epi32((int)more_than));
}

/* 64 bytes of each message. */
INLINE void authenticate_whole(struct poly p[2], const uint8_t *const text[GROUP], uint32_t at,
			       const int vectors)
{
	__m512i blocks[8];

	UNROLL
	for (int v = 0; v < vectors; v++) {
		load_blocks(blocks, text + 8 * v, at);
		absorb_all(&p[v], blocks);
	}
}

/* What is left behind `done` times 64 bytes of each. */
static void authenticate_rest(struct poly p[2], const int vectors, const uint8_t *const text[GROUP],
			      const uint32_t len[GROUP], const uint32_t ad_len[GROUP],
			      unsigned int done)
{
	unsigned int chunks[GROUP] = {0}, most = 0;
	const uint8_t *at[GROUP];
	__m512i blocks[2][8];
	struct tails tails;

	for (int k = 0; k < 8 * vectors; k++) {
		chunks[k] = len[k] / LANES_BLOCK;
		most = chunks[k] > most ? chunks[k] : most;
		tails.blocks[k] = lanes_tail(tails.bytes[k], text[k], len[k], ad_len[k]);
	}
	for (unsigned int i = done; i < most; i++) {
		for (int k = 0; k < 8 * vectors; k++)
			at[k] = i < chunks[k] ? text[k] + i * LANES_BLOCK : tails.bytes[k];
		for (int v = 0; v < vectors; v++)
			load_blocks(blocks[v], at + 8 * v, 0);
		for (int b = 0; b < 4; b++)
			for (int v = 0; v < vectors; v++)
				absorb(&p[v], blocks[v][2 * b], blocks[v][2 * b + 1],
				       having(chunks + 8 * v, i));
	}
	most = 0;
	for (int k = 0; k < 8 * vectors; k++) {
		at[k] = tails.bytes[k];
		most = tails.blocks[k] > most ? tails.blocks[k] : most;
	}
	for (unsigned int i = 0; i < most; i++) {
		for (int v = 0; v < vectors && i % 4 == 0; v++)
			load_blocks(blocks[v], at + 8 * v, i * 16);
		for (int v = 0; v < vectors; v++)
			absorb(&p[v], blocks[v][2 * (i % 4)], blocks[v][2 * (i % 4) + 1],
			       having(tails.blocks + 8 * v, i));
	}
}

/* h mod 2^130-5, plus the pad, mod 2^128. */
INLINE void finish(const struct poly *p, uint64_t low[8], uint64_t high[8])
{
	__m512i h0 = p->h[0], h1 = p->h[1], h2 = p->h[2], g0, g1, g2, c, lo, hi;
	__mmask8 larger, carry;

	/* Twice round, until all limbs are what they should be. */
	for (int i = 0; i < 2; i++) {
		h2 = _mm512_add_epi64(h2, _mm512_srli_epi64(h1, 44));
		h1 = _mm512_and_si512(h1, M44);
		h0 = _mm512_add_epi64(h0, times5(_mm512_srli_epi64(h2, 42)));
		h2 = _mm512_and_si512(h2, M42);
		h1 = _mm512_add_epi64(h1, _mm512_srli_epi64(h0, 44));
		h0 = _mm512_and_si512(h0, M44);
	}
	h2 = _mm512_add_epi64(h2, _mm512_srli_epi64(h1, 44));
	h1 = _mm512_and_si512(h1, M44);
	/* g = h + 5 - 2^130, where that is not negative */
	g0 = _mm512_add_epi64(h0, _mm512_set1_epi64(5));
	c = _mm512_srli_epi64(g0, 44);
	g1 = _mm512_add_epi64(h1, c);
	c = _mm512_srli_epi64(g1, 44);
	g2 = _mm512_add_epi64(h2, c);
	larger = _mm512_cmpge_epu64_mask(g2, _mm512_set1_epi64(1ll << 42));
	h0 = _mm512_mask_and_epi64(h0, larger, g0, M44);
	h1 = _mm512_mask_and_epi64(h1, larger, g1, M44);
	h2 = _mm512_mask_and_epi64(h2, larger, g2, M42);

	lo = _mm512_or_si512(h0, _mm512_slli_epi64(h1, 44));
	hi = _mm512_or_si512(_mm512_srli_epi64(h1, 20), _mm512_slli_epi64(h2, 24));
	lo = _mm512_add_epi64(lo, p->pad[0]);
	carry = _mm512_cmplt_epu64_mask(lo, p->pad[0]);
	hi = _mm512_add_epi64(hi, p->pad[1]);
	hi = _mm512_mask_add_epi64(hi, carry, hi, _mm512_set1_epi64(1));
	_mm512_storeu_si512(low, lo);
	_mm512_storeu_si512(high, hi);
}

#endif
