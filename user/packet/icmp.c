/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/icmp.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "packet/big_endian.h"
#include "packet/checksum.h"

/* RFC 1812: as much of the packet as fits into 576 bytes; RFC 4443: into 1280. */
#define ROOM4 576u
#define ROOM6 1280u

static bool is_icmp_error(const struct packet *p, const uint8_t *data, size_t readable)
{
	if (!p->l4 || readable <= p->l4)
		return false;
	if (p->version == 6)
		return p->protocol == IPPROTO_ICMPV6 && data[p->l4] < 128;
	return p->protocol == IPPROTO_ICMP && data[p->l4] != ICMP_ECHO &&
	       data[p->l4] != ICMP_ECHOREPLY && data[p->l4] != ICMP_TIMESTAMP &&
	       data[p->l4] != ICMP_TIMESTAMPREPLY;
}

/* RFC 1122 3.2.2, RFC 4443 2.4(e): no answer to ICMP errors, to multicast or broadcast, or to
 * unspecified sources. */
static bool may_answer(const struct packet *p, const uint8_t *data, size_t readable)
{
	/* A header that is cut off may be that of an ICMP error. */
	if (p->opaque || is_icmp_error(p, data, readable))
		return false;
	if (p->version == 4) {
		const uint32_t source = read_be32(data + 12), destination = read_be32(data + 16);

		return !(read_be16(data + 6) & IP_OFFMASK) && source && !IN_MULTICAST(source) &&
		       source != INADDR_BROADCAST && !IN_MULTICAST(destination) &&
		       destination != INADDR_BROADCAST;
	}
	struct in6_addr source, destination;

	memcpy(&source, data + 8, sizeof(source));
	memcpy(&destination, data + 24, sizeof(destination));
	return !IN6_IS_ADDR_UNSPECIFIED(&source) && !IN6_IS_ADDR_MULTICAST(&source) &&
	       !IN6_IS_ADDR_MULTICAST(&destination);
}

static size_t answer4(uint8_t *out, const uint8_t *data, size_t quote, enum icmp_reason reason,
		      uint32_t mtu)
{
	struct ip ip = {.ip_hl = 5, .ip_v = 4, .ip_ttl = 64, .ip_p = IPPROTO_ICMP};
	struct icmphdr icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH};
	uint16_t sum;

	if (quote > ROOM4 - sizeof(ip) - sizeof(icmp))
		quote = ROOM4 - sizeof(ip) - sizeof(icmp);
	if (reason == ICMP_REASON_TOO_BIG) {
		icmp.code = ICMP_FRAG_NEEDED;
		icmp.un.frag.mtu = htons((uint16_t)mtu);
	}
	ip.ip_len = htons((uint16_t)(sizeof(ip) + sizeof(icmp) + quote));
	memcpy(&ip.ip_src, data + 16, 4);
	memcpy(&ip.ip_dst, data + 12, 4);
	ip.ip_sum = checksum_finish(checksum_add(0, &ip, sizeof(ip)));
	memcpy(out, &ip, sizeof(ip));
	memcpy(out + sizeof(ip), &icmp, sizeof(icmp));
	memcpy(out + sizeof(ip) + sizeof(icmp), data, quote);
	sum = checksum_finish(checksum_add(0, out + sizeof(ip), sizeof(icmp) + quote));
	memcpy(out + sizeof(ip) + offsetof(struct icmphdr, checksum), &sum, sizeof(sum));
	return sizeof(ip) + sizeof(icmp) + quote;
}

static size_t answer6(uint8_t *out, const uint8_t *data, size_t quote, enum icmp_reason reason,
		      uint32_t mtu)
{
	struct ip6_hdr ip;
	struct icmp6_hdr icmp = {.icmp6_type = ICMP6_DST_UNREACH,
				 .icmp6_code = ICMP6_DST_UNREACH_ADDR};
	const struct packet pseudo = {.version = 6, .protocol = IPPROTO_ICMPV6};
	uint16_t sum;

	memset(&ip, 0, sizeof(ip));
	if (quote > ROOM6 - sizeof(ip) - sizeof(icmp))
		quote = ROOM6 - sizeof(ip) - sizeof(icmp);
	if (reason == ICMP_REASON_TOO_BIG) {
		icmp.icmp6_type = ICMP6_PACKET_TOO_BIG;
		icmp.icmp6_code = 0;
		icmp.icmp6_mtu = htonl(mtu);
	}
	ip.ip6_vfc = 6 << 4;
	ip.ip6_plen = htons((uint16_t)(sizeof(icmp) + quote));
	ip.ip6_nxt = IPPROTO_ICMPV6;
	ip.ip6_hlim = 64;
	memcpy(&ip.ip6_src, data + 24, 16);
	memcpy(&ip.ip6_dst, data + 8, 16);
	memcpy(out, &ip, sizeof(ip));
	memcpy(out + sizeof(ip), &icmp, sizeof(icmp));
	memcpy(out + sizeof(ip) + sizeof(icmp), data, quote);
	sum = checksum_finish(
		checksum_add(checksum_pseudo(&pseudo, out, (uint32_t)(sizeof(icmp) + quote)),
			     out + sizeof(ip), sizeof(icmp) + quote));
	memcpy(out + sizeof(ip) + offsetof(struct icmp6_hdr, icmp6_cksum), &sum, sizeof(sum));
	return sizeof(ip) + sizeof(icmp) + quote;
}

size_t icmp_answer(uint8_t *out, size_t room, const uint8_t *data, size_t readable, size_t len,
		   enum icmp_reason reason, uint32_t mtu)
{
	struct packet p;

	if (room < ROOM6 || packet_parse(&p, data, readable, len) ||
	    !may_answer(&p, data, readable))
		return 0;
	/* Quotes at most what is readable and belongs to the packet. */
	if (readable > p.length)
		readable = p.length;
	return p.version == 4 ? answer4(out, data, readable, reason, mtu)
			      : answer6(out, data, readable, reason, mtu);
}
