/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guard and shield walk over the headers of a packet: from the outermost header to the last one
 * that may hide a pod's packet. The walk knows VLAN tags, IPv4, IPv6 and its extension headers,
 * VXLAN, Geneve, GRE and IP in IP. At each IP header it first checks the address, which is in the
 * fixed part of the header. Only then it reads what follows.
 *
 * bpf_skb_load_bytes() copies the bytes, because headers may be in any part of a socket buffer. The
 * length in an IP or UDP header sets the end of the packet. Bytes behind that end are padding:
 * receivers cut them off, so the walk ignores them.
 *
 * Fragments: a later fragment has no headers and passes, because no receiver can reassemble the
 * packet without the first fragment. The first fragment must hold all headers of the walk.
 */
#ifndef BPF_WALK_H
#define BPF_WALK_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "guard_maps.h"

/* Each VLAN tag, extension header and encapsulation counts as one. A pod's packet in VXLAN, with
 * two VLAN tags outside and two inside, takes ten. A packet with more headers than this is
 * UNREADABLE. */
#define MAX_HEADERS 20

/* POD: a pod of another node with which encryption was never established. ENCRYPTED_POD: encryption
 * with that node was established before. */
enum finding { GOES_ON, NO_POD, POD, ENCRYPTED_POD, UNREADABLE };

/* The header at the walk's current position. */
enum header { ETHERNET, BARE_IP, VLAN, IP4, IP6, TRANSPORT, VXLAN, GENEVE, GRE };

/* IP protocols and extension headers (linux/in6.h does not go with BPF). */
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, DESTINATION_OPTIONS = 60 };

#define UDP_HEADER	   8
#define IP_FRAGMENT_OFFSET 0x1fff
#define TYPE_WCCP	   0x883e /* in GRE: IPv4, sometimes after four extra bytes */

/* The outermost UDP datagram. port 0: there is none. */
struct datagram {
	__u8 version, reserved;
	__u16 port, length; /* host byte order; length: of the UDP header */
	__u32 content;	    /* where the payload begins: offset in the packet */
	__u8 source[16], destination[16];
};

struct walk {
	__u32 at, end;
	__u8 header;   /* enum header */
	__u8 protocol; /* IP protocol; for TRANSPORT */
	__u8 version;  /* of the last IP header: 4 or 6 */
	__u8 wrapped;  /* 1: the walk is inside an encapsulated packet */
	__u8 inward;   /* 1: check source addresses; 0: destinations */
	struct datagram outer;
};

static __always_inline bool read_header(struct __sk_buff *skb, struct walk *w, void *to, __u32 len)
{
	if (w->at + len > w->end || bpf_skb_load_bytes(skb, w->at, to, len))
		return false;
	w->at += len;
	return true;
}

/* Sets the end of an inner packet to begin + len, but never behind the end of the outer packet. */
static __always_inline void limit_end(struct walk *w, __u32 begin, __u32 len)
{
	if (begin + len < w->end)
		w->end = begin + len;
}

/* Does the address belong to a pod of another node? GOES_ON: no. */
static __always_inline enum finding judge(__u8 version, const __u8 *address)
{
	switch (kind_of(version, address)) {
	case PV_GUARD_REMOTE:
		return POD;
	case PV_GUARD_ENCRYPTED:
		return ENCRYPTED_POD;
	}
	return GOES_ON;
}

/* Chooses the next header by its EtherType. */
static __always_inline enum finding on_type(struct walk *w, __be16 type)
{
	switch (type) {
	case bpf_htons(ETH_P_IP):
		w->header = IP4;
		return GOES_ON;
	case bpf_htons(ETH_P_IPV6):
		w->header = IP6;
		return GOES_ON;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		w->header = VLAN;
		return GOES_ON;
	case bpf_htons(ETH_P_TEB):
		w->header = ETHERNET;
		return GOES_ON;
	}
	return NO_POD;
}

static __always_inline enum finding on_ethernet(struct __sk_buff *skb, struct walk *w)
{
	struct ethhdr h;

	return read_header(skb, w, &h, sizeof(h)) ? on_type(w, h.h_proto) : UNREADABLE;
}

static __always_inline enum finding on_vlan(struct __sk_buff *skb, struct walk *w)
{
	__be16 h[2];

	return read_header(skb, w, h, sizeof(h)) ? on_type(w, h[1]) : UNREADABLE;
}

/* For devices without a link-layer header. */
static __always_inline enum finding on_bare_ip(struct __sk_buff *skb, struct walk *w)
{
	__u8 first;

	if (bpf_skb_load_bytes(skb, w->at, &first, 1))
		return UNREADABLE;
	if (first >> 4 != 4 && first >> 4 != 6)
		return NO_POD;
	w->header = first >> 4 == 4 ? IP4 : IP6;
	return GOES_ON;
}

static __always_inline void note_outer(struct walk *w, const void *source, const void *destination,
				       __u32 size)
{
	if (w->wrapped)
		return;
	w->outer.version = w->version;
	__builtin_memcpy(w->outer.source, source, size);
	__builtin_memcpy(w->outer.destination, destination, size);
}

static __always_inline enum finding on_ip4(struct __sk_buff *skb, struct walk *w)
{
	struct {
		__u8 version_length, tos;
		__be16 total, id, fragment;
		__u8 ttl, protocol;
		__be16 checksum;
		__u8 source[4], destination[4];
	} h;
	const __u32 begin = w->at;
	enum finding found;

	if (!read_header(skb, w, &h, sizeof(h)))
		return UNREADABLE;
	found = judge(4, w->inward ? h.source : h.destination);
	if (found != GOES_ON)
		return found;
	if (h.version_length >> 4 != 4 || (h.version_length & 15) < 5)
		return UNREADABLE;
	if (h.fragment & bpf_htons(IP_FRAGMENT_OFFSET))
		return NO_POD;
	w->version = 4;
	note_outer(w, h.source, h.destination, 4);
	if (h.total) /* 0: a superpacket of more than 64 KiB */
		limit_end(w, begin, bpf_ntohs(h.total));
	w->at = begin + (h.version_length & 15) * 4;
	w->protocol = h.protocol;
	w->header = TRANSPORT;
	return GOES_ON;
}

static __always_inline enum finding on_ip6(struct __sk_buff *skb, struct walk *w)
{
	struct {
		__u8 version_class[4];
		__be16 length;
		__u8 next, hops;
		__u8 source[16], destination[16];
	} h;
	enum finding found;

	if (!read_header(skb, w, &h, sizeof(h)))
		return UNREADABLE;
	found = judge(6, w->inward ? h.source : h.destination);
	if (found != GOES_ON)
		return found;
	if (h.version_class[0] >> 4 != 6)
		return UNREADABLE;
	w->version = 6;
	note_outer(w, h.source, h.destination, 16);
	if (h.length) /* 0: more than 64 KiB */
		limit_end(w, w->at, bpf_ntohs(h.length));
	w->protocol = h.next;
	w->header = TRANSPORT;
	return GOES_ON;
}

/* A routing header holds the packet's final destination (RFC 8754: its first segment). */
static __always_inline enum finding judge_last(struct __sk_buff *skb, __u32 begin)
{
	__u8 last[16];

	return bpf_skb_load_bytes(skb, begin + 8, last, sizeof(last)) ? POD : judge(6, last);
}

static __always_inline enum finding on_extension(struct __sk_buff *skb, struct walk *w)
{
	const __u32 begin = w->at;
	__u8 h[8];

	if (!read_header(skb, w, h, sizeof(h)))
		return UNREADABLE;
	if (w->protocol == FRAGMENT) {
		__be16 offset;

		__builtin_memcpy(&offset, h + 2, sizeof(offset));
		if (offset & bpf_htons(0xfff8))
			return NO_POD;
	} else {
		w->at = begin + (w->protocol == AUTHENTICATION ? (h[1] + 2) * 4 : (h[1] + 1) * 8);
	}
	if (w->protocol == ROUTING && h[3] && !w->inward) {
		const enum finding found = judge_last(skb, begin);

		if (found != GOES_ON)
			return found;
	}
	w->protocol = h[0];
	return GOES_ON;
}

static __always_inline bool is_among(const __u16 *ports, __u16 port)
{
	for (int i = 0; i < PV_GUARD_PORTS; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static __always_inline enum finding on_udp(struct __sk_buff *skb, struct walk *w)
{
	const __u32 begin = w->at;
	const struct pv_guard_settings *s;
	__be16 h[4];
	__u16 port, length;
	__u32 zero = 0;

	if (!read_header(skb, w, h, sizeof(h)))
		return UNREADABLE;
	port = bpf_ntohs(h[1]);
	length = bpf_ntohs(h[2]);
	if (!w->wrapped) {
		w->outer.port = port;
		w->outer.length = length;
		w->outer.content = w->at;
	}
	if (length >= UDP_HEADER)
		limit_end(w, begin, length);
	s = bpf_map_lookup_elem(&guard_settings, &zero);
	if (!s || !port)
		return NO_POD;
	if (is_among(s->vxlan_ports, port))
		w->header = VXLAN;
	else if (is_among(s->geneve_ports, port))
		w->header = GENEVE;
	else
		return NO_POD;
	w->wrapped = 1;
	return GOES_ON;
}

static __always_inline enum finding on_transport(struct __sk_buff *skb, struct walk *w)
{
	switch (w->protocol) {
	case IPPROTO_UDP:
		return on_udp(skb, w);
	case IPPROTO_IPIP:
		w->header = IP4;
		break;
	case IPPROTO_IPV6:
		w->header = IP6;
		break;
	case IPPROTO_GRE:
		w->header = GRE;
		break;
	case AUTHENTICATION:
		return on_extension(skb, w);
	case HOP_BY_HOP:
	case ROUTING:
	case FRAGMENT:
	case DESTINATION_OPTIONS:
		return w->version == 6 ? on_extension(skb, w) : NO_POD;
	default:
		return NO_POD;
	}
	w->wrapped = 1;
	return GOES_ON;
}

static __always_inline enum finding on_vxlan(struct __sk_buff *skb, struct walk *w)
{
	__u8 h[8];

	if (!read_header(skb, w, h, sizeof(h)))
		return UNREADABLE;
	if (!(h[0] & 0x04)) {
		w->header = ETHERNET;
		return GOES_ON;
	}
	/* VXLAN-GPE, the generic protocol extension. */
	if (h[3] < 1 || h[3] > 3)
		return NO_POD;
	w->header = h[3] == 1 ? IP4 : h[3] == 2 ? IP6 : ETHERNET;
	return GOES_ON;
}

static __always_inline enum finding on_geneve(struct __sk_buff *skb, struct walk *w)
{
	struct {
		__u8 version_length, flags;
		__be16 type;
		__u8 network[4];
	} h;

	if (!read_header(skb, w, &h, sizeof(h)))
		return UNREADABLE;
	if (h.version_length >> 6)
		return NO_POD;
	w->at += (h.version_length & 0x3f) * 4;
	return on_type(w, h.type);
}

static __always_inline enum finding on_gre(struct __sk_buff *skb, struct walk *w)
{
	__u8 h[4], first;
	__be16 type;

	if (!read_header(skb, w, h, sizeof(h)))
		return UNREADABLE;
	if (h[1] & 7) /* version 1, of PPTP */
		return NO_POD;
	if (h[0] & 0x40) /* routing field: out of use */
		return UNREADABLE;
	/* Skip the checksum, the key and the sequence number. */
	w->at += (h[0] & 0x80 ? 4 : 0) + (h[0] & 0x20 ? 4 : 0) + (h[0] & 0x10 ? 4 : 0);
	__builtin_memcpy(&type, h + 2, sizeof(type));
	if (type != bpf_htons(TYPE_WCCP))
		return on_type(w, type);
	if (bpf_skb_load_bytes(skb, w->at, &first, 1))
		return UNREADABLE;
	if (first >> 4 != 4)
		w->at += 4;
	w->header = IP4;
	return GOES_ON;
}

/* Returns enum finding. A global function: the verifier checks it once, not once for each header,
 * and assumes nothing about the walk's state. (bpf_loop() is no choice: Linux 6.1 assumes that it
 * calls its function only once, and removes the code that only a second call would reach.) */
__attribute__((noinline)) __weak int on_header(struct __sk_buff *skb, struct walk *w)
{
	if (!w)
		return UNREADABLE;
	switch (w->header) {
	case ETHERNET:
		return on_ethernet(skb, w);
	case BARE_IP:
		return on_bare_ip(skb, w);
	case VLAN:
		return on_vlan(skb, w);
	case IP4:
		return on_ip4(skb, w);
	case IP6:
		return on_ip6(skb, w);
	case TRANSPORT:
		return on_transport(skb, w);
	case VXLAN:
		return on_vxlan(skb, w);
	case GENEVE:
		return on_geneve(skb, w);
	case GRE:
		return on_gre(skb, w);
	}
	return UNREADABLE;
}

/* Never returns GOES_ON. The caller sets w->header (the device's first header) and w->inward. */
static __always_inline enum finding walk(struct __sk_buff *skb, struct walk *w)
{
	w->end = skb->len;
	for (int i = 0; i < MAX_HEADERS; i++) {
		const int found = on_header(skb, w);

		if (found != GOES_ON)
			return found;
	}
	return UNREADABLE;
}

#endif
