/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "datapath/big_endian.h"

/* More extension headers than this are an attack and not a packet. */
#define MAX_EXTENSIONS 8

#ifndef IPPROTO_AH
#define IPPROTO_AH 51
#endif

/* Finds the payload behind a TCP or UDP header that lies whole in what is readable. */
static int parse_transport(struct packet *p, const uint8_t *data, size_t readable, uint32_t l4)
{
	const uint32_t left = p->length - l4;

	if (p->protocol == IPPROTO_TCP) {
		if (left < sizeof(struct tcphdr))
			return -EBADMSG;
		if (readable < l4 + sizeof(struct tcphdr))
			return 0;

		uint32_t header = (uint32_t)(data[l4 + 12] >> 4) * 4;

		if (header < sizeof(struct tcphdr) || header > left)
			return -EBADMSG;
		p->l4 = l4;
		p->payload = l4 + header;
	} else if (p->protocol == IPPROTO_UDP) {
		if (left < sizeof(struct udphdr))
			return -EBADMSG;
		if (readable < l4 + sizeof(struct udphdr))
			return 0;
		p->l4 = l4;
		p->payload = l4 + (uint32_t)sizeof(struct udphdr);
	} else if (left) {
		p->l4 = l4;
	}
	return 0;
}

static int parse4(struct packet *p, const uint8_t *data, size_t readable, size_t len)
{
	uint32_t header;

	if (readable < sizeof(struct ip))
		return -EBADMSG;
	header = (uint32_t)(data[0] & 15) * 4;
	p->length = read_be16(data + 2);
	if (header < sizeof(struct ip) || p->length < header || p->length > len ||
	    header > readable)
		return -EBADMSG;
	p->ecn = data[1] & 3;
	p->protocol = data[9];
	/* More fragments, or not the first one. */
	if (read_be16(data + 6) & (IP_MF | IP_OFFMASK)) {
		p->fragment = true;
		return 0;
	}
	return parse_transport(p, data, readable, header);
}

static int parse6(struct packet *p, const uint8_t *data, size_t readable, size_t len)
{
	uint32_t at = sizeof(struct ip6_hdr), payload;
	uint8_t next;

	if (readable < sizeof(struct ip6_hdr))
		return -EBADMSG;
	payload = read_be16(data + 4);
	p->length = at + payload;
	if (p->length > len)
		return -EBADMSG;
	p->ecn = (data[1] >> 4) & 3;
	next = data[6];
	for (unsigned int i = 0; i < MAX_EXTENSIONS; i++) {
		uint32_t size;

		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
		case IPPROTO_AH:
			break;
		default:
			p->protocol = next;
			return parse_transport(p, data, readable, at);
		}
		if (at + 8 > p->length)
			return -EBADMSG;
		p->protocol = next;
		if (at + 8 > readable)
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			size = 8;
			/* An atomic fragment is a whole packet (RFC 6946), but kept as it is. */
			p->fragment = true;
		} else if (next == IPPROTO_AH) {
			size = (uint32_t)(data[at + 1] + 2) * 4;
		} else {
			size = (uint32_t)(data[at + 1] + 1) * 8;
		}
		next = data[at];
		at += size;
		if (at > p->length)
			return -EBADMSG;
		if (p->fragment) {
			p->protocol = next;
			return 0;
		}
	}
	return -EBADMSG;
}

int packet_parse(struct packet *p, const uint8_t *data, size_t readable, size_t len)
{
	memset(p, 0, sizeof(*p));
	if (!readable || readable > len)
		return -EBADMSG;
	p->version = data[0] >> 4;
	if (p->version == 4)
		return parse4(p, data, readable, len);
	if (p->version == 6)
		return parse6(p, data, readable, len);
	return -EBADMSG;
}
