/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/oversize.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

#include "packet/big_endian.h"
#include "packet/checksum.h"

#define IP6_HEADER   40
#define TCP_CHECKSUM 16

/* IPv4 options (RFC 791). END and NOTHING are one byte long; the second byte of all others is their
 * length. COPIED: the bit of options that each fragment repeats. */
enum { OPTION_END = 0, OPTION_NOTHING = 1, OPTION_COPIED = 0x80 };

static bool header_right(const uint8_t *data, uint32_t len)
{
	return checksum_fold(checksum_add(0, data, len)) == 0xffff;
}

bool oversize_tcp(struct joined *p, uint32_t mtu)
{
	uint8_t *data = p->pieces[0].iov_base;
	struct packet packet;
	uint32_t len;
	uint16_t sum;

	if (packet_parse(&packet, data, p->length, p->length) || !packet.payload ||
	    packet.protocol != IPPROTO_TCP || mtu <= packet.payload || packet.length <= mtu)
		return false;
	len = packet.length - packet.l4;
	if ((packet.version == 4 && !header_right(data, packet.l4)) ||
	    checksum_fold(checksum_add(checksum_pseudo(&packet, data, len), data + packet.l4,
				       len)) != 0xffff)
		return false;
	sum = checksum_fold(checksum_pseudo(&packet, data, len));
	memcpy(data + packet.l4 + TCP_CHECKSUM, &sum, sizeof(sum));
	p->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type =
			packet.version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)(JOIN_ETHERNET + packet.payload),
		.gso_size = (uint16_t)(mtu - packet.payload),
		.csum_start = (uint16_t)(JOIN_ETHERNET + packet.l4),
		.csum_offset = TCP_CHECKSUM,
	};
	return true;
}

static bool begin4(struct fragmenter *f, const uint8_t *data, uint32_t length, uint32_t id)
{
	const uint16_t flags = read_be16(data + 6);

	f->headers = (uint32_t)(data[0] & 15) * 4;
	if (f->headers < sizeof(struct ip) || f->headers > length ||
	    !header_right(data, f->headers))
		return false;
	f->begin = f->headers;
	f->offset = (flags & IP_OFFMASK) * 8u;
	f->more = flags & IP_MF;
	/* Senders that set DF need not set an id (RFC 6864). */
	f->id = flags & IP_DF ? htons((uint16_t)id) : 0;
	if (!f->id)
		memcpy(&f->id, data + 4, 2);
	return f->offset + length - f->begin <= UINT16_MAX;
}

/* Hop-by-hop and routing headers are for routers, so they stay in front of the fragment header. */
static bool begin6(struct fragmenter *f, const uint8_t *data, uint32_t length, uint32_t id)
{
	uint8_t next = data[6];
	uint32_t at = IP6_HEADER;

	while ((next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING) && at + 8 <= length) {
		next = data[at];
		at += (uint32_t)(data[at + 1] + 1) * 8;
	}
	if (at + 8 > length || at + sizeof(struct ip6_frag) > FRAGMENT_MAX_HEADER)
		return false;
	f->headers = f->begin = at;
	f->next = next;
	f->id = htonl(id);
	if (next != IPPROTO_FRAGMENT)
		return true;
	/* The packet is a fragment already. Our header replaces its fragment header. */
	f->next = data[at];
	f->offset = read_be16(data + at + 2) & 0xfff8u;
	f->more = data[at + 3] & 1;
	memcpy(&f->id, data + at + 4, sizeof(f->id));
	f->begin = at + (uint32_t)sizeof(struct ip6_frag);
	return f->offset + length - f->begin <= UINT16_MAX;
}

bool fragment_begin(struct fragmenter *f, const uint8_t *data, uint32_t length, uint32_t mtu,
		    uint32_t id)
{
	uint32_t front;
	struct packet p;

	memset(f, 0, sizeof(*f));
	if (packet_parse(&p, data, length, length))
		return false;
	f->data = data;
	f->version = p.version;
	f->end = p.length;
	if (!(p.version == 4 ? begin4(f, data, p.length, id) : begin6(f, data, p.length, id)))
		return false;
	f->at = f->begin;
	front = f->headers + (p.version == 6 ? (uint32_t)sizeof(struct ip6_frag) : 0);
	if (mtu < front + 8)
		return false;
	f->size = (mtu - front) & ~7u;
	return true;
}

/* Replaces the options that only the first fragment has with OPTION_NOTHING. */
static void later_options(uint8_t *options, uint32_t len)
{
	for (uint32_t i = 0; i < len && options[i] != OPTION_END;) {
		const uint32_t size =
			options[i] == OPTION_NOTHING || i + 1 == len ? 1 : options[i + 1];

		if (!size || size > len - i)
			return;
		if (!(options[i] & OPTION_COPIED))
			memset(options + i, OPTION_NOTHING, size);
		i += size;
	}
}

static uint32_t header4(const struct fragmenter *f, uint8_t *header, uint32_t offset, uint32_t len,
			bool more)
{
	uint16_t sum;

	memcpy(header, f->data, f->headers);
	if (offset)
		later_options(header + sizeof(struct ip), f->headers - (uint32_t)sizeof(struct ip));
	write_be16(header + 2, f->headers + len);
	memcpy(header + 4, &f->id, 2);
	write_be16(header + 6, offset / 8 | (more ? IP_MF : 0u));
	memset(header + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, header, f->headers));
	memcpy(header + 10, &sum, sizeof(sum));
	return f->headers;
}

static uint32_t header6(const struct fragmenter *f, uint8_t *header, uint32_t offset, uint32_t len,
			bool more)
{
	const struct ip6_frag fragment = {
		.ip6f_nxt = f->next,
		.ip6f_offlg = htons((uint16_t)(offset | more)),
		.ip6f_ident = f->id,
	};
	uint32_t at = IP6_HEADER, last = 6; /* where the last header has its next-header field */

	memcpy(header, f->data, f->headers);
	while (at < f->headers) {
		last = at;
		at += (uint32_t)(header[at + 1] + 1) * 8;
	}
	header[last] = IPPROTO_FRAGMENT;
	memcpy(header + f->headers, &fragment, sizeof(fragment));
	write_be16(header + 4, f->headers + sizeof(fragment) + len - IP6_HEADER);
	return f->headers + (uint32_t)sizeof(fragment);
}

uint32_t fragment_next(struct fragmenter *f, uint8_t header[FRAGMENT_MAX_HEADER],
		       struct iovec *payload)
{
	const uint32_t offset = f->offset + (f->at - f->begin);
	uint32_t len = f->end - f->at;
	bool more = f->more;

	if (!len)
		return 0;
	if (len > f->size) {
		len = f->size;
		more = true;
	}
	*payload = (struct iovec){(uint8_t *)f->data + f->at, len};
	f->at += len;
	return f->version == 4 ? header4(f, header, offset, len, more)
			       : header6(f, header, offset, len, more);
}
