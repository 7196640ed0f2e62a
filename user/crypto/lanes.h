/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels that work side by side (aead_avx512.c, aead_avx2.c) share: sealing and opening a
 * batch in groups, the walk over a group's key stream blocks, and the end of a message as Poly1305
 * reads it.
 *
 * A small message alone cannot fill a vector. So the lanes of a vector take the blocks of the whole
 * batch in order, whatever message they belong to; and Poly1305, where each message has a key of
 * its own, runs a message a lane. Internal to the folder.
 */
#ifndef CRYPTO_LANES_H
#define CRYPTO_LANES_H

#include <string.h>

#include "crypto/aead_backend.h"

#define LANES_BLOCK 64u /* of ChaCha20 */
#define LANES_MAX   16u

/* 16 bytes of each message of a group, as two words. */
struct lanes_words {
	uint64_t low[LANES_MAX], high[LANES_MAX];
};

struct lanes_kernel {
	unsigned int group; /* messages that are worked on together, at most LANES_MAX */
	unsigned int unit;  /* so many are authenticated in the time of one; divides `group` */
	/* Enciphers or deciphers those of at most `group` messages that are ok. */
	void (*cipher)(const struct aead_op *ops, unsigned int n);
	/* The tags of at most `group` messages, whose cipher text is at dst, or at src. */
	void (*tags)(const struct aead_op *ops, unsigned int n, bool at_dst,
		     struct lanes_words *out);
	/* Both at once, a message a lane; NULL: there is no such way. Lanes wait for the longest
	 * message. Where it opens, all are deciphered, whatever their tags. */
	void (*both)(const struct aead_op *ops, unsigned int n, bool open, struct lanes_words *out);
};

/* A backend's calls; its context is its kernel. */
void lanes_seal(void *kernel, struct aead_op *ops, size_t n);
size_t lanes_open(void *kernel, struct aead_op *ops, size_t n);
void lanes_close(void *kernel);

/* Key stream blocks that are made at once. Lanes from n on are unused. */
struct lanes {
	unsigned int n;
	bool one_key;
	const uint8_t *key[LANES_MAX];
	uint32_t block[LANES_MAX];
	uint32_t prefix;	      /* the nonces' first word, one for all messages of a group */
	uint32_t nonce[2][LANES_MAX]; /* the other two */
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
	l->prefix = ops->prefix;
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
		l->prefix = op->prefix;
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

/* Keys as rows of words, a column a lane. */
static inline void lanes_keys(const struct lanes *l, unsigned int width,
			      uint32_t words[8][LANES_MAX])
{
	for (unsigned int k = 0; k < width; k++)
		for (int i = 0; i < 8; i++)
			memcpy(&words[i][k], l->key[k] + 4 * i, 4);
}

/* The last bytes of a cipher text that fill no LANES_BLOCK, padded, and the block of lengths behind
 * them (RFC 8439, 2.8). Returns how many blocks of 16 bytes that makes, at most 5. */
static inline unsigned int lanes_tail(uint8_t tail[2 * LANES_BLOCK], const uint8_t *cipher,
				      uint32_t len, uint32_t ad_len)
{
	const uint32_t left = len % LANES_BLOCK, padded = (left + 15) & ~15u;
	/* little endian, as the processors that have these lanes */
	const uint64_t ad_length = ad_len, length = len;

	memset(tail, 0, 2 * LANES_BLOCK);
	memcpy(tail, cipher + len - left, left);
	memcpy(tail + padded, &ad_length, sizeof(ad_length));
	memcpy(tail + padded + 8, &length, sizeof(length));
	return padded / 16 + 1;
}

/* Block i of each message's associated data, padded. Returns a bit for each message that has one. */
static inline unsigned int lanes_ad(struct lanes_words *out, const struct aead_op *ops,
				    unsigned int n, uint32_t i)
{
	unsigned int having = 0;

	for (unsigned int k = 0; k < n; k++) {
		const uint32_t at = 16 * i;
		uint64_t block[2] = {0, 0};

		if (ops[k].ad_len <= at)
			continue;
		memcpy(block, ops[k].ad + at, ops[k].ad_len - at < 16 ? ops[k].ad_len - at : 16);
		out->low[k] = block[0];
		out->high[k] = block[1];
		having |= 1u << k;
	}
	return having;
}

#endif
