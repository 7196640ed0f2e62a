/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "packet/big_endian.h"

/* No legitimate packet has more extension headers. */
#define MAX_EXTENSIONS 8

/* Finds the payload behind a TCP or UDP header that lies whole in what is readable. */
static void parse_transport(struct packet *p, const uint8_t *data, size_t readable, uint32_t l4)
{
	const uint32_t left = p->length - l4;
	uint32_t header = sizeof(struct udphdr);

	if (p->protocol == IPPROTO_TCP)
		header = sizeof(struct tcphdr);
	else if (p->protocol != IPPROTO_UDP)
		header = 0;
	if (left < header || readable < l4 + header) {
		p->opaque = true;
		return;
	}
	if (p->protocol == IPPROTO_TCP) {
		header = (uint32_t)(data[l4 + 12] >> 4) * 4;
		if (header < sizeof(struct tcphdr) || header > left) {
			p->opaque = true;
			return;
		}
	}
	if (left)
		p->l4 = l4;
	if (header)
		p->payload = l4 + header;
}

static int parse4(struct packet *p, const uint8_t *data, size_t readable, size_t len)
{
	uint32_t header;

	if (readable < sizeof(struct ip))
		return -EBADMSG;
	header = (uint32_t)(data[0] & 15) * 4;
	p->length = read_be16(data + 2);
	if (p->length < sizeof(struct ip) || p->length > len)
		return -EBADMSG;
	p->ecn = data[1] & 3;
	p->protocol = data[9];
	/* More fragments, or not the first one. */
	if (read_be16(data + 6) & (IP_MF | IP_OFFMASK))
		p->fragment = true;
	else if (header < sizeof(struct ip) || header > p->length || header > readable)
		p->opaque = true;
	else
		parse_transport(p, data, readable, header);
	return 0;
}

/* Skips the extension headers, except the authentication header: it signs the whole packet, so
 * nothing behind it may be changed. */
static void parse_extensions(struct packet *p, const uint8_t *data, size_t readable)
{
	uint32_t at = sizeof(struct ip6_hdr);

	p->protocol = data[6];
	for (unsigned int i = 0; i < MAX_EXTENSIONS; i++) {
		switch (p->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
			break;
		default:
			parse_transport(p, data, readable, at);
			return;
		}
		if (at + 8 > p->length || at + 8 > readable)
			break;
		if (p->protocol == IPPROTO_FRAGMENT) {
			/* An atomic fragment is a whole packet (RFC 6946), but kept as it is. */
			p->fragment = true;
			p->protocol = data[at];
			return;
		}
		p->protocol = data[at];
		at += (uint32_t)(data[at + 1] + 1) * 8;
		if (at > p->length)
			break;
	}
	p->opaque = true;
}

static int parse6(struct packet *p, const uint8_t *data, size_t readable, size_t len)
{
	if (readable < sizeof(struct ip6_hdr))
		return -EBADMSG;
	p->length = (uint32_t)sizeof(struct ip6_hdr) + read_be16(data + 4);
	if (p->length > len)
		return -EBADMSG;
	p->ecn = (data[1] >> 4) & 3;
	parse_extensions(p, data, readable);
	return 0;
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
