/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as AF_XDP delivers them; a frame that is read is also built again. */
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[FRAME_MAC] = {2, 0, 0, 0, 0, 1};
	static uint8_t again[FRAME_HEADERS_MAX + 65536];
	uint8_t *frame = malloc(size ? size : 1);
	struct frame_headers h;
	struct wire_received r, s;
	uint32_t n;

	memcpy(frame, data, size);
	if (!frame_read(frame, (uint32_t)size, 3, &r))
		goto out;
	if (!r.length || r.data < frame || r.data + r.length > frame + size ||
	    r.segment != r.length)
		abort();
	frame_prepare(&h, &r.from, mac, mac, 65535);
	if (r.length > h.largest)
		goto out;
	n = frame_build(again, &h, 51820, r.data, r.length, r.tos, 1);
	if (!frame_read(again, n, 3, &s) || s.length != r.length || s.tos != r.tos ||
	    memcmp(s.data, r.data, r.length) != 0)
		abort();
out:
	free(frame);
	return 0;
}
