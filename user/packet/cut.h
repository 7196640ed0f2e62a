/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a superpacket into the packets that the kernel's own segmentation would have made (TCP:
 * sequence numbers, PSH and FIN on the last only, CWR on the first only; UDP: datagrams of
 * gso_size; IPv4 ids that count up), and finishing the checksum of any packet that carries a
 * partial one. Pure: from frames to a buffer, copying and summing in one pass.
 *
 *   if (cut_begin(&cut, frames, n_frames, hint) == 0)
 *           while ((len = cut_next(&cut, dst)) != 0) ...
 */
#ifndef PACKET_CUT_H
#define PACKET_CUT_H

#include <sys/uio.h>

#include "packet/packet.h"

/* What the stamp says of the packet, or what was worked out for an unstamped one. */
struct cut_hint {
	uint16_t gso_size; /* superpacket: payload bytes a segment; 0: one packet */
	bool checksum_partial;
	/* Where that checksum is, if it is not the transport's: it covers all behind `start`, and
	 * its field is `offset` behind that. start 0: it is the transport's. */
	uint16_t checksum_start, checksum_offset;
};

#define CUT_MAX_HEADERS 256 /* IP with options or extension headers, and TCP with options */

struct cut {
	struct packet packet;
	struct cut_hint hint;
	const struct iovec *frames;
	size_t n_frames;
	size_t frame; /* next payload byte: frame and offset in it */
	size_t offset;
	uint32_t headers; /* bytes before the payload, repeated in each segment */
	uint32_t payload_left;
	uint32_t segment_payload; /* of all but the last */
	uint32_t index;		  /* segments made so far */
	uint32_t segments;	  /* in all */
	uint8_t header[CUT_MAX_HEADERS];
};

/* `frames` hold the inner packet, from its IP header, in order; they stay the caller's until the
 * last cut_next(). -EBADMSG: malformed, or a hint that does not fit the packet; -EMSGSIZE: the
 * headers of a superpacket are longer than CUT_MAX_HEADERS. */
int cut_begin(struct cut *c, const struct iovec *frames, size_t n_frames, struct cut_hint hint);
/* Length of the next segment, 0 after the last: the caller sizes its buffer by it. */
size_t cut_next_len(const struct cut *c);
/* Writes the next segment, complete and with checksums, and returns its length; 0: no more. `dst`
 * has room for cut_next_len() bytes. */
size_t cut_next(struct cut *c, uint8_t *dst);

/* For an unstamped frame: what an absent stamp would have said. A TCP packet above `mtu` is cut to
 * it; a checksum field equal to the pseudo-header sum is taken for a partial checksum. */
struct cut_hint cut_guess(const struct iovec *frames, size_t n_frames, uint32_t mtu);

#endif
