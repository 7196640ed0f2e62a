/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the first line that is a table of nftables, `inet podveil`. It judges what the kernel's
 * IP layer forwards, delivers and sends by one thing alone, the address in the IP header, where that
 * header is the outermost one. What comes wrapped is judged when it was unwrapped, whatever the
 * wrapping was; what is to be wrapped, before it is. So nothing needs to be parsed:
 *
 *   inward   a source that is a remote pod's must have come out of the tunnel device
 *   outward  a destination that is a remote pod's must leave by the tunnel device: this catches what
 *            routing does not decide (sockets bound to a device, other people's rules)
 *   marked   with host encryption: packets with WireGuard's mark are never forwarded; `shield` marks
 *            what arrives and looks like WireGuard, and that is for this node or for nobody
 *
 * Why not otherwise: rp_filter is a setting of each device, whoever owns it, and IPv6 has none; rules
 * of routing cannot say "came by any device but", nor hold 5,000 sources; nftables' own fib lookup
 * would hang the inward part on the same routes as the outward part.
 *
 * Outlives the process. Thread: control.
 */
#ifndef STRICT_IP_FILTER_H
#define STRICT_IP_FILTER_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "strict/tagged_ranges.h"

struct ip_filter;

struct ip_filter_want {
	const struct tagged_ranges *ranges; /* of remote_ranges_collect(); NULL: no strict mode */
	bool drop_marked;
	char tunnel4[IF_NAMESIZE], tunnel6[IF_NAMESIZE];
};

struct ip_filter *ip_filter_new(void); /* NULL: no memory */
void ip_filter_free(struct ip_filter *f);

/* The table becomes what is wanted, in one transaction, or goes. A tunnel that had another name
 * passes under both until ip_filter_remove_old(). 0 or -errno. */
int ip_filter_apply(struct ip_filter *f, const struct ip_filter_want *want);
int ip_filter_remove_old(struct ip_filter *f);
/* 1: somebody had changed it, and it is back; 0: it stood; -errno. */
int ip_filter_repair(struct ip_filter *f);
bool ip_filter_in_place(const struct ip_filter *f);

/* Packets that it dropped since it was made. Zero where it does not stand. */
struct ip_filter_drops {
	uint64_t inward, outward, marked;
};
struct ip_filter_drops ip_filter_drops(const struct ip_filter *f);

/* Whoever made it. */
bool ip_filter_exists(void);
int ip_filter_remove(void);

#endif
