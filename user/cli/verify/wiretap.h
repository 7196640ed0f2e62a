/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at what passes a network device (AF_PACKET with a filter of our own), in both directions.
 * Changes nothing, and is nobody's bottleneck: what it has no room for, it counts as missed. One
 * thread. Errors are -errno.
 */
#ifndef CLI_VERIFY_WIRETAP_H
#define CLI_VERIFY_WIRETAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wiretap;

/* So much of each frame is there to be read: all headers, and the payload of a small probe. */
#define WIRETAP_BYTES 256

struct wiretap_frame {
	const uint8_t *data; /* Ethernet header first */
	size_t captured, length;
	uint16_t segment; /* of a superpacket that is cut later: payload bytes a segment; else 0 */
	bool outgoing;
};

/* -EPERM: lacks CAP_NET_RAW; -ENOTSUP: the device's frames are not Ethernet's. */
int wiretap_open(int ifindex, struct wiretap **out);
void wiretap_close(struct wiretap *w);
int wiretap_fd(const struct wiretap *w);
/* Shows what is there, and returns how many; 0: nothing waits. -ENETDOWN: the device is gone. */
int wiretap_read(struct wiretap *w, void (*each)(void *context, const struct wiretap_frame *f),
		 void *context);
/* Frames that the kernel had no room for, since the beginning. */
uint64_t wiretap_missed(struct wiretap *w);

#endif
