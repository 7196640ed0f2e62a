/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439, 2.3) with AVX-512: sixteen key stream blocks side by side, a block a lane. Row i of all
 * lanes' states is the vector x[i]. For aead_avx512.c alone, which sets the instructions that the compiler may use.
 * Constant time: additions, exclusive ors, rotations by constants.
 */
#ifndef CRYPTO_CHACHA20_AVX512_H
#define CRYPTO_CHACHA20_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "crypto/lanes.h"

INLINE void quarter(__m512i *a, __m512i *b, __m512i *c, __m512i *d)
{
	*a = _mm512_add_epi32(*a, *b);
	*d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 16);
	*c = _mm512_add_epi32(*c, *d);
	*b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 12);
	*a = _mm512_add_epi32(*a, *b);
	*d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 8);
	*c = _mm512_add_epi32(*c, *d);
	*b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 7);
}

/* A half of a double round: columns, then diagonals. */
INLINE void quarters(__m512i x[16], const int turn)
{
	quarter(&x[0], &x[4 + turn], &x[8 + 2 * turn], &x[12 + 3 * turn]);
	quarter(&x[1], &x[5 + turn], &x[9 + 2 * turn], &x[12 + (1 + 3 * turn) % 4]);
	quarter(&x[2], &x[6 + turn], &x[8 + (2 + 2 * turn) % 4], &x[12 + (2 + 3 * turn) % 4]);
	quarter(&x[3], &x[4 + (3 + turn) % 4], &x[8 + (3 + 2 * turn) % 4],
		&x[12 + (3 + 3 * turn) % 4]);
}

INLINE void set_keys(__m512i x[16], const struct lanes *l)
{
	uint32_t words[8][LANES_MAX], word;

	if (l->one_key) {
		for (int i = 0; i < 8; i++) {
			memcpy(&word, l->key[0] + 4 * i, 4);
			x[4 + i] = _mm512_set1_epi32((int)word);
		}
		return;
	}
	lanes_keys(l, GROUP, words);
	for (int i = 0; i < 8; i++)
		x[4 + i] = _mm512_loadu_si512(words[i]);
}

static void begin(__m512i x[16], const struct lanes *l)
{
	x[0] = _mm512_set1_epi32(0x61707865);
	x[1] = _mm512_set1_epi32(0x3320646e);
	x[2] = _mm512_set1_epi32(0x79622d32);
	x[3] = _mm512_set1_epi32(0x6b206574);
	set_keys(x, l);
	x[12] = _mm512_loadu_si512(l->block);
	x[13] = _mm512_set1_epi32((int)l->prefix);
	x[14] = _mm512_loadu_si512(l->nonce[0]);
	x[15] = _mm512_loadu_si512(l->nonce[1]);
}

INLINE void key_stream(__m512i x[16], const __m512i start[16])
{
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = start[i];
	for (int i = 0; i < 10; i++) {
		quarters(x, 0);
		quarters(x, 1);
	}
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = _mm512_add_epi32(x[i], start[i]);
}

/* One set of sixteen blocks leaves Zen 5, whose vector additions take two cycles, waiting half of
 * the time; two fill all 32 registers. Compilers want some for themselves, and spill a third of
 * them in each round: 1.2 x. So the registers are told here. */
#define DO(op, x, y)	   op " %%zmm" #y ",%%zmm" #x ",%%zmm" #x "\n\t"
#define ROTATE(n, x)	   "vprold $" #n ",%%zmm" #x ",%%zmm" #x "\n\t"
#define ADD_AB(a, b, c, d) DO("vpaddd", a, b)
#define ADD_CD(a, b, c, d) DO("vpaddd", c, d)
#define XOR_DA(a, b, c, d) DO("vpxord", d, a)
#define XOR_BC(a, b, c, d) DO("vpxord", b, c)
#define D_16(a, b, c, d)   ROTATE(16, d)
#define B_12(a, b, c, d)   ROTATE(12, b)
#define D_8(a, b, c, d)	   ROTATE(8, d)
#define B_7(a, b, c, d)	   ROTATE(7, b)
#define COLUMNS(f)                                                                                 \
	f(0, 4, 8, 12) f(1, 5, 9, 13) f(2, 6, 10, 14) f(3, 7, 11, 15) f(16, 20, 24, 28)            \
		f(17, 21, 25, 29) f(18, 22, 26, 30) f(19, 23, 27, 31)
#define DIAGONALS(f)                                                                               \
	f(0, 5, 10, 15) f(1, 6, 11, 12) f(2, 7, 8, 13) f(3, 4, 9, 14) f(16, 21, 26, 31)            \
		f(17, 22, 27, 28) f(18, 23, 24, 29) f(19, 20, 25, 30)
#define QUARTERS(of)                                                                               \
	of(ADD_AB) of(XOR_DA) of(D_16) of(ADD_CD) of(XOR_BC) of(B_12) of(ADD_AB) of(XOR_DA)        \
		of(D_8) of(ADD_CD) of(XOR_BC) of(B_7)
#define EACH(f)                                                                                    \
	f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)      \
		f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28)      \
			f(29) f(30) f(31)
#define LOAD(i)	   "vmovdqa64 64*" #i "(%[start]),%%zmm" #i "\n\t"
#define ADD_IT(i)  "vpaddd 64*" #i "(%[start]),%%zmm" #i ",%%zmm" #i "\n\t"
#define STORE(i)   "vmovdqa64 %%zmm" #i ",64*" #i "(%[x])\n\t"
#define CLOBBER(i) "xmm" #i,

static void key_streams(__m512i x[2][16], __m512i start[2][16])
{
	unsigned int left = 10;

	__asm__ volatile(EACH(LOAD) ".p2align 5\n"
				    "1:\n\t" QUARTERS(COLUMNS)
					    QUARTERS(DIAGONALS) "subl $1,%[left]\n\t"
								"jnz 1b\n\t" EACH(ADD_IT)
									EACH(STORE)
			 : [left] "+r"(left)
			 : [start] "r"(start), [x] "r"(x)
			 : EACH(CLOBBER) "memory", "cc");
}

/* Rows of words to blocks: x[k] becomes the block of lane k. */
INLINE void transpose(__m512i x[16])
{
	__m512i a[16], b[16];

	UNROLL
	for (int i = 0; i < 16; i += 2) {
		a[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
	}
	/* b[4g + m]: words 4g to 4g+3 of lanes m, 4+m, 8+m, 12+m */
	UNROLL
	for (int i = 0; i < 16; i += 4) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	UNROLL
	for (int m = 0; m < 4; m++) {
		__m512i p = _mm512_shuffle_i32x4(b[m], b[4 + m], 0x44);
		__m512i q = _mm512_shuffle_i32x4(b[8 + m], b[12 + m], 0x44);
		__m512i r = _mm512_shuffle_i32x4(b[m], b[4 + m], 0xee);
		__m512i s = _mm512_shuffle_i32x4(b[8 + m], b[12 + m], 0xee);

		x[m] = _mm512_shuffle_i32x4(p, q, 0x88);
		x[4 + m] = _mm512_shuffle_i32x4(p, q, 0xdd);
		x[8 + m] = _mm512_shuffle_i32x4(r, s, 0x88);
		x[12 + m] = _mm512_shuffle_i32x4(r, s, 0xdd);
	}
}

INLINE void apply(const struct lanes *l, unsigned int k, __m512i stream)
{
	const __mmask64 m = ~0ull >> (LANES_BLOCK - l->len[k]);

	_mm512_mask_storeu_epi8(l->dst[k], m,
				_mm512_xor_si512(stream, _mm512_maskz_loadu_epi8(m, l->src[k])));
}

INLINE void apply_all(const struct lanes *l, __m512i x[16])
{
	transpose(x);
	if (l->n == 16) {
		UNROLL
		for (unsigned int k = 0; k < 16; k++)
			apply(l, k, x[k]);
		return;
	}
	for (unsigned int k = 0; k < l->n; k++)
		apply(l, k, x[k]);
}

#endif
