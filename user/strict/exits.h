/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits of a node: the devices by which a packet to or from a pod of another node could leave
 * or enter, and the UDP ports of the overlays. guard and shield are attached to the exits.
 *
 * These are no exits: the loopback, our tunnels, devices that lead nowhere, other tunnels that
 * encrypt, and devices of pods. A veth, bridge or tap is a device of pods, unless it is the uplink,
 * or the node has an address there that is in no pod range.
 *
 * Devices on top of others (overlays, VLANs) and ports of a bridge or bond are exits in strict mode
 * only. There the first device drops the packet. Without strict mode, each device would count it
 * again.
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
	bool strict;			    /* include devices on top of others */
	const char *tunnels[2];		    /* names of our devices */
	const struct tagged_ranges *ranges; /* ranges of pods, sorted */
};

struct exit_device {
	struct filter_device is;
	char name[IF_NAMESIZE];
};

struct exits {
	struct exit_device *all; /* heap; all zero: empty */
	size_t n, room;
	uint16_t vxlan_ports[PV_GUARD_PORTS], geneve_ports[PV_GUARD_PORTS]; /* host byte order */
};

/* `out` is all zero, or the result of an earlier call. After an error it is unchanged. */
int exits_find(struct exits *out, const struct exits_input *in);
void exits_fini(struct exits *e);

#endif
