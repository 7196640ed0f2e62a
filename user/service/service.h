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

/* 0 or -errno, which is logged. -EWOULDBLOCK: another tunnel process runs on this machine. `take_over`: takes all
 * devices over from that one, which then ends (device/handover/successor.h); after an error the process must end at
 * once then, because what it has is the other's. `capabilities`: those that the process kept, for reports; NULL: all. */
int service_new(struct event_base *base, bool take_over, const char *capabilities,
		struct service **out);
/* The tunnel devices stay, and packets for them are dropped (fail closed). */
void service_free(struct service *s);

#endif
