/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels that work side by side (aead_avx512.c, aead_avx2.c) share: the walk over the key
 * stream blocks of a batch, and the end of a message as Poly1305 reads it.
 *
 * A small message fills a vector no better than a large one does, if each has it for itself. So a
 * vector's lanes are given to the blocks of a batch in turn, whatever messages they belong to; and
 * Poly1305, where each message has a key of its own, runs a message a lane. Internal to the folder.
 */
#ifndef CRYPTO_LANES_H
#define CRYPTO_LANES_H

#include <string.h>

#include "crypto/aead_backend.h"

#define LANES_BLOCK 64u /* of ChaCha20 */
#define LANES_MAX   16u

/* Key stream blocks that are made at once. Lanes from n on are there, but nobody wants them. */
struct lanes {
	unsigned int n;
	bool one_key;
	const uint8_t *key[LANES_MAX];
	uint32_t block[LANES_MAX];
	uint32_t nonce[2][LANES_MAX]; /* the two words that are not zero */
	const uint8_t *src[LANES_MAX];
	uint8_t *dst[LANES_MAX];
	uint32_t len[LANES_MAX]; /* 1 to LANES_BLOCK */
};

struct lanes_walk {
	const struct aead_op *op, *end;
	uint32_t at;
};

static inline void lanes_set(struct lanes *l, unsigned int i, const struct aead_op *op,
			     uint32_t block)
{
	l->key[i] = op->key;
	l->block[i] = block;
	l->nonce[0][i] = (uint32_t)op->counter;
	l->nonce[1][i] = (uint32_t)(op->counter >> 32);
	l->one_key &= op->key == l->key[0];
}

static inline void lanes_fill_up(struct lanes *l, unsigned int width)
{
	for (unsigned int i = l->n; i < width; i++) {
		l->key[i] = l->key[0];
		l->block[i] = l->nonce[0][i] = l->nonce[1][i] = 0;
	}
}

/* The first block of each of at most `width` messages: what Poly1305's key is made of (RFC 8439,
 * 2.6). */
static inline void lanes_first(struct lanes *l, const struct aead_op *ops, unsigned int n,
			       unsigned int width)
{
	l->one_key = true;
	l->key[0] = ops->key;
	l->n = n;
	for (unsigned int i = 0; i < n; i++)
		lanes_set(l, i, &ops[i], 0);
	lanes_fill_up(l, width);
}

/* The next blocks of those messages that are `ok`. False: there are no more. */
static inline bool lanes_next(struct lanes *l, struct lanes_walk *w, unsigned int width)
{
	l->one_key = true;
	l->key[0] = NULL;
	l->n = 0;
	while (l->n < width && w->op < w->end) {
		const struct aead_op *op = w->op;
		const uint32_t left = op->len - w->at;

		if (!op->ok || !left) {
			w->op++;
			w->at = 0;
			continue;
		}
		lanes_set(l, l->n, op, 1 + w->at / LANES_BLOCK);
		l->src[l->n] = op->src + w->at;
		l->dst[l->n] = op->dst + w->at;
		l->len[l->n] = left < LANES_BLOCK ? left : LANES_BLOCK;
		w->at += l->len[l->n++];
	}
	if (!l->n)
		return false;
	lanes_fill_up(l, width);
	return true;
}

/* The last bytes of a cipher text that fill no LANES_BLOCK, padded, and the block of lengths behind
 * them (RFC 8439, 2.8). Returns how many blocks of 16 bytes that makes, at most 5. */
static inline unsigned int lanes_tail(uint8_t tail[2 * LANES_BLOCK], const uint8_t *cipher,
				      uint32_t len)
{
	const uint32_t left = len % LANES_BLOCK, padded = (left + 15) & ~15u;
	const uint64_t length = len; /* little endian, as the processors that have these lanes */

	memset(tail, 0, 2 * LANES_BLOCK);
	memcpy(tail, cipher + len - left, left);
	memcpy(tail + padded + 8, &length, sizeof(length));
	return padded / 16 + 1;
}

#endif
