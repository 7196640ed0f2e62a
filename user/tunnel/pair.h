/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The veth pair that is an agent's tunnel device. Its inner end has a fixed name, pv4.xsk or
 * pv6.xsk; so a device is ours if it is a veth whose other end bears that name, whatever the device
 * itself is called. Functions return 0 or -errno and log nothing.
 */
#ifndef TUNNEL_PAIR_H
#define TUNNEL_PAIR_H

#include <stdbool.h>

#include "netlink/link.h"

const char *pair_inner_name(int family);

/* The pair of that family. -ENODEV: there is none. `tunnel->ifindex` 0: that end is in another
 * network namespace. */
int pair_find(int family, struct link_info *tunnel, struct link_info *inner);

/* The ifindex of the tunnel device of that family, 0: none here. */
int pair_tunnel(int family);

#endif
