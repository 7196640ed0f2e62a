/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/pair.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

const char *pair_inner_name(int family)
{
	return family == AF_INET ? "pv4.xsk" : "pv6.xsk";
}

int pair_find(int family, struct link_info *tunnel, struct link_info *inner)
{
	int err = link_get(pair_inner_name(family), inner);

	memset(tunnel, 0, sizeof(*tunnel));
	if (err)
		return err;
	if (strcmp(inner->kind, "veth"))
		return -ENODEV;
	if (!inner->peer_in_other_namespace && inner->peer_ifindex)
		link_get_index(inner->peer_ifindex, tunnel);
	return 0;
}

int pair_tunnel(int family)
{
	struct link_info tunnel, inner;

	return pair_find(family, &tunnel, &inner) ? 0 : tunnel.ifindex;
}
