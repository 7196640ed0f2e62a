/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules and routes that Podveil made, found by what they are and in whatever table: a rule bears
 * our protocol number (ROUTE_PROTOCOL); a route does, or leads through one of our devices. So they
 * are found whatever the settings say today, and nobody else's is taken for ours.
 *
 * Functions return 0 or -errno and log nothing.
 */
#ifndef NETLINK_OUR_ROUTES_H
#define NETLINK_OUR_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

struct our_rule {
	int family;
	uint32_t priority, table;
};

struct our_route {
	struct cidr to;
	uint32_t table, metric;
	int ifindex;		       /* 0: none */
	uint8_t type, protocol, scope; /* RTN_..., RTPROT_..., RT_SCOPE_... */
};

#define OUR_ROUTE_TEXT (CIDR_TEXT + 64)

/* Both allocate *out, the caller's to free. */
int our_rules(int family, struct our_rule **out, size_t *n);
/* `device`: the ifindex of our device of that family; 0: none. */
int our_routes(int family, int device, struct our_route **out, size_t *n);

/* 0 also where it is gone already. */
int our_rule_delete(const struct our_rule *r);
int our_route_delete(const struct our_route *r);

/* "blackhole 10.244.2.0/26 table 1" */
const char *our_route_text(const struct our_route *r, char out[OUR_ROUTE_TEXT]);

#endif
