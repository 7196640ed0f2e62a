/* SPDX-License-Identifier: Apache-2.0 */
/* Which network device is the uplink of a WireGuard device, and whether AF_XDP can be used there. */
#include <net/if.h>
#include <stdio.h>

#include "device/peer.h"
#include "device/uplink_paths.h"
#include "netlink/link.h"
#include "wire/xsk.h"

#define ETHERNET 14

/* The device that was set, or else the one by which the first peer is reached. 0: none. */
static int find_uplink(const struct device *d, struct rtnl_socket *questions)
{
	if (d->wire_ifindex)
		return d->wire_ifindex;
	if (d->params.uplink)
		return (int)if_nametoindex(d->params.uplink);
	return uplink_paths_device(d, questions);
}

static bool has_other_program(const struct link_info *link, char reason[WIRE_REASON_TEXT])
{
	char name[16];
	const uint32_t id = programs_xdp_attached(link->ifindex, name);

	if (id)
		snprintf(reason, WIRE_REASON_TEXT, "%s has an XDP program already: %s%sid %u",
			 link->name, name, *name ? ", " : "", id);
	return id;
}

bool uplink_choose(const struct device *d, struct rtnl_socket *questions, struct link_info *link,
		   char reason[WIRE_REASON_TEXT])
{
	const int ifindex = find_uplink(d, questions);

	if (!ifindex && !d->params.uplink)
		snprintf(reason, WIRE_REASON_TEXT,
			 "no peer is known yet that shows which device is the uplink");
	else if (!ifindex || link_get_index(ifindex, link))
		snprintf(reason, WIRE_REASON_TEXT, "the uplink does not exist");
	else if (!link->up)
		snprintf(reason, WIRE_REASON_TEXT, "%s is down", link->name);
	else if (!link->ethernet)
		snprintf(reason, WIRE_REASON_TEXT, "%s is not an Ethernet device", link->name);
	else if (link->mtu + ETHERNET > XSK_FRAME_SIZE)
		snprintf(reason, WIRE_REASON_TEXT, "the MTU of %s, %u, is above %d", link->name,
			 link->mtu, XSK_FRAME_SIZE - ETHERNET);
	else
		return !has_other_program(link, reason);
	return false;
}
