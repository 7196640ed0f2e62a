/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, rules and routes over rtnetlink, as far as the agent needs them. Functions return 0 or
 * -errno and log nothing. Routes that do not bear a device's name carry ROUTE_PROTOCOL, so that
 * ours are told from others'.
 */
#ifndef NETLINK_ROUTE_H
#define NETLINK_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"

#define ROUTE_PROTOCOL	    92
#define ROUTE_BACKUP_METRIC 4096 /* of what drops packets when the device's route is not there */
#define RULE_MARK	    0x200000

enum route_kind {
	ROUTE_THROW,	   /* look in the next table */
	ROUTE_DEVICE,	   /* through the tunnel device, scope link */
	ROUTE_BACKUP,	   /* blackhole with a high metric, behind ROUTE_DEVICE */
	ROUTE_UNREACHABLE, /* ends here, and the sender is told */
};

struct route {
	struct cidr to;
	enum route_kind kind;
	struct cidr source; /* ROUTE_DEVICE: what the host's own packets bear; AF_UNSPEC: none */
	uint32_t mtu;	    /* ROUTE_DEVICE: of this route; 0: that of the device */
};

/* Our routes in the table (0: in all tables): through this device (0: none) with the protocol boot,
 * or with our protocol. `each` may not change routes. */
int route_each(int family, uint32_t table, int ifindex,
	       void (*each)(void *context, const struct route *r), void *context);
/* Adds, or replaces the route of another kind to the same range (but not a backup's). */
int route_set(uint32_t table, int ifindex, const struct route *r);
/* -ESRCH: it was not there. */
int route_delete(uint32_t table, int ifindex, const struct route *r);

/* `PRIORITY: not from all fwmark 0x200000/0x200000 lookup TABLE proto 92`: ours alone; the same rule
 * of somebody else, which lacks the protocol, is neither found nor deleted. */
int rule_find(int family, uint32_t priority, uint32_t table, bool *there);
int rule_add(int family, uint32_t priority, uint32_t table); /* 0 also where it is there */
int rule_delete(int family, uint32_t priority, uint32_t table);
/* Rules of others that are the same as ours but for the protocol, and with `mark` in the place of
 * ours: Felix makes such. */
int rule_each_foreign(int family, uint32_t mark,
		      void (*each)(void *context, uint32_t priority, uint32_t table),
		      void *context);
/* One of them goes. */
int rule_delete_foreign(int family, uint32_t mark, uint32_t priority, uint32_t table);

/* Addresses of a device of one family, but none of scope link. */
int address_each(int family, int ifindex, void (*each)(void *context, const struct cidr *a),
		 void *context);
/* The same for all devices. */
int address_each_device(int family, void (*each)(void *context, int ifindex, const struct cidr *a),
			void *context);
int address_add(int ifindex, const struct cidr *a); /* 0 also where it is there */
int address_delete(int ifindex, const struct cidr *a);

/* The device of the default route in the main table; -ENODEV: none. IPv4 first, then IPv6. */
int route_default(int *ifindex);

/* Netlink's news of links, addresses, routes, rules and TC, or with `neighbours` of those instead
 * of TC, without their content: somebody changed something. Non-blocking. */
struct route_watch;
int route_watch_new(bool neighbours, struct route_watch **out);
void route_watch_free(struct route_watch *w);
int route_watch_fd(const struct route_watch *w);
void route_watch_drain(struct route_watch *w);

#endif
