/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network settings of one tunnel in the kernel: the address of its device, the rule, the
 * routes. network_apply() sets all of them; network_repair() restores what somebody changed.
 * Settings of others are never touched.
 *
 * The order of changes loses no packet. New routes are added before old ones are removed, and the
 * rule is added last and removed first. Behind each route to pods through the tunnel there is a
 * backup route that drops packets: if the device disappears, nothing leaves in plain. Thread:
 * control.
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
	struct route *routes; /* in any order; allocated, network_apply() takes ownership */
	size_t n_routes;
};

struct network;

struct network *network_new(int family); /* NULL: no memory */
void network_free(struct network *n);	 /* the kernel's state stays */

/* 0, or the first -errno. Each failure is logged, and network_repair() tries again. */
int network_apply(struct network *n, struct network_want *want);
/* The number of things that had to be restored, or -errno. */
int network_repair(struct network *n);
/* Removes all addresses from the device except the wanted one. Call it once, after taking over the
 * device of a dead process. */
void network_forget_addresses(struct network *n, int ifindex);
/* Removes rule and routes. The address stays until the device is removed. */
void network_clear(struct network *n);

/* Did a route through the device lead to this range, as far as we know? Looks for its backup route,
 * which stays even if the device is gone. */
bool network_had_route(const struct network *n, const struct cidr *to);
/* Reads the routes that a dead process left, before the first network_apply(). Reads all tables,
 * because the table's setting may have changed. 0 or -errno. */
int network_adopt(struct network *n, int ifindex, uint32_t table);

/* Removes the routes through our device of that family that have no backup route: those to nodes'
 * own addresses. While no agent runs, the node must be able to reach the store, and whatever starts
 * the next agent. */
void network_release_hosts(int family);

#endif
