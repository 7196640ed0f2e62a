/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses strict mode takes for those of remote pods: everything in podveilStrictCIDRs and in
 * the ranges that other nodes publish, but what is our own, and nodes' own addresses, which
 * WireGuard's packets go to. The most specific range decides, as in a routing table. Pure.
 *
 * The address of a node is nobody's word but its own, so it never makes a hole into what another
 * node publishes: only into the strict ranges, into a range of the same node, or into one that did not
 * stand against it (plan_range.closed).
 */
#ifndef STRICT_REMOTE_RANGES_H
#define STRICT_REMOTE_RANGES_H

#include "netlink/nftables.h"
#include "plan/plan.h"
#include "plan/settings.h"
#include "strict/tagged_ranges.h"

enum range_place { RANGE_HERE, RANGE_REMOTE }; /* the kind of a mark; here: or no pod's at all */

/* `plans`: of IPv4, and of IPv6. `nodes`: all that are known, ourselves among them. Fills `out`, sorted, each range once.
 * 0 or -ENOMEM. */
int remote_ranges_collect(const struct settings *s, const struct plan *plans, size_t n_plans,
			  const struct node_record *const *nodes, size_t n_nodes,
			  struct tagged_ranges *out);

/* Removes what says the same as the range around it, and what is RANGE_HERE with nothing remote
 * around it: of sorted marks, what a routing table needs. */
void remote_ranges_reduce(struct tagged_ranges *m);

/* The remote addresses of one family as sorted intervals that do not touch each other. `out` is
 * allocated, the caller's. 0 or -ENOMEM. */
int remote_ranges_intervals(const struct tagged_ranges *m, int family, struct nft_interval **out,
			    size_t *n);

#endif
