/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC ingress of a pod's device on the node (podveilEntryInterfaces): a packet that routing would
 * send into the tunnel goes there at once, as if it had been routed and classified. Whatever is not
 * plainly so is left to the kernel, which alone can answer, cut or put together: nothing is lost by
 * that but time.
 *
 * On against off (tests/bench/bench_entry.py, an EPYC's two cores for all): HTTP over 100
 * connections 1.25, UDP 1300 B 1.09, a TCP stream 0.96; where each node tracks connections and has
 * 50 rules 1.34, 1.24 and 1.05. The kernel routes superpackets 64 KiB at a time, so streams gain
 * little.
 *
 * The redirect is to the receiving side of the inner end, where steer is the next to see it: it
 * hands it to a worker or drops it. Two other ways were tried on Linux 6.18. To the tunnel device
 * (bpf_redirect without a flag): generic XDP lets by what was sent by a redirect, so that it never
 * reaches a worker. To the peer of the tunnel device (bpf_redirect_peer): only between network
 * namespaces. Asking bpf_fib_lookup() instead of entry_ranges: right without help from the agent,
 * but HTTP over 100 connections gains 16 % then, and 22 % so.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "classify.h"

/* Other people's filters on the device still get their turn. */
#define PASS TC_ACT_UNSPEC

#define IP4_HEADER	20
#define IP4_NO_OPTIONS	0x45
#define IP4_DONT_CUT	0x4000
#define IP6_HEADER	40
#define NEXT_ICMP6	58
#define UDP_HEADER	8
#define TCP_WORDS	12    /* offset of the header's length, in the upper half of the byte */
#define ONE_HOP		0x100 /* of the 16-bit word that TTL is the upper half of */
#define SUPERPACKET_MAX 65535

/* Set by the loader. */
const volatile __u32 tunnel_ifindex = 0;
const volatile __u32 inner_ifindex = 0;
const volatile __u32 queues = 1;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr4);
	__type(value, struct pv_entry_range);
} entry_ranges4 MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr6);
	__type(value, struct pv_entry_range);
} entry_ranges6 MAP;

/* The heads of a frame, as far as they are read; `written` of it is written back. */
struct head4 {
	struct pv_stamp addresses;
	__be16 type;
	__u8 version_length, tos;
	__be16 total, id, fragment;
	__u8 ttl, protocol;
	__be16 checksum;
	__u8 source[4], destination[4];
} __attribute__((packed));
#define HEAD4_WRITTEN (ETH_HLEN + 12)

struct head6 {
	struct pv_stamp addresses;
	__be16 type;
	__u8 version, label[3];
	__be16 payload;
	__u8 next, hop_limit;
	__u8 source[16], destination[16];
} __attribute__((packed));
#define HEAD6_WRITTEN (ETH_HLEN + 8)

static __always_inline bool is_tunnel(const struct pv_entry_range *range)
{
	return range && range->way == PV_ENTRY_TUNNEL;
}

/* No address of one host: this network's, loopback, multicast, broadcast. */
static __always_inline bool is_special4(const __u8 *address)
{
	return address[0] == 0 || address[0] == 127 || address[0] >= 224;
}

/* Unspecified, loopback, IPv4 in IPv6; link-local, multicast. */
static __always_inline bool is_special6(const __u8 *address)
{
	return address[0] == 0 || address[0] >= 0xfe;
}

/* What a pod has in a tunnel of its own, or a worker cannot cut, takes the usual way. */
static __always_inline bool is_for_worker(struct __sk_buff *skb, __u32 ip_header, __u16 flags)
{
	return (!flags || PV_STAMP_CSUM_START_IN(flags) == ip_header) &&
	       (!skb->gso_size || segment_size(skb));
}

/* As large as the tunnel takes it, each segment of it? */
static __always_inline bool fits(struct __sk_buff *skb, __u32 ip_header, __u8 protocol)
{
	__u32 mtu = 0, transport = UDP_HEADER;
	__u8 words;

	/* Says what the MTU is; a superpacket is none too large. */
	if (skb->len > SUPERPACKET_MAX + ETH_HLEN || bpf_check_mtu(skb, tunnel_ifindex, &mtu, 0, 0))
		return false;
	if (!skb->gso_size)
		return true;
	if (protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + ip_header + TCP_WORDS, &words, 1))
			return false;
		transport = (words >> 4) * 4;
	}
	return ip_header + transport + skb->gso_size <= mtu;
}

static __always_inline bool is_plain4(struct __sk_buff *skb, const struct head4 *h, __u16 flags)
{
	return h->version_length == IP4_NO_OPTIONS && !(bpf_ntohs(h->fragment) & ~IP4_DONT_CUT) &&
	       bpf_ntohs(h->total) == skb->len - ETH_HLEN && h->ttl > 1 &&
	       (h->protocol == IPPROTO_TCP || h->protocol == IPPROTO_UDP ||
		h->protocol == IPPROTO_ICMP) &&
	       !is_special4(h->source) && !is_special4(h->destination) &&
	       is_for_worker(skb, IP4_HEADER, flags) && fits(skb, IP4_HEADER, h->protocol);
}

static __always_inline bool is_plain6(struct __sk_buff *skb, const struct head6 *h, __u16 flags)
{
	return h->version >> 4 == 6 && bpf_ntohs(h->payload) == skb->len - ETH_HLEN - IP6_HEADER &&
	       h->hop_limit > 1 &&
	       (h->next == IPPROTO_TCP || h->next == IPPROTO_UDP || h->next == NEXT_ICMP6) &&
	       !is_special6(h->source) && !is_special6(h->destination) &&
	       is_for_worker(skb, IP6_HEADER, flags) && fits(skb, IP6_HEADER, h->next);
}

/* A flow stays with one worker. The kernel counts recorded queues from one. */
static __always_inline int into_tunnel(struct __sk_buff *skb)
{
	skb->queue_mapping = 1 + worker_of(skb, queues);
	COUNT(entry_redirected);
	return bpf_redirect(inner_ifindex, BPF_F_INGRESS);
}

static __always_inline int enter4(struct __sk_buff *skb)
{
	struct pv_cidr4 key = {.prefix_len = 32};
	const struct pv_allowed *allowed;
	struct head4 h;
	__u16 flags;
	__u32 sum;

	if (bpf_skb_load_bytes(skb, 0, &h, sizeof(h)))
		return PASS;
	__builtin_memcpy(key.address, h.destination, sizeof(key.address));
	if (!is_tunnel(bpf_map_lookup_elem(&entry_ranges4, &key)))
		return PASS;
	allowed = find_peer4(h.destination);
	flags = checksum_flags(skb);
	if (!allowed || !is_plain4(skb, &h, flags)) {
		COUNT(entry_passed);
		return PASS;
	}
	h.addresses = stamp_for(allowed, flags, skb->gso_size);
	h.ttl--;
	sum = bpf_ntohs(h.checksum) + ONE_HOP;
	h.checksum = bpf_htons(sum + (sum >= 0xffff));
	if (bpf_skb_store_bytes(skb, 0, &h, HEAD4_WRITTEN, 0))
		return PASS;
	return into_tunnel(skb);
}

static __always_inline int enter6(struct __sk_buff *skb)
{
	struct pv_cidr6 key = {.prefix_len = 128};
	const struct pv_allowed *allowed;
	struct head6 h;
	__u16 flags;

	if (bpf_skb_load_bytes(skb, 0, &h, sizeof(h)))
		return PASS;
	__builtin_memcpy(key.address, h.destination, sizeof(key.address));
	if (!is_tunnel(bpf_map_lookup_elem(&entry_ranges6, &key)))
		return PASS;
	allowed = find_peer6(h.destination);
	flags = checksum_flags(skb);
	if (!allowed || !is_plain6(skb, &h, flags)) {
		COUNT(entry_passed);
		return PASS;
	}
	h.addresses = stamp_for(allowed, flags, skb->gso_size);
	h.hop_limit--;
	if (bpf_skb_store_bytes(skb, 0, &h, HEAD6_WRITTEN, 0))
		return PASS;
	return into_tunnel(skb);
}

SEC("tc")
int entry(struct __sk_buff *skb)
{
	const struct pv_settings *s;
	__u32 zero = 0;

	/* To this node, and its business to send on. */
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return PASS;
	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || is_marked(s, skb))
		return PASS;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return enter4(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return enter6(skb);
	return PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
