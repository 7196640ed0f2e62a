/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One cursor over the headers of a packet at TC. Bytes are copied out (bpf_skb_load_bytes): headers
 * may lie in any part of a socket buffer. Every function returns false where the packet ends too
 * early.
 */
#ifndef BPF_PARSE_H
#define BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VXLAN_HEADER	   8
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP_MORE_FRAGMENTS  0x2000
/* Extension headers of IPv6 (linux/in6.h does not go with BPF). */
enum { EXT_HOPOPTS = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_DSTOPTS = 60 };
#define MAX_EXTENSIONS 6

struct cursor {
	struct __sk_buff *skb;
	__u32 at;
};

struct ip_view {
	__u8 version;  /* 4 or 6 */
	__u8 protocol; /* of the transport; 0 where it is not known */
	__u8 fragment; /* not the first piece: no transport header here */
	__u8 reserved;
	__u8 source[16], destination[16]; /* IPv4 in the first four bytes */
	__u32 end;			  /* offset behind the IP packet, as its header says */
};

struct udp_view {
	__u16 source, destination, length; /* host byte order */
};

static __always_inline bool take(struct cursor *c, void *to, __u32 len)
{
	if (bpf_skb_load_bytes(c->skb, c->at, to, len))
		return false;
	c->at += len;
	return true;
}

/* To the network header; *protocol in network byte order. */
static __always_inline bool parse_ethernet(struct cursor *c, __be16 *protocol)
{
	struct ethhdr ethernet;
	__be16 tag[2];

	if (!take(c, &ethernet, sizeof(ethernet)))
		return false;
	*protocol = ethernet.h_proto;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (*protocol != bpf_htons(ETH_P_8021Q) && *protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (!take(c, tag, sizeof(tag)))
			return false;
		*protocol = tag[1];
	}
	return true;
}

static __always_inline bool parse_ip4(struct cursor *c, struct ip_view *v)
{
	struct {
		__u8 version_length, tos;
		__be16 total, id, fragment;
		__u8 ttl, protocol;
		__be16 checksum;
		__u8 source[4], destination[4];
	} h;
	const __u32 begin = c->at;

	if (!take(c, &h, sizeof(h)) || h.version_length >> 4 != 4 || (h.version_length & 15) < 5)
		return false;
	v->version = 4;
	v->protocol = h.protocol;
	v->fragment = (h.fragment & bpf_htons(IP_FRAGMENT_OFFSET)) != 0;
	__builtin_memcpy(v->source, h.source, 4);
	__builtin_memcpy(v->destination, h.destination, 4);
	v->end = begin + bpf_ntohs(h.total);
	c->at = begin + (h.version_length & 15) * 4;
	return true;
}

static __always_inline bool parse_ip6(struct cursor *c, struct ip_view *v)
{
	struct {
		__u8 version_class[4];
		__be16 length;
		__u8 next, hops;
		__u8 source[16], destination[16];
	} h;
	__u8 next;

	if (!take(c, &h, sizeof(h)) || h.version_class[0] >> 4 != 6)
		return false;
	v->version = 6;
	__builtin_memcpy(v->source, h.source, 16);
	__builtin_memcpy(v->destination, h.destination, 16);
	v->end = c->at + bpf_ntohs(h.length);
	next = h.next;
#pragma unroll
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 extension[8];

		if (next != EXT_HOPOPTS && next != EXT_ROUTING && next != EXT_FRAGMENT &&
		    next != EXT_DSTOPTS)
			break;
		if (bpf_skb_load_bytes(c->skb, c->at, extension, sizeof(extension)))
			return false;
		if (next == EXT_FRAGMENT) {
			__be16 offset;

			__builtin_memcpy(&offset, extension + 2, sizeof(offset));
			v->fragment = (offset & bpf_htons(0xfff8)) != 0;
			c->at += 8;
		} else {
			c->at += 8 + extension[1] * 8;
		}
		next = extension[0];
	}
	v->protocol = next;
	return true;
}

/* By EtherType; false also for what is not IP. */
static __always_inline bool parse_ip(struct cursor *c, __be16 protocol, struct ip_view *v)
{
	__builtin_memset(v, 0, sizeof(*v));
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ip4(c, v);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_ip6(c, v);
	return false;
}

static __always_inline bool parse_udp(struct cursor *c, struct udp_view *v)
{
	__be16 h[4];

	if (!take(c, h, sizeof(h)))
		return false;
	v->source = bpf_ntohs(h[0]);
	v->destination = bpf_ntohs(h[1]);
	v->length = bpf_ntohs(h[2]);
	return true;
}

/* From behind UDP to what is inside; false where that is not IP. */
static __always_inline bool parse_vxlan(struct cursor *c, struct ip_view *v, bool *readable)
{
	__be16 protocol;

	c->at += VXLAN_HEADER;
	*readable = parse_ethernet(c, &protocol);
	if (!*readable)
		return false;
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return false;
	*readable = parse_ip(c, protocol, v);
	return *readable;
}

#endif
