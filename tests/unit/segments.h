/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of superpackets: packets are cut into them, and joined from them. */
#ifndef TESTS_UNIT_SEGMENTS_H
#define TESTS_UNIT_SEGMENTS_H

#include <errno.h>

#include "packet/cut.h"
#include "packets.h"

#define FIN 0x01
#define SYN 0x02
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define CWR 0x80

#define MAX_SEGMENTS 200

struct segments {
	size_t n;
	uint8_t *data[MAX_SEGMENTS]; /* exact sizes, for AddressSanitizer */
	size_t len[MAX_SEGMENTS];
};

static inline void segments_free(struct segments *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->data[i]);
	s->n = 0;
}

/* Copies memory to separate pieces, split at random places; returns the number of pieces. */
static inline size_t split(struct iovec *frames, size_t max, const uint8_t *data, size_t len,
			   uint64_t *random)
{
	size_t n = 0;

	while (len) {
		size_t part = n + 1 == max || draw(random) % 8 == 0 ? len : 1 + draw(random) % len;

		if (draw(random) % 3 == 0 && len > 60 && n + 1 < max)
			part = 1 + draw(random) % 60; /* also inside the headers */
		frames[n].iov_base = malloc(part);
		frames[n].iov_len = part;
		memcpy(frames[n].iov_base, data, part);
		n++;
		data += part;
		len -= part;
	}
	return n;
}

static inline int cut_all(struct segments *out, const uint8_t *data, size_t len,
			  struct cut_hint hint, uint64_t *random)
{
	struct iovec frames[20] = {{NULL, 0}};
	size_t n = split(frames, COUNT_OF(frames), data, len, random);
	struct cut cut;
	int err = cut_begin(&cut, frames, n, hint);

	out->n = 0;
	while (!err && cut_next_len(&cut)) {
		assert_true(out->n < MAX_SEGMENTS);
		out->len[out->n] = cut_next_len(&cut);
		out->data[out->n] = malloc(out->len[out->n]);
		assert_int_equal(cut_next(&cut, out->data[out->n]), out->len[out->n]);
		out->n++;
	}
	if (!err)
		assert_int_equal(out->n, cut.segments);
	for (size_t i = 0; i < n; i++)
		free(frames[i].iov_base);
	return err;
}

static inline void add_copy(struct segments *s, const uint8_t *data, size_t len)
{
	assert_true(s->n < MAX_SEGMENTS);
	s->data[s->n] = malloc(len);
	memcpy(s->data[s->n], data, len);
	s->len[s->n++] = len;
}

#endif
