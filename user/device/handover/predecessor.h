/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that others may take over from: it listens on /run/podveil/NAME.handover, and hands all
 * of its devices to the one that asks. handover/channel.h has the order of messages.
 *
 * It hands over to nobody that has handed over to it, or to one before it (handover/instances.h).
 *
 * If the other process fails before it says that it runs, this one goes on. It waits for the other
 * with its threads held, so for at most some seconds. Others that ask meanwhile wait in the socket's
 * queue: for this process, or for the one that has taken over, to which the socket goes, too.
 *
 * Thread: control.
 */
#ifndef DEVICE_PREDECESSOR_H
#define DEVICE_PREDECESSOR_H

#include "device/device.h"
#include "handover/channel.h"
#include "handover/instances.h"
#include "handover/record.h"

struct event_base;
struct predecessor;

struct handed_device {
	struct device *device;
	int wg_fd;	   /* the listening socket of wg(8); -1: none */
	const char *owner; /* goes along with the device; NULL: "" */
};

struct predecessor_params {
	struct event_base *base;
	const char *name; /* of the socket: a device's, or the process' */
	int listener;	  /* the socket, from the process before; -1: make it */
	/* What there is to hand over. The number of devices. */
	size_t (*devices)(struct handed_device out[RECORD_MAX_DEVICES], void *context);
	/* More descriptors that the other process gets, at most CHANNEL_MORE: such as a socket of requests. NULL: none.
	 * Their number. */
	size_t (*more)(int out[CHANNEL_MORE], void *context);
	void *context;
	const char *instance; /* the name of this process; "" or NULL: none */
	/* The names of those that have handed over to this process, and to each other before; NULL: none. */
	const struct instances *handed_over;
};

/* 0 or -errno. */
int predecessor_new(const struct predecessor_params *params, struct predecessor **out);
/* Closes the socket and removes its file. */
void predecessor_free(struct predecessor *p);
/* The device was renamed: so is the file. */
void predecessor_rename(struct predecessor *p, const char *name);

#endif
