/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nftables part of the first line: the table `inet podveil`. It checks what the kernel's IP
 * layer receives, forwards and sends, and only by the address in the outermost IP header.
 * Encapsulated packets are checked after they are unwrapped, and before they are wrapped. So the
 * table needs to know no encapsulation.
 *
 *   inward   a packet with a remote pod's source must come from the tunnel device
 *   outward  a packet with a remote pod's destination must leave by the tunnel device. This
 *            catches what routing does not decide: sockets bound to a device, other rules
 *   marked   with host encryption: packets with WireGuard's mark are never forwarded. shield
 *            marks arriving packets that look like WireGuard; they are for this node only
 *
 * Why no other mechanism: rp_filter is a setting of each device, and IPv6 has none. Routing rules
 * cannot select "any device but this one" and cannot hold 5,000 sources. With nftables' fib lookup,
 * the inward part would depend on the same routes as the outward part.
 *
 * The table stays when the process ends. Thread: control.
 */
#ifndef STRICT_IP_FILTER_H
#define STRICT_IP_FILTER_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "strict/tagged_ranges.h"

struct ip_filter;

struct ip_filter_want {
	const struct tagged_ranges *ranges; /* from remote_ranges_collect(); NULL: no strict mode */
	bool drop_marked;
	char tunnel4[IF_NAMESIZE], tunnel6[IF_NAMESIZE];
};

struct ip_filter *ip_filter_new(void); /* NULL: no memory */
void ip_filter_free(struct ip_filter *f);

/* Replaces the table in one transaction, or removes it. If a tunnel was renamed, both names may
 * pass until ip_filter_remove_old(). 0 or -errno. */
int ip_filter_apply(struct ip_filter *f, const struct ip_filter_want *want);
int ip_filter_remove_old(struct ip_filter *f);
/* 1: the table was changed, and is restored. 0: nothing to do. Or -errno. */
int ip_filter_repair(struct ip_filter *f);
bool ip_filter_in_place(const struct ip_filter *f);

/* Packets that the current table has dropped. Zero if there is no table. */
struct ip_filter_drops {
	uint64_t inward, outward, marked;
};
struct ip_filter_drops ip_filter_drops(const struct ip_filter *f);

/* Of any process. */
bool ip_filter_exists(void);
int ip_filter_remove(void);

#endif
