/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20-Poly1305 with AVX2: eight key stream blocks and four authenticators side by side, of as
 * many messages. Constant time: nothing depends on keys or content but through additions,
 * multiplications and shifts.
 */
#ifdef __x86_64__

#include <immintrin.h>
#include <sodium.h>

#include "crypto/lanes.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi2")
#endif

#define INLINE static inline __attribute__((always_inline))

#define GROUP 8u /* messages whose Poly1305 keys one pass makes */
#define PART  4u /* messages that are authenticated at once */

static bool available(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	       sodium_init() >= 0;
}

/* --- ChaCha20 (RFC 8439, 2.3): row i of all lanes' states is x[i] --- */

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
	x[13] = _mm256_setzero_si256();
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

/* Enciphers or deciphers all messages that are ok. */
static void cipher(const struct aead_op *ops, unsigned int n)
{
	struct lanes_walk walk = {.op = ops, .end = ops + n};
	struct lanes l;
	__m256i x[16];
	uint8_t part[LANES_BLOCK];

	while (lanes_next(&l, &walk, GROUP)) {
		key_stream(x, &l);
		transpose(x);
		transpose(x + 8);
		for (unsigned int k = 0; k < l.n; k++) {
			if (l.len[k] == LANES_BLOCK) {
				apply(l.src[k], l.dst[k], x[k], x[8 + k]);
				continue;
			}
			memcpy(part, l.src[k], l.len[k]);
			apply(part, part, x[k], x[8 + k]);
			memcpy(l.dst[k], part, l.len[k]);
		}
	}
}

/* --- Poly1305 (RFC 8439, 2.5), a message a lane: numbers of five times 26 bits --- */

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

static void poly_keys(struct poly p[2], const struct aead_op *ops, unsigned int n)
{
	struct lanes l;
	__m256i x[16], word[4];

	lanes_first(&l, ops, n, GROUP);
	key_stream(x, &l);
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

/* All of PART messages; `n` of them count. */
static __attribute__((noinline)) void authenticate(struct poly *p, const struct aead_op *ops,
						   unsigned int n, bool at_dst)
{
	const __m256i all = _mm256_set1_epi64x(-1);
	uint8_t tails[PART][2 * LANES_BLOCK];
	unsigned int chunks[PART], blocks[PART], most = 0, least = UINT32_MAX, more = 0;
	const uint8_t *at[PART];

	for (unsigned int k = 0; k < PART; k++) {
		/* Unused lanes repeat the first one. */
		const struct aead_op *op = &ops[k < n ? k : 0];

		at[k] = at_dst ? op->dst : op->src;
		chunks[k] = op->len / LANES_BLOCK * 2;
		blocks[k] = lanes_tail(tails[k], at[k], op->len);
		most = chunks[k] > most ? chunks[k] : most;
		least = chunks[k] < least ? chunks[k] : least;
		more = blocks[k] > more ? blocks[k] : more;
	}
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

static void tags(const struct aead_op *ops, unsigned int n, bool at_dst, struct lanes_tags *out)
{
	uint64_t h[5][PART], pad[2][PART];
	struct poly p[2];

	poly_keys(p, ops, n);
	for (unsigned int v = 0; v * PART < n; v++) {
		const unsigned int part = n - v * PART < PART ? n - v * PART : PART;

		authenticate(&p[v], ops + v * PART, part, at_dst);
		for (int i = 0; i < 5; i++)
			_mm256_storeu_si256((__m256i *)h[i], p[v].h[i]);
		for (int i = 0; i < 2; i++)
			_mm256_storeu_si256((__m256i *)pad[i], p[v].pad[i]);
		for (unsigned int k = 0; k < part; k++)
			finish(h, pad, k, &out->low[v * PART + k], &out->high[v * PART + k]);
	}
}

static void wipe_registers(void)
{
	__asm__ volatile("vzeroall" ::: "memory");
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct lanes_kernel kernel = {
	.group = GROUP,
	.unit = PART,
	.cipher = cipher,
	.tags = tags,
	.wipe_registers = wipe_registers,
};

static int open_context(void **context)
{
	*context = (void *)&kernel;
	return 0;
}

const struct aead_backend aead_avx2 = {
	.name = "avx2",
	.available = available,
	.open = open_context,
	.close = lanes_close,
	.seal = lanes_seal,
	.open_batch = lanes_open,
};

#endif
