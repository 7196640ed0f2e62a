/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One AF_XDP socket that receives from one queue of the inner end, in copy mode. Nobody above knows
 * rings, frames or chunks: packets come as lists of memory pieces and go back whole.
 *
 * One thread, but xsk_open() and xsk_close(), which run before and after it. Errors are -errno.
 */
#ifndef DATAPATH_XSK_H
#define DATAPATH_XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A superpacket of 64 KiB lies in 18 chunks of 4 KiB less headroom. The kernel hands on at most 17
 * page fragments and the linear part, and a fragment may be split over two chunks. */
#define XSK_MAX_FRAMES 40

struct xsk;

/* A received packet, Ethernet header first. Owned by the caller until xsk_release(); may be kept
 * for a while (staged packets), and copied as a struct. */
struct xsk_packet {
	uint32_t length;
	uint32_t n_frames;
	struct iovec frames[XSK_MAX_FRAMES];
};

/* `chains`: superpackets as lists of frames (XDP_USE_SG, Linux 6.6 and later; -EOPNOTSUPP or
 * -EINVAL where the kernel cannot). */
int xsk_open(int ifindex, unsigned int queue, bool chains, struct xsk **out);
void xsk_close(struct xsk *x);
int xsk_fd(const struct xsk *x);

/* Takes up to `max` whole packets. Chains longer than XSK_MAX_FRAMES are dropped and counted in
 * *broken. Costs no system call. */
unsigned int xsk_receive(struct xsk *x, struct xsk_packet *packets, unsigned int max,
			 uint64_t *broken);
void xsk_release(struct xsk *x, const struct xsk_packet *packet);
/* Gives released frames back to the kernel. Once a batch. */
void xsk_refill(struct xsk *x);
/* Frames that may be held back (staged) before reception suffers. */
unsigned int xsk_frames_spare(const struct xsk *x);
struct xsk_statistics {
	uint64_t rx_dropped; /* no free frame, or too large */
	uint64_t ring_full;
	uint64_t fill_empty; /* wanted a frame from the fill ring in vain */
};
/* What the kernel counted since the last call. A system call. */
void xsk_statistics(struct xsk *x, struct xsk_statistics *fresh);

#endif
