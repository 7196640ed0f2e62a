/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures on a network device, in both directions (AF_PACKET with a filter of our own). Changes
 * nothing and slows nobody down: frames that do not fit its buffer are counted as missed. One
 * thread. Errors are -errno.
 */
#ifndef CLI_VERIFY_WIRETAP_H
#define CLI_VERIFY_WIRETAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wiretap;

/* Captured bytes of each frame: enough for all headers and the payload of a small probe. */
#define WIRETAP_BYTES 256

struct wiretap_frame {
	const uint8_t *data; /* begins with the Ethernet header */
	size_t captured, length;
	uint16_t segment; /* payload bytes of a segment, if the frame is cut later; else 0 */
	bool outgoing;
};

/* -EPERM: CAP_NET_RAW is missing; -ENOTSUP: the device has no Ethernet frames. */
int wiretap_open(int ifindex, struct wiretap **out);
void wiretap_close(struct wiretap *w);
int wiretap_fd(const struct wiretap *w);
/* Calls back for each waiting frame, and returns their number. 0: none waits. -ENETDOWN: the device
 * is gone. */
int wiretap_read(struct wiretap *w, void (*each)(void *context, const struct wiretap_frame *f),
		 void *context);
/* The number of frames that were missed since the beginning. */
uint64_t wiretap_missed(struct wiretap *w);

#endif
