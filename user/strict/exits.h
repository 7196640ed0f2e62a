/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits of a node: the devices by which a packet for a pod of another node could leave, or come
 * from one, and the UDP ports of the overlays among them. guard and shield stand there.
 *
 * Not: the loopback, our tunnels, devices that lead nowhere, other tunnels that encrypt, and devices
 * of pods. A veth, a bridge or a tap is a pod's unless the node has an address of its own there
 * that no range of pods covers, or it is the uplink.
 *
 * Devices that ride on another one (overlays, VLANs, ports of a bridge or bond) are exits in strict
 * mode alone: a packet is dropped at the first, but would be counted at each.
 *
 * Thread: control. Errors: negative errno.
 */
#ifndef STRICT_EXITS_H
#define STRICT_EXITS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "programs/device_filters.h"
#include "strict/tagged_ranges.h"

struct exits_input {
	int uplink;			    /* ifindex */
	bool strict;			    /* those that ride on others as well */
	const char *tunnels[2];		    /* names of our devices */
	const struct tagged_ranges *ranges; /* of pods, sorted */
};

struct exit_device {
	struct filter_device is;
	char name[IF_NAMESIZE];
};

struct exits {
	struct exit_device *all; /* heap; zero is empty */
	size_t n, room;
	uint16_t vxlan_ports[PV_GUARD_PORTS], geneve_ports[PV_GUARD_PORTS]; /* host byte order */
};

/* `out` is zero, or of an earlier call. On failure it is as before. */
int exits_find(struct exits *out, const struct exits_input *in);
void exits_fini(struct exits *e);

#endif
