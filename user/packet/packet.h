/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner packets: reading the headers of an IPv4 or IPv6 packet and its TCP or UDP header. Pure. One
 * parser for cut, join, classification of unstamped frames, ECN and ICMP answers.
 */
#ifndef PACKET_PACKET_H
#define PACKET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet {
	uint8_t version;  /* 4 or 6 */
	uint8_t protocol; /* IPPROTO_* of the transport header, after IPv6 extension headers */
	uint8_t ecn;	  /* two bits, RFC 3168 */
	bool fragment;	  /* not a whole packet: l4 is then 0 */
	/* What is above the addresses contradicts itself, or goes beyond what is readable: l4 is then
	 * 0. Such a packet is carried as it is. */
	bool opaque;
	uint32_t length;  /* as the IP header says: header and payload */
	uint32_t l4;	  /* offset of the transport header; 0: none that we know */
	uint32_t payload; /* offset behind the TCP or UDP header; 0: neither, or cut short */
};

/* 0; -EBADMSG: not IP with its addresses, or longer than the `len` bytes at hand (of which only the
 * first `readable` are at `data`: a superpacket's first frame). len may exceed the IP length by
 * padding. IP header checksums are not verified here. */
int packet_parse(struct packet *p, const uint8_t *data, size_t readable, size_t len);

#endif
