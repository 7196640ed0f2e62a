/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20-Poly1305 (RFC 8439, 2.8) with AVX-512: sixteen key stream blocks (chacha20_avx512.h) and
 * sixteen authenticators (poly1305_avx512.h) side by side, of as many messages.
 *
 * A batch whose messages are about equally long, as the segments of a superpacket are, is enciphered
 * and authenticated in one pass over the data, a message a lane. Others go through the cipher first,
 * whose lanes take blocks of any message, and then through the authenticator.
 * docs/benchmarks.md has the figures.
 */
#ifdef __x86_64__

#include <immintrin.h>
#include <sodium.h>

#include "crypto/lanes.h"

#ifdef __clang__
#pragma clang attribute push(                                                                      \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2"))), \
	apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")
#endif

#define INLINE static inline __attribute__((always_inline))

/* Else an array of vectors is one of memory, written and read again in each step. */
#define UNROLL _Pragma("GCC unroll 16")

/* Messages that are authenticated at once: two vectors of eight. With one vector the processor
 * would wait for its multiplications half of the time. */
#define GROUP 16u

/* Included only here, after the target instructions were chosen. */
#include "crypto/chacha20_avx512.h"
#include "crypto/poly1305_avx512.h"

static bool available(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi2") &&
	       sodium_init() >= 0;
}

/* --- one after the other: whatever the messages' lengths --- */

/* Enciphers or deciphers all messages that are ok. */
static void cipher(const struct aead_op *ops, unsigned int n)
{
	struct lanes_walk walk = {.op = ops, .end = ops + n};
	struct lanes l[2];
	__m512i start[2][16], x[2][16];

	while (lanes_next(&l[0], &walk, 16)) {
		begin(start[0], &l[0]);
		if (lanes_next(&l[1], &walk, 16)) {
			begin(start[1], &l[1]);
			key_streams(x, start);
			apply_all(&l[0], x[0]);
			apply_all(&l[1], x[1]);
		} else {
			key_stream(x[0], start[0]);
			apply_all(&l[0], x[0]);
		}
	}
}

static void tags(const struct aead_op *ops, unsigned int n, bool at_dst, struct lanes_words *out)
{
	const int vectors = n > 8 ? 2 : 1;
	const uint8_t *text[GROUP];
	__m512i start[16], x[16];
	uint32_t len[GROUP], ad_len[GROUP], least = UINT32_MAX, any_ad = 0;
	struct poly p[2];
	struct lanes l;

	lanes_first(&l, ops, n, 16);
	begin(start, &l);
	key_stream(x, start);
	poly_keys(p, x);
	for (unsigned int i = 0; i < GROUP; i++) {
		/* Unused lanes repeat the first one. */
		const struct aead_op *op = &ops[i < n ? i : 0];

		text[i] = at_dst ? op->dst : op->src;
		len[i] = op->len;
		ad_len[i] = op->ad_len;
		any_ad |= op->ad_len;
		least = op->len < least ? op->len : least;
	}
	if (any_ad)
		authenticate_ad(p, ops, n);
	least /= LANES_BLOCK;
	if (least) {
		set_powers(&p[0]);
		if (vectors == 2)
			set_powers(&p[1]);
	}
	for (unsigned int i = 0; i < least; i++) {
		if (vectors == 2)
			authenticate_whole(p, text, i * LANES_BLOCK, 2);
		else
			authenticate_whole(p, text, i * LANES_BLOCK, 1);
	}
	authenticate_rest(p, vectors, text, len, ad_len, least);
	finish(&p[0], out->low, out->high);
	if (vectors == 2)
		finish(&p[1], out->low + 8, out->high + 8);
}

/* --- both at once: block after block of sixteen messages --- */

struct group {
	const uint8_t *src[GROUP];
	uint8_t *dst[GROUP];
	uint32_t len[GROUP], ad_len[GROUP];
	unsigned int n;
	uint32_t least, most; /* len */
	uint32_t any_ad;      /* not 0: a message has associated data */
};

INLINE void apply_whole(const struct group *g, uint32_t at, __m512i x[16])
{
	transpose(x);
	if (g->n == GROUP) {
		UNROLL
		for (unsigned int k = 0; k < GROUP; k++)
			_mm512_storeu_si512(
				g->dst[k] + at,
				_mm512_xor_si512(x[k], _mm512_loadu_si512(g->src[k] + at)));
		return;
	}
	for (unsigned int k = 0; k < g->n; k++)
		_mm512_storeu_si512(g->dst[k] + at,
				    _mm512_xor_si512(x[k], _mm512_loadu_si512(g->src[k] + at)));
}

/* Some messages may end here, or before. */
INLINE void apply_rest(const struct group *g, uint32_t at, __m512i x[16])
{
	transpose(x);
	for (unsigned int k = 0; k < g->n; k++) {
		const uint32_t left = g->len[k] > at ? g->len[k] - at : 0;
		const __mmask64 m = left < LANES_BLOCK ? (1ull << left) - 1 : ~0ull;
		const __m512i text = _mm512_maskz_loadu_epi8(m, g->src[k] + at);

		_mm512_mask_storeu_epi8(g->dst[k] + at, m, _mm512_xor_si512(x[k], text));
	}
}

static void set_group(struct group *g, __m512i start[2][16], const struct aead_op *ops,
		      unsigned int n)
{
	struct lanes l;

	lanes_first(&l, ops, n, GROUP);
	begin(start[0], &l);
	memcpy(start[1], start[0], sizeof(start[0]));
	g->n = n;
	g->least = UINT32_MAX;
	g->most = g->any_ad = 0;
	for (unsigned int i = 0; i < GROUP; i++) {
		/* As in tags(). */
		const struct aead_op *op = &ops[i < n ? i : 0];

		g->src[i] = op->src;
		g->dst[i] = op->dst;
		g->len[i] = op->len;
		g->ad_len[i] = op->ad_len;
		g->any_ad |= op->ad_len;
		g->least = op->len < g->least ? op->len : g->least;
		g->most = op->len > g->most ? op->len : g->most;
	}
}

/* The key stream's blocks `number` and the next of each message. */
static void next_blocks(__m512i x[2][16], __m512i start[2][16], uint32_t number)
{
	start[0][12] = _mm512_set1_epi32((int)number);
	start[1][12] = _mm512_set1_epi32((int)number + 1);
	key_streams(x, start);
}

/* The key stream's block b belongs to the text's b - 1; that for Poly1305's key comes first. */
INLINE void do_both(const struct aead_op *ops, unsigned int n, const bool open,
		    struct lanes_words *out)
{
	__m512i start[2][16], x[2][16];
	const uint8_t *const *text;
	uint32_t whole, b, done = 0; /* blocks of all that are authenticated */
	struct poly p[2];
	struct group g;

	set_group(&g, start, ops, n);
	text = open ? g.src : (const uint8_t *const *)g.dst;
	whole = g.least / LANES_BLOCK;
	next_blocks(x, start, 0);
	poly_keys(p, x[0]);
	if (g.any_ad)
		authenticate_ad(p, ops, n);
	set_powers(&p[0]);
	set_powers(&p[1]);
	for (b = 0; b < whole; b += 2) {
		const uint32_t at = b * LANES_BLOCK;

		if (b)
			next_blocks(x, start, b);
		if (open && b)
			authenticate_whole(p, text, at - LANES_BLOCK, 2);
		if (open)
			authenticate_whole(p, text, at, 2);
		if (b)
			apply_whole(&g, at - LANES_BLOCK, x[0]);
		apply_whole(&g, at, x[1]);
		if (!open && b)
			authenticate_whole(p, text, at - LANES_BLOCK, 2);
		if (!open)
			authenticate_whole(p, text, at, 2);
		done = b + 1;
	}
	if (open) {
		for (; done < whole; done++)
			authenticate_whole(p, text, done * LANES_BLOCK, 2);
		authenticate_rest(p, 2, text, g.len, g.ad_len, done);
	}
	for (; !b || (b - 1) * LANES_BLOCK < g.most; b += 2) {
		if (b)
			next_blocks(x, start, b);
		if (b)
			apply_rest(&g, (b - 1) * LANES_BLOCK, x[0]);
		apply_rest(&g, b * LANES_BLOCK, x[1]);
	}
	if (!open) {
		for (; done < whole; done++)
			authenticate_whole(p, text, done * LANES_BLOCK, 2);
		authenticate_rest(p, 2, text, g.len, g.ad_len, done);
	}
	finish(&p[0], out->low, out->high);
	finish(&p[1], out->low + 8, out->high + 8);
}

static __attribute__((noinline)) void seal_both(const struct aead_op *ops, unsigned int n,
						struct lanes_words *out)
{
	do_both(ops, n, false, out);
}

static __attribute__((noinline)) void open_both(const struct aead_op *ops, unsigned int n,
						struct lanes_words *out)
{
	do_both(ops, n, true, out);
}

static void both(const struct aead_op *ops, unsigned int n, bool open, struct lanes_words *out)
{
	if (open)
		open_both(ops, n, out);
	else
		seal_both(ops, n, out);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const struct lanes_kernel kernel = {
	.group = GROUP,
	.unit = 8,
	.cipher = cipher,
	.tags = tags,
	.both = both,
};

static int open_context(void **context)
{
	*context = (void *)&kernel;
	return 0;
}

const struct aead_backend aead_avx512 = {
	.name = "avx512",
	.stack = 17408,
	.available = available,
	.open = open_context,
	.close = lanes_close,
	.seal = lanes_seal,
	.open_batch = lanes_open,
};

#endif
