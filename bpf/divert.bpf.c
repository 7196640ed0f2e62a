/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP on the uplink, in `xdp` wire mode: passes WireGuard data messages to the AF_XDP socket of the
 * queue on which they arrived. All other packets go on to the kernel. So do data messages on a
 * queue without a socket (no worker uses this queue, or the process has ended).
 *
 * The packets skip the kernel's checks, so two of them are made here: the packet is addressed to
 * this machine, and the IPv4 header checksum is right. The UDP checksum is not checked: between
 * veth ends it is unfinished, and WireGuard authenticates the content (not the ports).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "superpacket.h"

#define DATA	    4
#define DATA_MIN    32
#define UDP_HEADER  8
#define PLAIN_IP4   0x45   /* version 4, no options */
#define IP_PIECE    0x3fff /* more fragments, or an offset: a fragment */
#define IP4_CLASS_D 224

/* The UDP header and the first four bytes of the message. */
struct datagram {
	__be16 source, destination, length, sum;
	__u8 type, reserved[3];
};

static __always_inline bool sum_is_right(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The UDP datagram behind an IPv4 header. NULL: none, or it is not valid and whole. */
static __always_inline const struct datagram *in_ip4(const struct iphdr *ip, const void *end,
						     struct pv_address *to)
{
	const struct datagram *d = (const void *)(ip + 1);
	__u8 source;

	if ((const void *)(d + 1) > end || *(const __u8 *)ip != PLAIN_IP4 ||
	    ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(IP_PIECE) || !sum_is_right(ip))
		return NULL;
	source = *(const __u8 *)&ip->saddr;
	if (!source || source == 127 || source >= IP4_CLASS_D ||
	    bpf_ntohs(ip->tot_len) != sizeof(*ip) + bpf_ntohs(d->length) ||
	    bpf_ntohs(ip->tot_len) > end - (const void *)ip)
		return NULL;
	to->bytes[10] = to->bytes[11] = 0xff;
	__builtin_memcpy(to->bytes + 12, &ip->daddr, 4);
	return d;
}

static __always_inline const struct datagram *in_ip6(const struct ipv6hdr *ip, const void *end,
						     struct pv_address *to)
{
	const struct datagram *d = (const void *)(ip + 1);
	const __u32 *source;

	if ((const void *)(d + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP ||
	    ip->payload_len != d->length || !d->sum ||
	    bpf_ntohs(ip->payload_len) > end - (const void *)d)
		return NULL;
	/* The source must not be multicast, unspecified, loopback or IPv4-mapped. */
	source = ip->saddr.in6_u.u6_addr32;
	if (ip->saddr.in6_u.u6_addr8[0] == 0xff || (!source[0] && !source[1]))
		return NULL;
	__builtin_memcpy(to->bytes, &ip->daddr, sizeof(to->bytes));
	return d;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const void *)a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* The WireGuard data message in the frame. NULL: the frame holds none for this machine. */
static __always_inline const struct datagram *message(struct xdp_md *ctx,
						      const struct pv_divert_settings *s)
{
	const void *data = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *ethernet = data;
	const struct datagram *d = NULL;
	struct pv_address to = {};

	if ((const void *)(ethernet + 1) > end || end - data > s->largest ||
	    !same_mac(ethernet->h_dest, s->mac))
		return NULL;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		d = in_ip4((const void *)(ethernet + 1), end, &to);
	else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		d = in_ip6((const void *)(ethernet + 1), end, &to);
	if (!d || !d->source || d->destination != bpf_htons(s->port) ||
	    bpf_ntohs(d->length) < UDP_HEADER + DATA_MIN || d->type != DATA || d->reserved[0] ||
	    d->reserved[1] || d->reserved[2])
		return NULL;
	/* Several joined messages: the kernel must cut them. */
	if (s->generic && segment_size(ctx))
		return NULL;
	return bpf_map_lookup_elem(&local_addresses, &to) ? d : NULL;
}

SEC("xdp")
int divert(struct xdp_md *ctx)
{
	const struct pv_divert_settings *s;
	__u32 zero = 0;
	int verdict;

	s = bpf_map_lookup_elem(&divert_settings, &zero);
	if (!s || !message(ctx, s))
		return XDP_PASS;
	verdict = bpf_redirect_map(&uplink_xsks, ctx->rx_queue_index, XDP_PASS);
	if (verdict == XDP_REDIRECT)
		COUNT(diverted);
	return verdict;
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
