/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What generic XDP does not tell of a superpacket. */
#ifndef BPF_SUPERPACKET_H
#define BPF_SUPERPACKET_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define CACHE_LINE 64 /* the kernel aligns skb_shared_info to it, on x86-64 and arm64 alike */

/* In generic XDP the buffer's end is the socket buffer's, where its segment size is kept. The
 * context is the kernel's struct; bpf_cast_to_kern_ctx() says so more properly, but the linker of
 * libbpf 1.1 takes it in one object only, and classify has it. */
static __always_inline __u16 segment_size(struct xdp_md *ctx)
{
	struct xdp_buff *xdp = (void *)ctx;
	const __u32 room = bpf_core_type_size(struct skb_shared_info);
	void *end = BPF_CORE_READ(xdp, data_hard_start) + BPF_CORE_READ(xdp, frame_sz);
	struct skb_shared_info *info = end - ((room + CACHE_LINE - 1) & -CACHE_LINE);

	return BPF_CORE_READ(info, gso_size);
}

#endif
