/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path to each peer: by which device WireGuard's messages leave, and how large a pod's packet
 * may be, so that its message is not fragmented. The kernel says it: MTU of the device, MTU of the
 * route, and what the kernel has learned from the path (path MTU discovery). The caller keeps the
 * socket for these questions (netlink/rtnl.h). Thread: control.
 */
#ifndef AGENT_PATHS_H
#define AGENT_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;
struct rtnl_socket;

/* Sets the path of all peers in `fresh`. Peers that have the same endpoint in `before` keep the path
 * that they have there: paths_check() follows changes. `family`: of the tunnel. */
void paths_find(struct rtnl_socket *s, struct plan *fresh, const struct plan *before, int family);
/* Asks the kernel again about at most `most` peers. `*next` is where to go on next time. True: the
 * path to a peer has changed, and the plan has the new one: a pass is needed. A peer without a route
 * keeps its path. */
bool paths_check(struct rtnl_socket *s, struct plan *p, int family, size_t most, size_t *next);
/* What a device with this MTU allows, if the outer packets have the family of the tunnel. */
uint32_t paths_uplink(uint32_t mtu, int family);

#endif
