/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner packets: reading the headers of an IPv4 or IPv6 packet and its TCP or UDP header. Pure. One
 * parser for cut, join, classification of unstamped frames, ECN and ICMP answers.
 */
#ifndef DATAPATH_PACKET_H
#define DATAPATH_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet {
	uint8_t version;  /* 4 or 6 */
	uint8_t protocol; /* IPPROTO_* of the transport header, after IPv6 extension headers */
	uint8_t ecn;	  /* two bits, RFC 3168 */
	bool fragment;	  /* not a whole packet: l4 is then 0 */
	uint32_t length;  /* as the IP header says: header and payload */
	uint32_t l4;	  /* offset of the transport header; 0: none that we know */
	uint32_t payload; /* offset behind the TCP or UDP header; 0: neither, or cut short */
};

/* 0; -EBADMSG where the headers contradict each other or the `len` bytes at hand (of which only the
 * first `readable` are at `data`: a superpacket's first frame). len may exceed the IP length by
 * padding; it may not fall short of it. IP header checksums are not verified here. */
int packet_parse(struct packet *p, const uint8_t *data, size_t readable, size_t len);

/* RFC 1071 sum over data, continued from `sum`; odd lengths only at the end of a chain. The result
 * is the unfolded 64-bit sum of 16-bit words in memory order. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* Folded and inverted, in memory order: ready to be stored. */
uint16_t checksum_finish(uint64_t sum);
/* Sum of the pseudo header for the transport at p->l4, upper-layer length given (RFC 9293, 8200).
 */
uint64_t checksum_pseudo(const struct packet *p, const uint8_t *data, uint32_t l4_len);
/* Copy and sum in one pass; same contract as checksum_add. */
uint64_t checksum_copy(uint64_t sum, void *dst, const void *src, size_t len);

/* RFC 6040: what the outer header bears on the way out (normal mode: a copy of the inner field). */
uint8_t ecn_encapsulate(uint8_t inner);
/* RFC 6040 section 4.2: writes the resulting field into the inner packet (fixing the IPv4 header
 * checksum); false: the packet must be dropped (inner not-ECT, outer CE). */
bool ecn_decapsulate(uint8_t *data, const struct packet *p, uint8_t outer);

/* Builds an ICMP (v4: type 3) or ICMPv6 (type 1) destination unreachable, or packet too big, that
 * answers `data`, from `source` (4 or 16 bytes; for IPv4 may be NULL: the original destination is
 * used). Returns its length, or 0 where RFC 1122/4443 forbid an answer (to ICMP errors, multicast,
 * later fragments, unspecified sources). `room` is at least 1280. */
enum icmp_reason { ICMP_REASON_NO_PEER, ICMP_REASON_NO_ENDPOINT, ICMP_REASON_TOO_BIG };
size_t icmp_answer(uint8_t *out, size_t room, const uint8_t *data, size_t readable, size_t len,
		   enum icmp_reason reason, uint32_t mtu);

#endif
