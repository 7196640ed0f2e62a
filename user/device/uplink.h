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

struct device;
struct device_view;
struct uplink;

int uplink_new(struct device *d, struct event_base *base, struct uplink **out);
/* Another thread may call this when the handshake thread has ended. */
void uplink_free(struct uplink *u);
/* Call this when the device went up or down, or its port, mark, peers or `wire` changed. */
void uplink_update(struct uplink *u);
/* Closes the queues: all messages go through the UDP sockets, until uplink_resume(). Control thread, under
 * the lock. */
void uplink_suspend(struct uplink *u);
void uplink_resume(struct uplink *u);
/* Fills in which wire is used, and why. Any thread that has the lock. */
void uplink_view(const struct uplink *u, struct device_view *v);

#endif
