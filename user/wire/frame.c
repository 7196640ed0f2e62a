/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include "packet/checksum.h"

#define TTL 64

void frame_prepare(struct frame_headers *out, const struct endpoint *e,
		   const uint8_t ours[FRAME_MAC], const uint8_t theirs[FRAME_MAC], uint32_t mtu)
{
	const bool v4 = e->to.any.sa_family == AF_INET;
	struct ether_header ethernet = {.ether_type = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6)};
	struct udphdr udp = {.dest = v4 ? e->to.v4.sin_port : e->to.v6.sin6_port};
	uint8_t *at = out->bytes;
	uint32_t headers;

	memset(out, 0, sizeof(*out));
	memcpy(ethernet.ether_dhost, theirs, FRAME_MAC);
	memcpy(ethernet.ether_shost, ours, FRAME_MAC);
	memcpy(at, &ethernet, sizeof(ethernet));
	at += sizeof(ethernet);
	if (v4) {
		const struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.ttl = TTL,
			.protocol = IPPROTO_UDP,
			.saddr = e->from.v4.s_addr,
			.daddr = e->to.v4.sin_addr.s_addr,
		};

		memcpy(at, &ip, sizeof(ip));
		out->pseudo_sum = checksum_add(htons(IPPROTO_UDP), at + 12, 8);
		at += sizeof(ip);
	} else {
		struct ip6_hdr ip = {.ip6_src = e->from.v6, .ip6_dst = e->to.v6.sin6_addr};

		ip.ip6_vfc = 0x60;
		ip.ip6_nxt = IPPROTO_UDP;
		ip.ip6_hlim = TTL;
		memcpy(at, &ip, sizeof(ip));
		out->pseudo_sum = checksum_add(htons(IPPROTO_UDP), at + 8, 32);
		at += sizeof(ip);
	}
	memcpy(at, &udp, sizeof(udp));
	at += sizeof(udp);
	out->length = (uint8_t)(at - out->bytes);
	headers = out->length - (uint32_t)sizeof(ethernet);
	out->largest = mtu > headers ? mtu - headers : 0;
}

/* Both IP versions get a sum, though IPv4 could do without: a receiver joins only datagrams that
 * have one (the kernel's UDP_GRO), and while the message is copied anyway it costs next to nothing.
 */
uint32_t frame_build(uint8_t *frame, const struct frame_headers *h, uint16_t port,
		     const uint8_t *message, uint32_t length, uint8_t tos, uint16_t id)
{
	uint8_t *ip = frame + ETHER_HDR_LEN, *at = frame + h->length - sizeof(struct udphdr);
	const uint16_t udp_length = htons((uint16_t)(length + sizeof(struct udphdr)));
	struct udphdr udp;
	uint64_t sum;

	memcpy(frame, h->bytes, h->length);
	if (h->length == FRAME_HEADERS4) {
		struct iphdr header;

		memcpy(&header, ip, sizeof(header));
		header.tos = tos;
		header.tot_len = htons((uint16_t)(length + sizeof(struct udphdr) + sizeof(header)));
		header.id = htons(id);
		header.check = checksum_finish(checksum_add(0, &header, sizeof(header)));
		memcpy(ip, &header, sizeof(header));
	} else {
		ip[0] |= tos >> 4;
		ip[1] = (uint8_t)(tos << 4);
		memcpy(ip + 4, &udp_length, sizeof(udp_length));
	}
	memcpy(&udp, at, sizeof(udp));
	udp.source = htons(port);
	udp.len = udp_length;
	sum = checksum_add(h->pseudo_sum + udp_length, &udp, sizeof(udp));
	udp.check = checksum_finish(checksum_copy(sum, frame + h->length, message, length));
	if (!udp.check)
		udp.check = 0xffff; /* zero says that there is none */
	memcpy(at, &udp, sizeof(udp));
	return h->length + length;
}

/* Behind UDP's header. `room`: to the end of the IP packet. */
static bool read_udp(uint8_t *at, uint32_t room, struct wire_received *out, uint16_t *source)
{
	struct udphdr udp;

	if (room < sizeof(udp))
		return false;
	memcpy(&udp, at, sizeof(udp));
	out->data = at + sizeof(udp);
	out->length = ntohs(udp.len) - (uint32_t)sizeof(udp);
	if (ntohs(udp.len) <= sizeof(udp) || ntohs(udp.len) > room)
		return false;
	out->segment = (uint16_t)out->length;
	*source = udp.source;
	return true;
}

static bool read4(uint8_t *at, uint32_t room, struct wire_received *out)
{
	struct sockaddr_in *to = &out->from.to.v4;
	struct iphdr ip;

	if (room < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	if (ip.version != 4 || ip.ihl != 5 || ip.protocol != IPPROTO_UDP ||
	    ip.frag_off & htons(IP_MF | IP_OFFMASK) || ntohs(ip.tot_len) > room ||
	    ntohs(ip.tot_len) < sizeof(ip))
		return false;
	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = ip.saddr};
	out->from.from.v4.s_addr = ip.daddr;
	out->tos = ip.tos;
	return read_udp(at + sizeof(ip), ntohs(ip.tot_len) - (uint32_t)sizeof(ip), out,
			&to->sin_port);
}

static bool read6(uint8_t *at, uint32_t room, struct wire_received *out)
{
	struct sockaddr_in6 *to = &out->from.to.v6;
	struct ip6_hdr ip;

	if (room < sizeof(ip))
		return false;
	memcpy(&ip, at, sizeof(ip));
	if (ip.ip6_vfc >> 4 != 6 || ip.ip6_nxt != IPPROTO_UDP ||
	    ntohs(ip.ip6_plen) > room - sizeof(ip))
		return false;
	*to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = ip.ip6_src};
	/* As a socket would say it. */
	if (IN6_IS_ADDR_LINKLOCAL(&ip.ip6_src))
		to->sin6_scope_id = (uint32_t)out->from.from_ifindex;
	out->from.from.v6 = ip.ip6_dst;
	out->tos = (uint8_t)(at[0] << 4 | at[1] >> 4);
	return read_udp(at + sizeof(ip), ntohs(ip.ip6_plen), out, &to->sin6_port);
}

bool frame_read(uint8_t *frame, uint32_t length, int ifindex, struct wire_received *out)
{
	struct ether_header ethernet;

	memset(out, 0, sizeof(*out));
	if (length < sizeof(ethernet))
		return false;
	memcpy(&ethernet, frame, sizeof(ethernet));
	out->from.from_ifindex = ifindex;
	if (ethernet.ether_type == htons(ETHERTYPE_IP))
		return read4(frame + sizeof(ethernet), length - (uint32_t)sizeof(ethernet), out);
	if (ethernet.ether_type == htons(ETHERTYPE_IPV6))
		return read6(frame + sizeof(ethernet), length - (uint32_t)sizeof(ethernet), out);
	return false;
}
