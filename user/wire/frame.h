/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames around WireGuard messages, as they go through AF_XDP on the uplink: what a UDP
 * socket and the kernel below it would make, and read. Pure.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "wire/endpoint.h"
#include "wire/wire.h"

#define FRAME_MAC	  6
#define FRAME_HEADERS4	  (14 + 20 + 8)
#define FRAME_HEADERS6	  (14 + 40 + 8)
#define FRAME_HEADERS_MAX FRAME_HEADERS6

/* The headers of all frames to one place, and what can be summed of them in advance. */
struct frame_headers {
	uint8_t bytes[FRAME_HEADERS_MAX];
	uint8_t length;
	uint32_t largest;    /* message that fits the path whole */
	uint64_t pseudo_sum; /* UDP's pseudo header without its length */
};

/* From `from` (address alone; its family is that of `to`), through a device with our MAC address,
 * to the neighbour's. `mtu`: of the path. */
void frame_prepare(struct frame_headers *out, const struct endpoint *e,
		   const uint8_t ours[FRAME_MAC], const uint8_t theirs[FRAME_MAC], uint32_t mtu);

/* Writes a whole frame with a copy of the message, at most h->largest bytes, and returns its
 * length. `id` tells packets apart that somebody on the way cuts. */
uint32_t frame_build(uint8_t *frame, const struct frame_headers *h, uint16_t port,
		     const uint8_t *message, uint32_t length, uint8_t tos, uint16_t id);

/* Finds the message in a frame that came in by device `ifindex`. False: not UDP in one whole
 * packet. Sums are not looked at: the kernel's program did that where it can be done. */
bool frame_read(uint8_t *frame, uint32_t length, int ifindex, struct wire_received *out);

#endif
