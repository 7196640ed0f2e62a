/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of one worker: where its messages go out and come in. A UDP socket for each IP version,
 * with UDP_SEGMENT on the way out, UDP_GRO on the way in, the mark on all that leaves, and
 * SO_REUSEPORT so that the kernel spreads sources over workers; and beside them, if the owner has
 * set one, a queue of the uplink (AF_XDP, wire_xdp.h), which takes what it can. Callers need not
 * know which of them was used.
 *
 * Owner: wire_set_queue(), and what is in wire_open.h. Worker: send and receive.
 * wire_send_one() may be called from any thread: sockets are safe to share.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "podveil/counters.h"
#include "wire/endpoint.h"

struct destination;

/* UDP_MAX_SEGMENTS of kernels before 6.9, what one system call may hand over with UDP_SEGMENT on
 * IPv4 and IPv6 alike, and what one datagram of IPv4 holds. */
#define WIRE_MAX_SEGMENTS 64
#define WIRE_MAX_RUN	  65487
#define WIRE_MAX_MESSAGE  65507

/* Messages that leave in one system call entry: same peer, same TOS byte, all of `segment` bytes
 * but the last, which may be shorter. */
struct wire_run {
	struct destination *to; /* read on sending */
	uint8_t *data;
	uint32_t length;
	uint16_t segment;
	uint16_t messages;
	uint8_t tos;
};

/* Messages that arrived together, cut apart by the reader at multiples of `segment`. */
struct wire_received {
	uint8_t *data;
	uint32_t length;
	uint16_t segment;
	uint8_t tos;
	struct endpoint from; /* to: where it came from; from: the local address it reached */
};

#define WIRE_RECEIVE_MAX 128 /* of them at a time */
#define WIRE_SEND_RUNS	 64

/* What a wire consists of; each is received from by itself. */
enum wire_part { WIRE_IPV4, WIRE_IPV6, WIRE_QUEUE, WIRE_PARTS };

struct wire;
struct wire_xdp;

/* From now on until it is another's: the queue, or NULL. It may be closed after a grace period. */
void wire_set_queue(struct wire *w, struct wire_xdp *queue);

/* File descriptors to poll; -1: there is no such part. */
int wire_fd(const struct wire *w, enum wire_part part);

/* Buffers for receiving belong to the worker, because wires are replaced under it. */
struct wire_buffers;
struct wire_buffers *wire_buffers_new(void);
void wire_buffers_free(struct wire_buffers *b);

/* Sends all runs, or drops and counts what the kernel refuses: without segmentation offload where
 * the device lacks it, without the sticky source where that is no longer ours. RCU read side. */
void wire_send(struct wire *w, struct wire_buffers *b, const struct wire_run *runs, unsigned int n,
	       struct pv_counters *count);
/* Non-blocking. Data lies in the buffers until the next call. *more: another call may find more at
 * once, and should be made without waiting. */
unsigned int wire_receive(struct wire *w, struct wire_buffers *b, enum wire_part part,
			  struct wire_received out[WIRE_RECEIVE_MAX], bool *more,
			  struct pv_counters *count);
/* The device has not taken all frames yet: call wire_receive() again soon, even if nothing has
 * arrived. */
bool wire_has_unsent(const struct wire *w);
/* 0 or -errno. */
int wire_send_one(struct wire *w, const struct endpoint *to, const void *message, size_t len,
		  uint8_t tos);
/* n messages of `size` bytes each, back to back: all or none. -errno also where the kernel or the device
 * cannot cut them. */
int wire_send_equal(struct wire *w, const struct endpoint *to, const void *messages, unsigned int n,
		    uint16_t size, uint8_t tos);

#endif
