/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/codec.h"

#include <string.h>

#define LENGTH 4 /* bytes of a block's length */

void codec_bytes(struct codec *c, void *bytes, size_t n)
{
	if (c->mode == CODEC_MEASURE) {
		c->measured += n;
		return;
	}
	if (c->failed || (size_t)(c->end - c->at) < n) {
		c->failed = true;
		if (c->mode == CODEC_READ)
			memset(bytes, 0, n);
		return;
	}
	if (c->mode == CODEC_WRITE)
		memcpy(c->at, bytes, n);
	else
		memcpy(bytes, c->at, n);
	c->at += n;
}

static void number(struct codec *c, uint64_t *value, size_t size)
{
	uint8_t bytes[8] = {0};

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(*value >> (8 * i));
	codec_bytes(c, bytes, size);
	if (c->mode != CODEC_READ)
		return;
	*value = 0;
	for (size_t i = 0; i < size; i++)
		*value |= (uint64_t)bytes[i] << (8 * i);
}

void codec_u8(struct codec *c, uint8_t *value)
{
	codec_bytes(c, value, 1);
}

void codec_bool(struct codec *c, bool *value)
{
	uint8_t byte = *value;

	codec_u8(c, &byte);
	if (byte > 1)
		c->failed = true;
	*value = byte == 1;
}

void codec_u16(struct codec *c, uint16_t *value)
{
	uint64_t wide = *value;

	number(c, &wide, 2);
	*value = (uint16_t)wide;
}

void codec_u32(struct codec *c, uint32_t *value)
{
	uint64_t wide = *value;

	number(c, &wide, 4);
	*value = (uint32_t)wide;
}

void codec_u64(struct codec *c, uint64_t *value)
{
	number(c, value, 8);
}

void codec_text(struct codec *c, char *text, size_t room)
{
	uint8_t n = (uint8_t)strnlen(text, room - 1);

	codec_u8(c, &n);
	if (n >= room) {
		c->failed = true;
		n = 0;
	}
	codec_bytes(c, text, n);
	if (c->mode != CODEC_READ)
		return;
	memset(text + n, 0, room - n);
	if (memchr(text, 0, n))
		c->failed = true;
}

void codec_block_begin(struct codec *c, struct codec_block *b)
{
	uint32_t length = 0;

	b->length_at = c->at;
	b->outer_end = c->end;
	codec_u32(c, &length);
	if (c->mode != CODEC_READ)
		return;
	if (length > codec_left(c))
		c->failed = true;
	else
		c->end = c->at + length;
}

void codec_block_skip(struct codec *c)
{
	if (!c->failed)
		c->at = c->end;
}

void codec_block_end(struct codec *c, struct codec_block *b)
{
	if (c->mode == CODEC_WRITE && !c->failed) {
		struct codec length = {.mode = CODEC_WRITE, .at = b->length_at, .end = c->at};
		uint32_t n = (uint32_t)(c->at - b->length_at - LENGTH);

		codec_u32(&length, &n);
	}
	if (c->mode == CODEC_READ) {
		codec_block_skip(c);
		c->end = b->outer_end;
	}
}
