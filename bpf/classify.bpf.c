/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress of the tunnel device: finds the peer of a packet by its destination and leaves what it
 * found as a stamp (podveil/stamp.h). Packets without a peer go on to the worker, which alone can
 * answer the sender.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "classify.h"

#define IP4_DESTINATION (ETH_HLEN + 16)
#define IP6_DESTINATION (ETH_HLEN + 24)

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
	/* Sent on queue 1 + i it arrives on queue i (user/netlink/link.h); and the kernel takes for
	 * sending the queue that is recorded, which it counts from one. */
	if (s->workers > 1)
		skb->queue_mapping = 2 + worker_of(skb, s->workers);
	COUNT(classified);
	return TC_ACT_OK;
}

/* Superpackets and unfinished checksums may come. */
SEC("tc")
int classify(struct __sk_buff *skb)
{
	return classify_packet(skb, checksum_flags(skb), segment_size(skb));
}

/* The tunnel device's offloads are off: each packet is whole and finished. */
SEC("tc")
int classify_whole(struct __sk_buff *skb)
{
	return classify_packet(skb, 0, 0);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
