/* SPDX-License-Identifier: Apache-2.0 */
/* Superpackets as AF_XDP delivers them: any bytes, any stamp, split anywhere. */
#include <stdlib.h>
#include <string.h>

#include "packet/cut.h"

#define MAX_FRAMES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cut_all(const struct iovec *frames, size_t n, struct cut_hint hint)
{
	struct cut cut;
	size_t len, segments = 0;

	if (cut_begin(&cut, frames, n, hint))
		return;
	while ((len = cut_next_len(&cut))) {
		uint8_t *out = malloc(len);
		struct packet p;

		if (cut_next(&cut, out) != len)
			abort();
		/* A packet that is not cut is passed on unchanged, even if bytes after
		 * CUT_MAX_HEADERS contradict the rest. */
		if (cut.headers && packet_parse(&p, out, len, len))
			abort();
		free(out);
		segments++;
	}
	if (segments != cut.segments)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iovec frames[MAX_FRAMES];
	struct cut_hint hint = {.gso_size = 0};
	size_t n = 0;
	uint8_t parts;

	if (size < 4)
		return 0;
	hint.gso_size = (uint16_t)(data[0] | data[1] << 8);
	hint.checksum_partial = data[2] & 1;
	hint.checksum_start = (uint16_t)(data[2] >> 1) * 2;
	hint.checksum_offset = data[3] & 62;
	parts = data[3];
	data += 4;
	size -= 4;
	while (size && n < MAX_FRAMES) {
		size_t len = n + 1 == MAX_FRAMES || !parts ? size : 1 + parts % size;

		frames[n].iov_base = malloc(len);
		frames[n].iov_len = len;
		memcpy(frames[n++].iov_base, data, len);
		data += len;
		size -= len;
		parts = (uint8_t)(parts * 5 + 3);
	}
	cut_all(frames, n, hint);
	if (n)
		cut_all(frames, n, cut_guess(frames, n, 1420));
	for (size_t i = 0; i < n; i++)
		free(frames[i].iov_base);
	return 0;
}
