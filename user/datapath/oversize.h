/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the wire that are larger than the tunnel device's MTU. A peer sends them if its own
 * MTU is larger, or if ours has just become smaller. The kernel would drop them between the two
 * ends of the pair. So a TCP packet is marked as a superpacket, as if a device had joined it from
 * smaller segments. Every other packet is split into fragments, which the kernel puts together
 * again. Pure.
 */
#ifndef DATAPATH_OVERSIZE_H
#define DATAPATH_OVERSIZE_H

#include "packet/join.h"

/* Bytes. An IPv4 header with options, or IPv6 with extension headers and a fragment header. */
#define FRAGMENT_MAX_HEADER 264

struct fragmenter {
	const uint8_t *data; /* the packet to split; the caller owns it */
	uint32_t headers;    /* bytes of headers that each fragment repeats, without IPv6's own */
	uint32_t at, end;    /* positions in `data`: the next byte to send, and the end */
	uint32_t begin;	     /* position of the first byte behind the headers ... */
	uint32_t offset;     /* ... and its fragment offset; not 0 if this is a fragment already */
	uint32_t size;	     /* payload bytes of all fragments but the last; a multiple of 8 */
	uint32_t id;	     /* network byte order */
	uint8_t version, next; /* `next`: the protocol behind the fragment header (IPv6) */
	bool more;	       /* the packet is a fragment, and not the last one */
};

/* Marks one packet, which is one piece, as a TCP superpacket in p->vnet. False: it is not TCP, it
 * is not too large, or a checksum is wrong. */
bool oversize_tcp(struct joined *p, uint32_t mtu);

/* `id`: for packets that have no id of their own; the caller gives each packet another one. False:
 * the packet cannot be split. */
bool fragment_begin(struct fragmenter *f, const uint8_t *data, uint32_t length, uint32_t mtu,
		    uint32_t id);
/* The next fragment: writes its headers and returns their length; *payload points into the packet.
 * 0: there are no more fragments. */
uint32_t fragment_next(struct fragmenter *f, uint8_t header[FRAGMENT_MAX_HEADER],
		       struct iovec *payload);

#endif
