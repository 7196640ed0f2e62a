/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that agents made on this machine and that are not wanted any more. Today's settings do not
 * help to find them, since they may have changed. They are found by these signs:
 *
 *   rules, routes   have our protocol number, or lead through our device (netlink/our_routes.h)
 *   devices         a veth pair with our inner end (tunnel/pair.h)
 *   the first line  table 20566 and its rules, `inet podveil` of nftables (strict/first_line.h)
 *   guard, shield   programs of that name on any device (programs/device_filters.h)
 *   pins, locks,    of a name that no process serves, and whose device is gone or ours
 *   wg sockets
 *   files           in /run/podveil
 *
 * A device of `podveil device` is not touched, nor are its pins, lock and socket.
 * Thread: control. Errors: the first -errno; what cannot be removed is logged.
 */
#ifndef AGENT_LEFTOVERS_H
#define AGENT_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wanted and stays. The families are in the order IPv4, IPv6. */
struct leftovers_wanted {
	bool tunnel[2];
	const char *name[2]; /* of the tunnel devices */
	uint32_t priority, table;
	bool others; /* keep rules and routes in other tables: the new ones are not in place yet */
	bool first_line;
	bool guard;
	bool files; /* keys and the other files in /run/podveil */
};

/* Removes everything that is not wanted: first rules and routes, then devices, then the guard. */
int leftovers_remove(const struct leftovers_wanted *w);

/* How many things were found, and which ones are left. */
struct leftovers_remains {
	size_t found;
	char *remaining; /* one line each; allocated, the caller frees; NULL: unknown */
};

/* Removes everything, then checks again. 0 only if nothing is left. */
int leftovers_clear(struct leftovers_remains *r);

#endif
