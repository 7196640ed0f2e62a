/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large a pod's packet may be on the path to each peer, so that WireGuard's message is not
 * fragmented. The kernel says it: MTU of the device by which the message leaves, MTU of the route,
 * and what the kernel has learned from the path (path MTU discovery). Thread: control.
 */
#ifndef AGENT_PATHS_H
#define AGENT_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;

/* Sets the MTU of all peers in `fresh`. Peers that have the same endpoint in `before` keep the MTU
 * that they have there: paths_check() follows changes. `family`: of the tunnel. */
void paths_find(struct plan *fresh, const struct plan *before, int family);
/* Asks the kernel again about at most `most` peers. `*next` is where to go on next time. True: the
 * MTU of a peer has changed, and the plan has the new one: a pass is needed. A peer without a route
 * keeps its MTU. */
bool paths_check(struct plan *p, int family, size_t most, size_t *next);
/* The MTU of the tunnel device: that of the path with the largest one. 0: no path is known. */
uint32_t paths_largest(const struct plan *p);
/* What a device with this MTU allows, if the outer packets have the family of the tunnel. */
uint32_t paths_uplink(uint32_t mtu, int family);

#endif
