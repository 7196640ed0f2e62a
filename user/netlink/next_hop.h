/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way the kernel would send a UDP datagram: device, source address, and the MAC address of
 * whoever takes it from there. The caller keeps the socket for these questions (netlink/rtnl.h).
 * Functions return 0 or -errno and log nothing.
 */
#ifndef NETLINK_NEXT_HOP_H
#define NETLINK_NEXT_HOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"

struct rtnl_socket;

struct next_hop_query {
	struct cidr to, from; /* from: AF_UNSPEC: the kernel chooses */
	int ifindex;	      /* link-local addresses: through this device; else 0 */
	uint32_t fwmark;
	uint16_t from_port, to_port; /* host byte order */
};

struct next_hop {
	int ifindex;
	struct cidr from;    /* the query's, or what the kernel chose */
	uint32_t mtu;	     /* the route's own, or learned from the path; 0: none */
	struct cidr gateway; /* who takes it from there: a router, or the destination itself */
	uint8_t mac[6];
	bool silent; /* the gateway does not answer the kernel's questions (ARP, NDP) */
};

/* Asks for the route alone: everything but `mac` and `silent`. -ENETUNREACH and the like: there is none;
 * -ENOTSUP: one that does more than to hand packets to a device. */
int next_hop_route(struct rtnl_socket *s, const struct next_hop_query *q, struct next_hop *out);
/* The neighbour, too. -EAGAIN: the kernel has not found it (sending through a socket makes it
 * look); everything but `mac` is set then. */
int next_hop_find(struct rtnl_socket *s, const struct next_hop_query *q, struct next_hop *out);

/* Every address of this machine that packets may be sent to and from, with its device. */
int local_address_each(void (*each)(void *context, const struct cidr *a, int ifindex),
		       void *context);

#endif
