/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The segment size of a superpacket: generic XDP does not provide it. */
#ifndef BPF_SUPERPACKET_H
#define BPF_SUPERPACKET_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define CACHE_LINE 64 /* the kernel aligns skb_shared_info to it, on x86-64 and arm64 */

/* In generic XDP the buffer is the sk_buff's buffer. skb_shared_info, at its end, holds the segment
 * size. The cast of the context would be cleaner with bpf_cast_to_kern_ctx(), but the linker of
 * libbpf 1.1 accepts that kfunc in one object only, and classify uses it. */
static __always_inline __u16 segment_size(struct xdp_md *ctx)
{
	struct xdp_buff *xdp = (void *)ctx;
	const __u32 room = bpf_core_type_size(struct skb_shared_info);
	void *end = BPF_CORE_READ(xdp, data_hard_start) + BPF_CORE_READ(xdp, frame_sz);
	struct skb_shared_info *info = end - ((room + CACHE_LINE - 1) & -CACHE_LINE);

	return BPF_CORE_READ(info, gso_size);
}

#endif
