/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agents made on this machine and what is not wanted any more. It is found by what it is, never
 * by the settings of today, which may be others than those it was made under:
 *
 *   rules, routes   bear our protocol number, or lead through our device (netlink/our_routes.h)
 *   devices         a veth pair with our inner end (tunnel/pair.h)
 *   the first line  table 20566 and the rules to it, `inet podveil` of nftables (strict/first_line.h)
 *   guard, shield   programs of that name on any device (programs/device_filters.h)
 *   pins, locks,    of a name that no living process serves, and whose device is not there or ours
 *   wg sockets
 *   files           in /run/podveil
 *
 * A device of `podveil device`, its pins, lock and socket, are its own: they are not touched.
 * Thread: control. Errors: the first -errno; what cannot be removed is logged.
 */
#ifndef AGENT_LEFTOVERS_H
#define AGENT_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What shall stay. The families are in the order IPv4, IPv6. */
struct leftovers_wanted {
	bool tunnel[2];
	const char *name[2]; /* of the tunnel devices */
	uint32_t priority, table;
	bool others; /* rules and routes of a wanted tunnel in other tables: the new ones do not stand */
	bool first_line;
	bool guard;
	bool files; /* keys and what else is in /run/podveil */
};

/* Removes all that is not wanted: first what steers traffic, then devices, then the guard. */
int leftovers_remove(const struct leftovers_wanted *w);

/* What was there of agents, and what of it is left. */
struct leftovers_remains {
	size_t found;
	char *remaining; /* a line each; allocated; NULL: unknown */
};

/* Everything goes. Then it is looked at again: 0 only if nothing is left. */
int leftovers_clear(struct leftovers_remains *r);

#endif
