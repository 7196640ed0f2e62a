/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP on the inner end of the veth pair: passes each packet to the AF_XDP socket of its queue. A
 * queue without a socket (the process has ended) drops the packet, so it never leaves unencrypted.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "podveil/stamp.h"
#include "superpacket.h"

static __always_inline int steer_packet(struct xdp_md *ctx)
{
	/* The flags are the verdict when the queue has no socket. */
	int verdict = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_DROP);

	if (verdict == XDP_REDIRECT)
		COUNT(steered);
	else
		COUNT(drop_no_socket);
	return verdict;
}

/* Superpackets arrive as several fragments. */
SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	struct pv_stamp *stamp = (void *)(long)ctx->data;

	if ((void *)(stamp + 1) <= (void *)(long)ctx->data_end && stamp->magic != PV_STAMP_MAGIC)
		*stamp = (struct pv_stamp){
			.magic = PV_STAMP_MAGIC,
			.flags = PV_STAMP_BY_STEER,
			.gso_size = segment_size(ctx),
			.peer = PV_STAMP_NO_PEER,
		};
	return steer_packet(ctx);
}

SEC("xdp")
int steer_whole(struct xdp_md *ctx)
{
	return steer_packet(ctx);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
