/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The veth pair of an agent's tunnel device. Its inner end has a fixed name, pv4.xsk or pv6.xsk. So
 * a device is ours if it is a veth device whose other end has that name, whatever its own name is.
 * Functions return 0 or -errno and log nothing.
 */
#ifndef TUNNEL_PAIR_H
#define TUNNEL_PAIR_H

#include <stdbool.h>

#include "netlink/link.h"

const char *pair_inner_name(int family);

/* Finds the pair of that family. -ENODEV: there is none. `tunnel->ifindex` is 0 if the tunnel
 * device is in another network namespace. */
int pair_find(int family, struct link_info *tunnel, struct link_info *inner);

/* The ifindex of the tunnel device of that family. 0: none in this network namespace. */
int pair_tunnel(int family);

#endif
