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
};

struct skb_shared_info {
	__u16 gso_size;
};

struct xdp_buff {
	void *data_hard_start;
	__u32 frame_sz;
};

#pragma clang attribute pop

#define CHECKSUM_PARTIAL 3 /* include/linux/skbuff.h; part of no ABI, unchanged since 2.6.19 */

#endif
