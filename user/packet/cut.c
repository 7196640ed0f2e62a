/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/cut.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "packet/big_endian.h"
#include "packet/checksum.h"

/* Offsets in the headers, RFC 791, 8200, 9293, 768. */
#define IP4_LENGTH   2
#define IP4_ID	     4
#define IP4_CHECKSUM 10
#define IP6_LENGTH   4
#define IP6_HEADER   40
#define TCP_SEQUENCE 4
#define TCP_FLAGS    13
#define TCP_CHECKSUM 16
#define UDP_LENGTH   4
#define UDP_CHECKSUM 6

#define FIN 0x01
#define PSH 0x08
#define CWR 0x80

/* Copies `len` bytes from the frames at c->frame, c->offset on, and moves on. */
static void gather(struct cut *c, uint8_t *dst, size_t len)
{
	while (len) {
		const struct iovec *f = &c->frames[c->frame];
		size_t n = f->iov_len - c->offset;

		if (n > len)
			n = len;
		memcpy(dst, (const uint8_t *)f->iov_base + c->offset, n);
		dst += n;
		len -= n;
		c->offset += n;
		if (c->offset == f->iov_len) {
			c->frame++;
			c->offset = 0;
		}
	}
}

/* The same with the checksum of what was copied. Most segments lie in one frame and are read once.
 * Across frames an odd length would shift the sum, so there the sum is computed afterwards. */
static uint64_t gather_sum(struct cut *c, uint64_t sum, uint8_t *dst, size_t len)
{
	const struct iovec *f = &c->frames[c->frame];

	if (c->frame < c->n_frames && f->iov_len - c->offset > len) {
		sum = checksum_copy(sum, dst, (const uint8_t *)f->iov_base + c->offset, len);
		c->offset += len;
		return sum;
	}
	gather(c, dst, len);
	return checksum_add(sum, dst, len);
}

static size_t total(const struct iovec *frames, size_t n_frames)
{
	size_t len = 0;

	for (size_t i = 0; i < n_frames; i++)
		len += frames[i].iov_len;
	return len;
}

/* The first bytes in one piece, wherever the frames are split. */
static size_t head(const struct iovec *frames, size_t n_frames, uint8_t *out, size_t room)
{
	size_t have = 0;

	for (size_t i = 0; i < n_frames && have < room; i++) {
		size_t n = frames[i].iov_len;

		if (n > room - have)
			n = room - have;
		memcpy(out + have, frames[i].iov_base, n);
		have += n;
	}
	return have;
}

static bool is_transport(const struct packet *p)
{
	return p->payload && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP);
}

/* Is the checksum that is to be finished one of a packet in this packet? */
static bool is_nested(const struct cut *c)
{
	const struct cut_hint *h = &c->hint;

	return h->checksum_partial && h->checksum_start &&
	       !(is_transport(&c->packet) && h->checksum_start == c->packet.l4);
}

int cut_begin(struct cut *c, const struct iovec *frames, size_t n_frames, struct cut_hint hint)
{
	const size_t len = total(frames, n_frames);
	size_t readable;

	c->frames = frames;
	c->n_frames = n_frames;
	c->hint = hint;
	c->frame = 0;
	c->offset = 0;
	c->index = 0;
	readable = head(frames, n_frames, c->header, sizeof(c->header));
	if (packet_parse(&c->packet, c->header, readable, len))
		return -EBADMSG;

	struct packet *p = &c->packet;

	if (is_nested(c) &&
	    (hint.gso_size ||
	     (uint32_t)hint.checksum_start + hint.checksum_offset + sizeof(uint16_t) > p->length))
		return -EBADMSG;
	if (!hint.gso_size) {
		/* A whole packet: everything is payload, but for the checksum. */
		if (hint.checksum_partial && !is_transport(p) && !is_nested(c))
			return -EBADMSG;
		c->headers = 0;
		c->payload_left = c->segment_payload = p->length;
		c->segments = 1;
		return 0;
	}
	if (!is_transport(p))
		return -EBADMSG;
	if (p->payload > sizeof(c->header))
		return -EMSGSIZE;
	c->headers = p->payload;
	c->payload_left = p->length - p->payload;
	c->segment_payload = hint.gso_size;
	c->segments = (c->payload_left + hint.gso_size - 1) / hint.gso_size;
	if (!c->segments)
		c->segments = 1;
	/* Copies the headers and moves the cursor past them. */
	uint32_t skip = c->headers;

	while (skip && skip >= c->frames[c->frame].iov_len - c->offset) {
		skip -= (uint32_t)(c->frames[c->frame].iov_len - c->offset);
		c->frame++;
		c->offset = 0;
	}
	c->offset += skip;
	return 0;
}

size_t cut_next_len(const struct cut *c)
{
	if (c->index == c->segments)
		return 0;
	return c->headers +
	       (c->payload_left < c->segment_payload ? c->payload_left : c->segment_payload);
}

static size_t checksum_at(const struct packet *p)
{
	return p->l4 + (p->protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
}

static void store_checksum(const struct packet *p, uint8_t *dst, uint64_t sum)
{
	uint16_t checksum = checksum_finish(sum);

	/* RFC 768: zero would say that there is none. */
	if (!checksum && p->protocol == IPPROTO_UDP)
		checksum = 0xffff;
	memcpy(dst + checksum_at(p), &checksum, sizeof(checksum));
}

static size_t whole(struct cut *c, uint8_t *dst)
{
	const struct packet *p = &c->packet;

	gather(c, dst, p->length);
	if (is_nested(c)) {
		/* The field has the sum of the pseudo header, and counts with the rest. */
		const uint32_t start = c->hint.checksum_start;
		uint16_t sum = checksum_finish(checksum_add(0, dst + start, p->length - start));

		/* As for UDP: zero would say that there is none. */
		if (!sum)
			sum = 0xffff;
		memcpy(dst + start + c->hint.checksum_offset, &sum, sizeof(sum));
	} else if (c->hint.checksum_partial) {
		const uint32_t l4_len = p->length - p->l4;

		memset(dst + checksum_at(p), 0, 2);
		store_checksum(p, dst,
			       checksum_add(checksum_pseudo(p, dst, l4_len), dst + p->l4, l4_len));
	}
	return p->length;
}

/* The headers of segment c->index, whose payload is `payload` bytes; checksum of the transport
 * zero. */
static void write_headers(struct cut *c, uint8_t *dst, uint32_t payload)
{
	const struct packet *p = &c->packet;
	const bool last = c->index + 1 == c->segments;
	uint8_t *l4 = dst + p->l4;

	memcpy(dst, c->header, c->headers);
	if (p->version == 4) {
		uint16_t sum;

		write_be16(dst + IP4_LENGTH, c->headers + payload);
		write_be16(dst + IP4_ID, read_be16(c->header + IP4_ID) + c->index);
		memset(dst + IP4_CHECKSUM, 0, 2);
		sum = checksum_finish(checksum_add(0, dst, p->l4));
		memcpy(dst + IP4_CHECKSUM, &sum, sizeof(sum));
	} else {
		write_be16(dst + IP6_LENGTH, c->headers + payload - IP6_HEADER);
	}
	if (p->protocol == IPPROTO_TCP) {
		write_be32(l4 + TCP_SEQUENCE,
			   read_be32(l4 + TCP_SEQUENCE) + c->index * c->segment_payload);
		if (!last)
			l4[TCP_FLAGS] &= (uint8_t) ~(FIN | PSH);
		if (c->index)
			l4[TCP_FLAGS] &= (uint8_t)~CWR;
	} else {
		write_be16(l4 + UDP_LENGTH, c->headers - p->l4 + payload);
	}
	memset(dst + checksum_at(p), 0, 2);
}

size_t cut_next(struct cut *c, uint8_t *dst)
{
	const struct packet *p = &c->packet;
	const size_t len = cut_next_len(c);

	if (!len)
		return 0;
	if (!c->headers) {
		c->index++;
		c->payload_left = 0;
		return whole(c, dst);
	}

	const uint32_t payload = (uint32_t)len - c->headers;
	uint64_t sum = checksum_pseudo(p, c->header, (uint32_t)len - p->l4);

	write_headers(c, dst, payload);
	/* Transport headers are a multiple of four bytes, so that the payload's sum just adds. */
	sum = checksum_add(sum, dst + p->l4, c->headers - p->l4);
	sum = gather_sum(c, sum, dst + c->headers, payload);
	store_checksum(p, dst, sum);
	c->payload_left -= payload;
	c->index++;
	return len;
}

struct cut_hint cut_guess(const struct iovec *frames, size_t n_frames, uint32_t mtu)
{
	struct cut_hint hint = {.gso_size = 0};
	const size_t len = total(frames, n_frames);
	uint8_t start[CUT_MAX_HEADERS];
	size_t readable = head(frames, n_frames, start, sizeof(start));
	struct packet p;
	uint16_t field;

	if (packet_parse(&p, start, readable, len) || !is_transport(&p) ||
	    checksum_at(&p) + 2 > readable)
		return hint;
	memcpy(&field, start + checksum_at(&p), sizeof(field));
	hint.checksum_partial = field == checksum_fold(checksum_pseudo(&p, start, p.length - p.l4));
	if (p.length > mtu && p.protocol == IPPROTO_TCP && mtu > p.payload)
		hint.gso_size = (uint16_t)(mtu - p.payload);
	return hint;
}
