/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes over all devices of a living process. handover/channel.h has the order of messages.
 *
 *   struct successor *s;
 *   int err = successor_take(&params, &s);    // the old process still decides
 *   if (err == -ENOENT) ... nobody is there: make the devices anew
 *   else if (err) _exit(EXIT_FAILED);         // the old process goes on
 *   ... makes what it needs to serve the devices: successor_device(), successor_wg_fd() ...
 *   err = successor_begin(s);                 // from here on this process has them
 *   if (err) _exit(EXIT_FAILED);
 *
 * After an error, and until successor_begin() returned 0, nothing may be freed, closed or removed: all of it
 * is the old process', which goes on. The process may only end. Thread: control.
 */
#ifndef DEVICE_SUCCESSOR_H
#define DEVICE_SUCCESSOR_H

#include "device/device.h"
#include "handover/channel.h"
#include "handover/instances.h"
#include "handover/record.h"

struct successor;

struct successor_params {
	const char *name; /* of the old process' socket */
	/* Of device i, which was served under this name: fills in base, callbacks and what else the new
	 * process decides (aead). The rest is as the old process had it. */
	void (*params)(size_t i, const char *served_name, struct device_params *out, void *context);
	void *context;
	const char *instance; /* the name of this process; "" or NULL: none */
};

/* 0: the devices stand, held. -ENOENT: no process hands over under that name, or it ended before it did.
 * -EALREADY: it refuses, because this instance has handed over before; nothing was begun, and this process may
 * go on. Else -errno (logged). */
int successor_take(const struct successor_params *params, struct successor **out);
size_t successor_count(const struct successor *s);
struct device *successor_device(struct successor *s, size_t i);
/* handed_device.owner. */
const char *successor_owner(const struct successor *s, size_t i);
/* The listening socket of wg(8) of a device; -1: none. */
int successor_wg_fd(struct successor *s, size_t i);
/* The listening socket of predecessor.h. */
int successor_listener(struct successor *s);
/* predecessor_params.more; their number. */
size_t successor_more(struct successor *s, int out[CHANNEL_MORE]);
/* Those that have handed over, the old process among them. */
void successor_handed_over(const struct successor *s, struct instances *out);
/* Asks the old process to end, and begins. Frees `s`. */
int successor_begin(struct successor *s);

#endif
