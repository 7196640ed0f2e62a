/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One AF_XDP socket on one queue of a device: of the inner end, where it receives superpackets as
 * chains, or of the uplink, where it receives and sends a frame at a time. Nobody above knows rings
 * or chunks: packets come as pieces of memory and go back whole; frames to send are borrowed,
 * filled and handed over.
 *
 * One thread, but xsk_open() and xsk_close(), which run before and after it. Errors are -errno.
 */
#ifndef WIRE_XSK_H
#define WIRE_XSK_H

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

/* Bytes of a frame that a socket receives or sends; less is lost to the kernel's headroom. */
#define XSK_FRAME_SIZE 3840

struct xsk_params {
	int ifindex;
	unsigned int queue;
	/* Superpackets as lists of frames (XDP_USE_SG, Linux 6.6 and later; -EOPNOTSUPP or -EINVAL
	 * where the kernel cannot). */
	bool chains;
	bool sends;	 /* has frames to send */
	bool zero_copy;	 /* -EOPNOTSUPP or the like where the driver cannot; else the kernel copies
			  */
	uint32_t fwmark; /* of what is sent, where the kernel copies */
};

/* -EBUSY: another socket has the queue. */
int xsk_open(const struct xsk_params *params, struct xsk **out);
void xsk_close(struct xsk *x);
int xsk_fd(const struct xsk *x);

/* --- handing an open socket to another process --- */

#define XSK_MAX_SENDABLE 1024

struct xsk_handed {
	int fd, memory_fd; /* the socket; the memory of its frames, a memfd */
	bool sends;
	/* Frames to send that are with neither the kernel nor the device: where they lie. */
	uint32_t n_sendable;
	uint64_t sendable[XSK_MAX_SENDABLE];
};

/* What the next process needs. The descriptors stay the socket's own. No thread may use the socket
 * until the other process has given up, or this one has ended: then without xsk_close(), which
 * wipes the frames. */
void xsk_hand(struct xsk *x, struct xsk_handed *out);
/* A socket that another process opened with the same constants. It owns the descriptors from then
 * on; after an error they stay the caller's. Changes nothing: packets are received from the next
 * call on. -EINVAL: not such a socket, or Linux before 6.4, which does not map its rings again. */
int xsk_adopt(const struct xsk_handed *handed, struct xsk **out);
/* Where a frame lies in the memory. */
uint64_t xsk_offset(const struct xsk *x, const void *at);
/* A packet that the process before had received: its frames. False: they do not lie in chunks of
 * this memory. */
bool xsk_packet_at(const struct xsk *x, const uint64_t *offsets, const uint32_t *lengths,
		   uint32_t n, struct xsk_packet *out);

/* Takes up to `max` whole packets. Chains longer than XSK_MAX_FRAMES are dropped and counted in
 * *broken. Costs no system call. */
unsigned int xsk_receive(struct xsk *x, struct xsk_packet *packets, unsigned int max,
			 uint64_t *broken);
void xsk_release(struct xsk *x, const struct xsk_packet *packet);
/* Gives released frames back to the kernel. Once a batch. */
void xsk_refill(struct xsk *x);
/* Frames that may be held back (staged) before reception suffers. */
unsigned int xsk_spare_frames(void);

/* Of a socket without chains: frames, each a packet, to be given back in any number. */
unsigned int xsk_receive_frames(struct xsk *x, struct iovec *frames, unsigned int max);
void xsk_release_frames(struct xsk *x, const struct iovec *frames, unsigned int n);
/* Does something wait? Any thread: it may be over when the answer comes. */
bool xsk_waiting(const struct xsk *x);

/* Frames that xsk_frame() would give now. */
unsigned int xsk_available_frames(struct xsk *x);
/* XSK_FRAME_SIZE bytes to write a frame to; there is one (xsk_available_frames()). */
uint8_t *xsk_frame(struct xsk *x);
/* In the order of the calls; goes out with xsk_flush(). */
void xsk_queue(struct xsk *x, const uint8_t *frame, uint32_t length);
/* Hands over what is queued, and returns how many system calls that took. *all: the device has
 * taken everything; else call again soon. */
unsigned int xsk_flush(struct xsk *x, bool *all);

struct xsk_statistics {
	uint64_t rx_dropped; /* no free frame, or too large */
	uint64_t ring_full;
	uint64_t fill_empty; /* wanted a frame from the fill ring in vain */
};
/* What the kernel counted since the last call. A system call. */
void xsk_statistics(struct xsk *x, struct xsk_statistics *fresh);
int xsk_set_fwmark(struct xsk *x, uint32_t fwmark);

#endif
