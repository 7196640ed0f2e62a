/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes fields of a record with the same functions, so that whoever lists the fields of
 * a structure once has its reader and its writer, and they cannot differ. Numbers are
 * little-endian. Pure.
 *
 * Errors are sticky: after the first one nothing is read or written, and `failed` is set. What was
 * read then is zero.
 */
#ifndef HANDOVER_CODEC_H
#define HANDOVER_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_mode {
	CODEC_MEASURE, /* only counts the bytes */
	CODEC_WRITE,
	CODEC_READ,
};

struct codec {
	enum codec_mode mode;
	uint8_t *at, *end; /* not for CODEC_MEASURE */
	size_t measured;   /* bytes */
	bool failed;
};

void codec_bytes(struct codec *c, void *bytes, size_t n);
void codec_bool(struct codec *c, bool *value); /* a byte; reading fails if it is neither 0 nor 1 */
void codec_u8(struct codec *c, uint8_t *value);
void codec_u16(struct codec *c, uint16_t *value);
void codec_u32(struct codec *c, uint32_t *value);
void codec_u64(struct codec *c, uint64_t *value);
/* Zero-terminated text in an array of `room` bytes. */
void codec_text(struct codec *c, char *text, size_t room);

/* A part with its length before it. The reader skips what it does not know at the part's end. */
struct codec_block {
	uint8_t *length_at; /* writing */
	uint8_t *outer_end; /* reading */
};
void codec_block_begin(struct codec *c, struct codec_block *b);
void codec_block_end(struct codec *c, struct codec_block *b);
/* Reading: leaves the rest of the block unread. */
void codec_block_skip(struct codec *c);

/* Bytes that are left to read. */
static inline size_t codec_left(const struct codec *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->at);
}

#endif
