/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire mode of a device. If `xdp` is set and possible, this opens queues of the uplink for the
 * workers and finds the paths of peers for them. It updates both when links, addresses, routes or
 * neighbours change. If `xdp` is not possible, all messages go through the UDP sockets, which stay
 * open in every mode. Internal to the folder.
 *
 * Thread: handshake, under the device's lock.
 */
#ifndef DEVICE_UPLINK_H
#define DEVICE_UPLINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

struct link_info;
struct rtnl_socket;
struct wire_xdp_handed;
struct uplink;

int uplink_new(struct device *d, struct event_base *base, struct uplink **out);
/* Another thread may call this when the handshake thread has ended. */
void uplink_free(struct uplink *u);
/* Call this when the device went up or down, or its port, mark, peers or `wire` changed. */
void uplink_update(struct uplink *u);

/* --- to another process, and from it; control thread, under the lock, with all threads held --- */

struct uplink_handed {
	bool open; /* else nothing of the rest */
	uint32_t ifindex;
	bool zero_copy, generic;
	int divert_link; /* the descriptor; it stays the uplink's */
};
void uplink_hand(const struct uplink *u, struct uplink_handed *out);
/* The queues go on, `queues[i]` at worker i, for `n` of them. 0 or -errno. */
int uplink_adopt(struct uplink *u, const struct uplink_handed *handed,
		 const struct wire_xdp_handed *queues, unsigned int n);

/* --- uplink_choice.c --- */

/* Finds the network device that is the uplink, and whether AF_XDP can be used there. False: it
 * cannot be used, and `reason` says why. `questions`: netlink/rtnl.h. Thread: handshake, under the lock. */
bool uplink_choose(const struct device *d, struct rtnl_socket *questions, struct link_info *link,
		   char reason[WIRE_REASON_TEXT]);

/* --- looking at it --- */

/* Fills in which wire is used, and why. Any thread that has the lock. */
void uplink_view(const struct uplink *u, struct device_view *v);

#endif
