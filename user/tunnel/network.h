/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel shall know of one tunnel: the address of its device, the rule, the routes. Said
 * once as a whole, then kept that way: network_repair() puts back what somebody changed. What is not
 * ours is never touched.
 *
 * The order of changes loses no packet: a route that goes through the tunnel is backed by one that
 * drops (should the device vanish, nothing leaves in plain), what is new comes before what is old
 * goes, and the rule comes last and goes first. Thread: control.
 */
#ifndef TUNNEL_NETWORK_H
#define TUNNEL_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink/route.h"

struct network_want {
	int ifindex;	   /* of the tunnel device */
	uint32_t priority; /* of the rule */
	uint32_t table;
	bool rule;
	struct cidr address;  /* AF_UNSPEC: none */
	struct route *routes; /* in any order; allocated, network_apply() takes them */
	size_t n_routes;
};

struct network;

struct network *network_new(int family); /* NULL: no memory */
void network_free(struct network *n);	 /* the kernel's state stays */

/* 0, or the first -errno of what could not be done: logged, and tried
 * again by network_repair(). */
int network_apply(struct network *n, struct network_want *want);
/* How many things had to be put back, or -errno. */
int network_repair(struct network *n);
/* Addresses on the device that are not wanted go: once, after taking over the device of a dead
 * process. */
void network_forget_addresses(struct network *n, int ifindex);
/* Rule and routes go, the address with the device. */
void network_clear(struct network *n);

/* Did a route through the device lead to this range, as far as we know? The one that backs it tells
 * even where the device is gone. */
bool network_had_route(const struct network *n, const struct cidr *to);
/* Reads what a dead process left, before the first network_apply(): in whatever table, for the
 * setting may have changed since. */
int network_adopt(struct network *n, int ifindex, uint32_t table);

/* Routes through our device of that family that nothing backs, which are those to nodes' own addresses, go: while
 * no agent runs, or before it has read its store, nodes must be able to reach what lets one run. */
void network_release_hosts(int family);

#endif
