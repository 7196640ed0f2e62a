/* SPDX-License-Identifier: Apache-2.0 */
/* Packets as on the cable, built from the inside out, and all the encapsulations that guard and shield
 * know. */
#ifndef TESTS_BPF_WRAPPINGS_H
#define TESTS_BPF_WRAPPINGS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Two nodes; ours is the second. */
#define NODE4  "172.18.0.1"
#define OURS4  "172.18.0.2"
#define NODE6  "fd18::1"
#define OURS6  "fd18::2"
#define OTHER4 "172.18.0.3"

/* --- packets, from the inside out --- */

#define ROOM 2048

struct packet {
	uint8_t room[ROOM];
	uint32_t len; /* the packet is the last `len` bytes of the room */
};

static uint8_t *bytes(struct packet *p)
{
	return p->room + ROOM - p->len;
}

static void before(struct packet *p, const void *data, uint32_t len)
{
	p->len += len;
	memcpy(bytes(p), data, len);
}

static void put16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static void ethernet(struct packet *p, unsigned int tags, uint16_t type)
{
	uint8_t h[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	for (unsigned int i = 0; i < tags; i++) {
		uint8_t tag[4] = {0, 7};

		put16(tag + 2, type);
		before(p, tag, 4);
		type = i % 2 ? 0x88a8 : 0x8100;
	}
	put16(h + 12, type);
	before(p, h, 14);
}

#define MORE  0x2000
#define LATER 100

/* Puts an IPv4 header before the packet. `options`: in words; `fragment`: the header's field. */
static void ip4(struct packet *p, const char *from, const char *to, uint8_t protocol,
		unsigned int options, uint16_t fragment)
{
	uint8_t h[60] = {(uint8_t)(0x45 + options), 0, 0, 0, 0, 1, 0, 0, 64, protocol};

	put16(h + 2, 20 + options * 4 + p->len);
	put16(h + 6, fragment);
	inet_pton(AF_INET, from, h + 12);
	inet_pton(AF_INET, to, h + 16);
	memset(h + 20, 1, options * 4);
	before(p, h, 20 + options * 4);
}

static void ip6(struct packet *p, const char *from, const char *to, uint8_t protocol)
{
	uint8_t h[40] = {0x60, 0, 0, 0, 0, 0, protocol, 64};

	put16(h + 4, p->len);
	inet_pton(AF_INET6, from, h + 8);
	inet_pton(AF_INET6, to, h + 24);
	before(p, h, 40);
}

static bool is_ip6(const char *address)
{
	return strchr(address, ':') != NULL;
}

static uint16_t type_of(const char *address)
{
	return is_ip6(address) ? 0x86dd : 0x0800;
}

static void ip(struct packet *p, const char *from, const char *to, uint8_t protocol)
{
	if (is_ip6(to))
		ip6(p, from, to, protocol);
	else
		ip4(p, from, to, protocol, 0, 0);
}

static void udp(struct packet *p, uint16_t port)
{
	uint8_t h[8] = {0x9c, 0x40};

	put16(h + 2, port);
	put16(h + 4, 8 + p->len);
	before(p, h, 8);
}

/* An IP packet from pod to pod, without a wrapping. */
static struct packet inner(const char *from, const char *to)
{
	struct packet p = {.len = 0};

	before(&p, "twenty bytes of data", 20);
	udp(&p, 53);
	ip(&p, from, to, IPPROTO_UDP);
	return p;
}

/* --- all wrappings --- */

static void node4(struct packet *p, uint8_t protocol)
{
	ip4(p, NODE4, OURS4, protocol, 0, 0);
	ethernet(p, 0, 0x0800);
}

static void node6(struct packet *p, uint8_t protocol)
{
	ip6(p, NODE6, OURS6, protocol);
	ethernet(p, 0, 0x86dd);
}

static void vxlan(struct packet *p, uint16_t port)
{
	before(p, "\x08\0\0\0\0\x10\0", 8);
	udp(p, port);
}

static void bare(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
}

static void two_tags(struct packet *p, uint16_t type)
{
	ethernet(p, 2, type);
}

static void five_tags(struct packet *p, uint16_t type)
{
	ethernet(p, 5, type);
}

static void vxlan4(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	vxlan(p, 4789);
	node4(p, IPPROTO_UDP);
}

static void vxlan6(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	vxlan(p, 8472);
	node6(p, IPPROTO_UDP);
}

static void vxlan_three_tags(struct packet *p, uint16_t type)
{
	ethernet(p, 3, type);
	vxlan(p, 4789);
	ip4(p, NODE4, OURS4, IPPROTO_UDP, 3, 0);
	ethernet(p, 2, 0x0800);
}

static void vxlan_first_piece(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	vxlan(p, 4789);
	ip4(p, NODE4, OURS4, IPPROTO_UDP, 0, MORE);
	ethernet(p, 0, 0x0800);
}

static void vxlan_first_piece6(struct packet *p, uint16_t type)
{
	const uint8_t piece[8] = {IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 1};

	ethernet(p, 0, type);
	vxlan(p, 4789);
	before(p, piece, 8);
	node6(p, 44);
}

static void vxlan_generic(struct packet *p, uint16_t type)
{
	const uint8_t h[8] = {0x0c, 0, 0, type == 0x0800 ? 1 : 2};

	before(p, h, 8);
	udp(p, 4789);
	node4(p, IPPROTO_UDP);
}

static void vxlan_options6(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	vxlan(p, 4789);
	before(p, "\x11\1\1\4\0\0\0\0\1\6\0\0\0\0\0\0", 16); /* destination options, then UDP */
	before(p, "\x3c\0\1\4\0\0\0\0", 8);		     /* hop by hop */
	node6(p, 0);
}

static void vxlan_in_vxlan(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	vxlan(p, 8472);
	node4(p, IPPROTO_UDP);
	vxlan(p, 4789);
	node4(p, IPPROTO_UDP);
}

static void geneve(struct packet *p, uint16_t type)
{
	ethernet(p, 0, type);
	before(p, "\1\1\1\0\0\0\0\0", 8); /* one option of eight bytes */
	before(p, "\2\0\x65\x58\0\0\1\0", 8);
	udp(p, 6081);
	node4(p, IPPROTO_UDP);
}

static void geneve_ip(struct packet *p, uint16_t type)
{
	uint8_t h[8] = {0};

	put16(h + 2, type);
	before(p, h, 8);
	udp(p, 6081);
	node6(p, IPPROTO_UDP);
}

static uint8_t protocol_of(uint16_t type)
{
	return type == 0x0800 ? 4 : 41;
}

static void ip_in_ip4(struct packet *p, uint16_t type)
{
	node4(p, protocol_of(type));
}

static void ip_in_ip6(struct packet *p, uint16_t type)
{
	node6(p, protocol_of(type));
}

static void ip_in_ip_first_piece(struct packet *p, uint16_t type)
{
	ip4(p, NODE4, OURS4, protocol_of(type), 0, MORE);
	ethernet(p, 1, 0x0800);
}

static void authenticated(struct packet *p, uint16_t type)
{
	uint8_t h[24] = {protocol_of(type), 4};

	before(p, h, 24);
	node4(p, 51);
}

static void gre(struct packet *p, uint16_t type)
{
	uint8_t h[4] = {0};

	put16(h + 2, type);
	before(p, h, 4);
	node4(p, 47);
}

static void gre_with_everything(struct packet *p, uint16_t type)
{
	uint8_t h[16] = {0xb0};

	put16(h + 2, type);
	before(p, h, 16);
	node6(p, 47);
}

static void gretap(struct packet *p, uint16_t type)
{
	ethernet(p, 1, type);
	before(p, "\x20\0\x65\x58\0\0\0\7", 8);
	node4(p, 47);
}

static void gre_wccp(struct packet *p, uint16_t type)
{
	/* It carries IPv4 only. */
	if (type == 0x0800) {
		before(p, "\0\0\0\0", 4);
		before(p, "\0\0\x88\x3e", 4);
		node4(p, 47);
	} else {
		gre(p, type);
	}
}

static void ipip_in_vxlan(struct packet *p, uint16_t type)
{
	node4(p, protocol_of(type));
	vxlan(p, 4789);
	node6(p, IPPROTO_UDP);
}

#define WRAPPING(name, outer)                                                                      \
	{                                                                                          \
#name, name, outer                                                                 \
	}
static const struct wrapping {
	const char *name;
	void (*wrap)(struct packet *p, uint16_t type);
	bool outer; /* the wrapping has an IP header of a node */
} wrappings[] = {
	WRAPPING(bare, false),
	WRAPPING(two_tags, false),
	WRAPPING(five_tags, false),
	WRAPPING(vxlan4, true),
	WRAPPING(vxlan6, true),
	WRAPPING(vxlan_three_tags, true),
	WRAPPING(vxlan_first_piece, true),
	WRAPPING(vxlan_first_piece6, true),
	WRAPPING(vxlan_generic, true),
	WRAPPING(vxlan_options6, true),
	WRAPPING(vxlan_in_vxlan, true),
	WRAPPING(geneve, true),
	WRAPPING(geneve_ip, true),
	WRAPPING(ip_in_ip4, true),
	WRAPPING(ip_in_ip6, true),
	WRAPPING(ip_in_ip_first_piece, true),
	WRAPPING(authenticated, true),
	WRAPPING(gre, true),
	WRAPPING(gre_with_everything, true),
	WRAPPING(gretap, true),
	WRAPPING(gre_wccp, true),
	WRAPPING(ipip_in_vxlan, true),
};

static inline struct packet wrapped(const struct wrapping *w, const char *from, const char *to)
{
	struct packet p = inner(from, to);

	w->wrap(&p, type_of(to));
	return p;
}

#endif
