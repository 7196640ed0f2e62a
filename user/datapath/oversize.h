/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the wire that are larger than the tunnel device's MTU. The kernel would drop them
 * between the ends of the pair; a peer sends them where its own MTU is larger, or ours was made
 * smaller a moment ago. TCP passes as what a device would have joined of smaller segments,
 * everything else in fragments, which the kernel puts together again. Pure.
 */
#ifndef DATAPATH_OVERSIZE_H
#define DATAPATH_OVERSIZE_H

#include "packet/join.h"

/* IPv4 with options; IPv6 with extension headers in front and the one for fragments. */
#define FRAGMENT_MAX_HEADER 264

struct fragmenter {
	const uint8_t *data; /* what is to be split; the caller's */
	uint32_t headers; /* bytes in front, repeated in each fragment, less the one of IPv6 ... */
	uint32_t at, end; /* ... and the next byte behind them, and the first not to send */
	uint32_t begin;	  /* where that counting began ... */
	uint32_t offset;  /* ... which has this offset, where it is a fragment already */
	uint32_t size;	  /* of all fragments but the last; a multiple of 8 */
	uint32_t id;	  /* network byte order */
	uint8_t version, next; /* IPv6: what the fragments are of */
	bool more;	       /* fragments of others follow */
};

/* One whole packet, of one piece: says in p->vnet that TCP made one of several. False: it is no TCP,
 * or not a right one. */
bool oversize_tcp(struct joined *p, uint32_t mtu);

/* `id`: differs from that of other packets, for those that have none. False: it cannot be split. */
bool fragment_begin(struct fragmenter *f, const uint8_t *data, uint32_t length, uint32_t mtu,
		    uint32_t id);
/* The next fragment: writes its headers and returns their length; *payload is a part of the packet.
 * 0: that was all. */
uint32_t fragment_next(struct fragmenter *f, uint8_t header[FRAGMENT_MAX_HEADER],
		       struct iovec *payload);

#endif
