/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress of the tunnel device: finds the peer of a packet by its destination address and writes
 * it into the packet as a stamp (podveil/stamp.h). Packets without a peer go on to the worker,
 * because only the worker can send the ICMP answer.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "maps.h"
#include "podveil/stamp.h"

#define IP4_DESTINATION (ETH_HLEN + 16)
#define IP6_DESTINATION (ETH_HLEN + 24)

/* Since Linux 6.2. Where the kernel lacks it, libbpf looks for it in all modules, which needs
 * CAP_SYS_ADMIN. So there is a second object without it, in which `classify` is not used. */
#ifdef WITHOUT_SUPERPACKETS
#define bpf_cast_to_kern_ctx(ctx) ((void *)(ctx))
#else
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;
#endif

static __always_inline const struct pv_allowed *find_peer4(const __u8 *destination)
{
	struct pv_cidr4 key = {.prefix_len = 32};

	__builtin_memcpy(key.address, destination, sizeof(key.address));
	return bpf_map_lookup_elem(&allowed_ips4, &key);
}

static __always_inline const struct pv_allowed *find_peer6(const __u8 *destination)
{
	struct pv_cidr6 key = {.prefix_len = 128};

	__builtin_memcpy(key.address, destination, sizeof(key.address));
	return bpf_map_lookup_elem(&allowed_ips6, &key);
}

/* Is it an outer packet, by its mark? */
static __always_inline bool is_marked(const struct pv_settings *s, const struct __sk_buff *skb)
{
	return s->fwmark && (skb->mark & s->fwmark_mask) == (s->fwmark & s->fwmark_mask);
}

/* The segment size of a superpacket that a worker can cut; else 0. The tunnel device does not offer
 * offloads for other kinds (a pod's own tunnel, packets of a virtual machine). The kernel cuts
 * those after classify, and each piece carries the stamp of the whole packet. */
static __always_inline __u16 segment_size(struct __sk_buff *skb)
{
	const struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	const __u32 known = GSO_TCP4 | GSO_TCP6 | GSO_TCP_ECN | GSO_UDP;
	struct skb_shared_info *info;

	if (!skb->gso_size)
		return 0;
	info = (void *)(kernel_skb->head + kernel_skb->end);
	return BPF_CORE_READ(info, gso_type) & ~known ? 0 : skb->gso_size;
}

/* The stamp's flags for an unfinished checksum. */
static __always_inline __u16 checksum_flags(struct __sk_buff *skb)
{
	const struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	__u16 start, offset;

	if (BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed) != CHECKSUM_PARTIAL)
		return 0;
	start = kernel_skb->csum_start - kernel_skb->network_header;
	offset = kernel_skb->csum_offset;
	if (start > PV_STAMP_CSUM_START_MAX || offset > PV_STAMP_CSUM_OFFSET_MAX)
		return PV_STAMP_CSUM_PARTIAL;
	return PV_STAMP_CSUM_PARTIAL | start / 2 << PV_STAMP_CSUM_START |
	       offset / 2 << PV_STAMP_CSUM_OFFSET;
}

/* The worker for this flow: 0 to workers - 1. */
static __always_inline __u32 worker_of(struct __sk_buff *skb, __u32 workers)
{
	return workers > 1 ? bpf_get_hash_recalc(skb) % workers : 0;
}

/* allowed NULL: the destination belongs to no peer. */
static __always_inline struct pv_stamp stamp_for(const struct pv_allowed *allowed, __u16 flags,
						 __u16 gso_size)
{
	struct pv_stamp stamp = {
		.magic = PV_STAMP_MAGIC,
		.flags = flags,
		.gso_size = gso_size,
		.peer = PV_STAMP_NO_PEER,
	};

	if (allowed) {
		stamp.peer = allowed->peer;
		stamp.generation = allowed->generation;
	}
	return stamp;
}

static __always_inline int classify_packet(struct __sk_buff *skb, __u16 flags, __u16 gso_size)
{
	const struct pv_allowed *allowed = NULL;
	const struct pv_settings *s;
	struct pv_stamp stamp;
	__u8 destination[16];
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return TC_ACT_SHOT;
	if (is_marked(s, skb)) {
		COUNT(drop_marked);
		return TC_ACT_SHOT;
	}
	if (skb->vlan_present) {
		COUNT(drop_not_ip);
		return TC_ACT_SHOT;
	}
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!bpf_skb_load_bytes(skb, IP4_DESTINATION, destination, 4))
			allowed = find_peer4(destination);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (!bpf_skb_load_bytes(skb, IP6_DESTINATION, destination, 16))
			allowed = find_peer6(destination);
	} else {
		COUNT(drop_not_ip);
		return TC_ACT_SHOT;
	}
	stamp = stamp_for(allowed, flags, gso_size);
	if (bpf_skb_store_bytes(skb, 0, &stamp, sizeof(stamp), 0)) {
		COUNT(drop_malformed);
		return TC_ACT_SHOT;
	}
	/* A packet sent on queue 1 + i arrives on queue i of the inner end (user/netlink/link.h).
	 * queue_mapping holds the queue plus one: so it is 2 + i. */
	if (s->queues > 1)
		skb->queue_mapping = 2 + s->first_queue + worker_of(skb, s->workers);
	COUNT(classified);
	return TC_ACT_OK;
}

/* For tunnel devices with offloads: superpackets and unfinished checksums are possible. */
SEC("tc")
int classify(struct __sk_buff *skb)
{
	return classify_packet(skb, checksum_flags(skb), segment_size(skb));
}

/* For tunnel devices without offloads: no superpackets, and all checksums are finished. */
SEC("tc")
int classify_whole(struct __sk_buff *skb)
{
	return classify_packet(skb, 0, 0);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
