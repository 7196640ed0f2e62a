/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/pair.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "tunnel/source_check.h"

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

void pair_rename(int family, const char *name)
{
	struct link_info tunnel, inner;

	if (pair_find(family, &tunnel, &inner) || !tunnel.ifindex)
		return;
	if (strcmp(tunnel.name, name) && !link_rename(tunnel.ifindex, name))
		log_info("renamed the tunnel device of a process that ended", "from=%s to=%s",
			 tunnel.name, name);
}

int pair_set_tunnel(int ifindex, const char *name, uint32_t mtu)
{
	struct link_info link;
	int err = link_get_index(ifindex, &link), repaired = 0;

	if (!err && strcmp(link.name, name)) {
		err = link_rename(link.ifindex, name);
		repaired++;
	}
	if (!err && link.mtu != mtu) {
		err = link_set_mtu(link.ifindex, mtu);
		repaired++;
	}
	if (!err && !link.up) {
		err = link_set_up(link.ifindex, true);
		repaired++;
	}
	if (err)
		return err;
	err = source_check_loosen(name);
	return err < 0 ? err : repaired + err;
}

void pair_remove(int family)
{
	struct link_info tunnel, inner;

	if (!pair_find(family, &tunnel, &inner))
		link_delete(inner.ifindex);
}
