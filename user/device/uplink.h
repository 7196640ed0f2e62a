/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire mode of a device: opens queues of the uplink for the workers where `xdp` is wanted and
 * can be, finds the paths of peers that they miss, keeps both right while links, addresses, routes
 * and neighbours change, and gives everything back to the UDP sockets where it cannot. Whatever
 * happens here, those sockets stand beside it. Internal to the folder.
 *
 * Thread: handshake, under the device's lock.
 */
#ifndef DEVICE_UPLINK_H
#define DEVICE_UPLINK_H

#include <event2/event.h>

struct device;
struct device_view;
struct uplink;

int uplink_new(struct device *d, struct event_base *base, struct uplink **out);
/* Also from another thread, when the handshake thread has ended. */
void uplink_free(struct uplink *u);
/* The device went up or down, or its port, mark, peers or wishes (device.wire) changed. */
void uplink_update(struct uplink *u);
/* Which wire, and why. Any thread that has the lock. */
void uplink_view(const struct uplink *u, struct device_view *v);

#endif
