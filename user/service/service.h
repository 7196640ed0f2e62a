/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tunnel process does: it has the devices that an agent asks for, and answers on
 * SERVICE_SOCKET (service_request.h). It goes on when the agent is gone. Requests are carried out
 * one after the other, each as a whole or not at all; a request whose sender died before its end is
 * not carried out. Thread: control.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <stdbool.h>

/* The name under which it hands over (handover/channel.h); no device can have it. */
#define SERVICE_HANDOVER "podveil-tunnel-process"

struct event_base;
struct service;

struct service_params {
	struct event_base *base;
	/* Take all devices over from the tunnel process that runs, which then ends (device/handover/successor.h).
	 * After an error the process must end at once, because what it has is the other's. */
	bool take_over;
	/* The name of this process (handover/instances.h); it lives as long as the service. NULL or "": none. With
	 * a name, it waits where it cannot take over, because it has handed over before or the other process cannot,
	 * and goes on when the other one ends. */
	const char *instance;
	const char *capabilities; /* that the process kept, for reports; NULL: all */
};

/* 0 or -errno, which is logged. -EWOULDBLOCK: another tunnel process runs on this machine. -ECANCELED: told to end
 * while it waited. */
int service_new(const struct service_params *params, struct service **out);
/* The tunnel devices stay, and packets for them are dropped (fail closed). */
void service_free(struct service *s);

#endif
