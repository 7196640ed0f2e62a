/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that the programs read, with the few fields that they read of them. Offsets
 * are found at load time (CO-RE): neither order nor completeness matters here. See README.md.
 */
#ifndef VMLINUX_KERNEL_H
#define VMLINUX_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
	__u8 ip_summed : 2;
	__u16 csum_start, network_header; /* offsets from head */
	__u16 csum_offset;		  /* from csum_start */
	__u32 end;			  /* the same, of skb_shared_info */
	unsigned char *head;
};

struct skb_shared_info {
	__u16 gso_size;
	__u32 gso_type;
};

struct xdp_buff {
	void *data_hard_start;
	__u32 frame_sz;
};

#pragma clang attribute pop

#define CHECKSUM_PARTIAL 3 /* include/linux/skbuff.h; part of no ABI, unchanged since 2.6.19 */

/* Of gso_type, include/linux/skbuff.h: since 4.18 and before. */
#define GSO_TCP4    (1 << 0)
#define GSO_TCP_ECN (1 << 2)
#define GSO_TCP6    (1 << 4)
#define GSO_UDP	    (1 << 17) /* UDP_SEGMENT, not fragments */

#endif
