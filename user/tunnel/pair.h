/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The veth pair of an agent's tunnel device. Its inner end has a fixed name, pv4.xsk or pv6.xsk. So
 * a device is ours if it is a veth device whose other end has that name, whatever its own name is.
 */
#ifndef TUNNEL_PAIR_H
#define TUNNEL_PAIR_H

#include <stdint.h>

#include "netlink/link.h"

const char *pair_inner_name(int family);

/* Finds the pair of that family. 0 or -errno; -ENODEV: there is none. `tunnel->ifindex` is 0 if the tunnel
 * device is in another network namespace. */
int pair_find(int family, struct link_info *tunnel, struct link_info *inner);

/* The ifindex of the tunnel device of that family. 0: none in this network namespace. */
int pair_tunnel(int family);

/* Gives the tunnel device of an earlier agent this name, if there is one; logs it. */
void pair_rename(int family, const char *name);
/* Gives the tunnel device with this ifindex its name and MTU, sets it up, and loosens the check of
 * sources (tunnel/source_check.h). How many things were not so yet, or -errno. */
int pair_set_tunnel(int ifindex, const char *name, uint32_t mtu);
/* Removes both ends, if they are there. */
void pair_remove(int family);

#endif
