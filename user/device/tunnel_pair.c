/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the veth pair of a device, whose one end is the tunnel device, or takes over that of a
 * dead process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "device/peer.h"
#include "netlink/link.h"

void device_name_inner_end(struct device *d)
{
	if (d->params.inner_name) {
		snprintf(d->inner_name, sizeof(d->inner_name), "%s", d->params.inner_name);
		return;
	}
	if (snprintf(d->inner_name, sizeof(d->inner_name), "%s.xsk", d->name) <
	    (int)sizeof(d->inner_name))
		return;

	/* NAME.xsk is too long: use the FNV-1a hash of the device's name. */
	uint32_t hash = 2166136261u;

	for (const char *c = d->name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	snprintf(d->inner_name, sizeof(d->inner_name), "pv%08x.xsk", hash);
}

/* Takes over a pair that a dead process left, and with it its addresses and routes. */
static int adopt_pair(struct device *d, const struct link_info *tunnel)
{
	struct link_info inner;
	int err;

	if (strcmp(tunnel->kind, "veth") || link_get(d->inner_name, &inner) ||
	    tunnel->peer_ifindex != inner.ifindex)
		return -EEXIST;
	d->adopted = true;
	d->tunnel_ifindex = tunnel->ifindex;
	d->inner_ifindex = inner.ifindex;
	d->mtu = tunnel->mtu;
	memcpy(d->mac, tunnel->mac, sizeof(d->mac));
	err = link_set_mtu(d->inner_ifindex, LINK_INNER_MTU);
	if (err)
		return err;
	/* The pair may have fewer queues than a new one: an older version made no second half, and
	 * an earlier agent may have had fewer workers. */
	d->queues = inner.rx_queues;
	d->room = d->params.second_half && d->queues >= 2 * d->workers ? d->queues / 2 : d->queues;
	if (d->room < d->workers)
		d->workers = d->room;
	err = link_set_offloads(d->name, d->superpackets);
	if (!err)
		log_info("took over the tunnel device of a process that ended", "device=%s",
			 d->name);
	return err;
}

int device_make_pair(struct device *d)
{
	struct link_info tunnel, inner;
	int err;

	if (!link_get(d->name, &tunnel)) {
		err = d->params.adopt ? adopt_pair(d, &tunnel) : -EEXIST;
		if (err == -EEXIST)
			log_error("a network device of this name exists",
				  "device=%s kind=%s needs=\"another name\"", d->name,
				  tunnel.kind[0] ? tunnel.kind : "physical");
		return err;
	}
	/* If a dead process renamed its tunnel device, the inner end still has our name. */
	if (!link_get(d->inner_name, &inner) && !strcmp(inner.kind, "veth"))
		link_delete(inner.ifindex);
	err = link_pair_create(d->name, d->inner_name, d->queues, d->mtu, d->superpackets);
	if (err) {
		log_error("cannot create the tunnel device", "device=%s inner=%s mtu=%u errno=%d",
			  d->name, d->inner_name, d->mtu, -err);
		return err;
	}
	if (link_get(d->name, &tunnel) || link_get(d->inner_name, &inner))
		return -ENODEV;
	d->tunnel_ifindex = tunnel.ifindex;
	d->inner_ifindex = inner.ifindex;
	memcpy(d->mac, tunnel.mac, sizeof(d->mac));
	return 0;
}
