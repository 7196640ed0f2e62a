/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress of the tunnel device: finds the peer of a packet by its destination and leaves what it
 * found as a stamp (podveil/stamp.h). Packets without a peer go on to the worker, which alone can
 * answer the sender.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "maps.h"
#include "podveil/stamp.h"

#define IP4_DESTINATION (ETH_HLEN + 16)
#define IP6_DESTINATION (ETH_HLEN + 24)

/* Linux 6.2. */
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

static __always_inline const struct pv_allowed *find_peer4(struct __sk_buff *skb)
{
	struct pv_cidr4 key = {.prefix_len = 32};

	if (bpf_skb_load_bytes(skb, IP4_DESTINATION, key.address, sizeof(key.address)))
		return NULL;
	return bpf_map_lookup_elem(&allowed_ips4, &key);
}

static __always_inline const struct pv_allowed *find_peer6(struct __sk_buff *skb)
{
	struct pv_cidr6 key = {.prefix_len = 128};

	if (bpf_skb_load_bytes(skb, IP6_DESTINATION, key.address, sizeof(key.address)))
		return NULL;
	return bpf_map_lookup_elem(&allowed_ips6, &key);
}

static __always_inline int classify_packet(struct __sk_buff *skb, __u16 flags, __u16 gso_size)
{
	struct pv_stamp stamp = {
		.magic = PV_STAMP_MAGIC,
		.flags = flags,
		.gso_size = gso_size,
		.peer = PV_STAMP_NO_PEER,
	};
	const struct pv_settings *s;
	const struct pv_allowed *allowed;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return TC_ACT_SHOT;
	if (s->fwmark && (skb->mark & s->fwmark_mask) == (s->fwmark & s->fwmark_mask)) {
		COUNT(drop_marked);
		return TC_ACT_SHOT;
	}
	if (skb->vlan_present) {
		COUNT(drop_not_ip);
		return TC_ACT_SHOT;
	}
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		allowed = find_peer4(skb);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		allowed = find_peer6(skb);
	} else {
		COUNT(drop_not_ip);
		return TC_ACT_SHOT;
	}
	if (allowed) {
		stamp.peer = allowed->peer;
		stamp.generation = allowed->generation;
	}
	if (bpf_skb_store_bytes(skb, 0, &stamp, sizeof(stamp), 0)) {
		COUNT(drop_malformed);
		return TC_ACT_SHOT;
	}
	COUNT(classified);
	return TC_ACT_OK;
}

/* Superpackets and unfinished checksums may come. */
SEC("tc")
int classify(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	__u16 flags = 0;

	if (BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed) == CHECKSUM_PARTIAL)
		flags |= PV_STAMP_CSUM_PARTIAL;
	return classify_packet(skb, flags, skb->gso_size);
}

/* The tunnel device's offloads are off: each packet is whole and finished. */
SEC("tc")
int classify_whole(struct __sk_buff *skb)
{
	return classify_packet(skb, 0, 0);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
