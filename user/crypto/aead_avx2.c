/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20-Poly1305 (RFC 8439, 2.8) with AVX2: eight key stream blocks (chacha20_avx2.h) and four
 * authenticators (poly1305_avx2.h) side by side, of as many messages.
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

/* Included only here, after the target instructions were chosen. */
#include "crypto/chacha20_avx2.h"
#include "crypto/poly1305_avx2.h"

static bool available(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	       sodium_init() >= 0;
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

static void tags(const struct aead_op *ops, unsigned int n, bool at_dst, struct lanes_words *out)
{
	uint64_t h[5][PART], pad[2][PART];
	struct poly p[2];
	struct lanes l;
	__m256i x[16];

	lanes_first(&l, ops, n, GROUP);
	key_stream(x, &l);
	poly_keys(p, x);
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
};

static int open_context(void **context)
{
	*context = (void *)&kernel;
	return 0;
}

const struct aead_backend aead_avx2 = {
	.name = "avx2",
	.stack = 6144,
	.available = available,
	.open = open_context,
	.close = lanes_close,
	.seal = lanes_seal,
	.open_batch = lanes_open,
};

#endif
