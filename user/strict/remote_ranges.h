/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses that strict mode treats as remote pods: everything in podveilStrictCIDRs and in the
 * ranges that other nodes publish. Exceptions are our own ranges, podveilStrictExceptions, the
 * store's address, and the addresses of nodes, to which WireGuard's packets go. The most specific
 * range decides, as in a routing table. Pure.
 *
 * Only the node itself vouches for its address. So the address makes no exception in a range that
 * another node publishes. It does so only in the strict ranges, in a range of the same node, or in
 * a range that is closed (plan_range.closed).
 */
#ifndef STRICT_REMOTE_RANGES_H
#define STRICT_REMOTE_RANGES_H

#include "netlink/nftables.h"
#include "plan/plan.h"
#include "plan/settings.h"
#include "strict/tagged_ranges.h"

enum range_place { RANGE_HERE, RANGE_REMOTE }; /* kind of a range; RANGE_HERE: ours, or no pod's */

/* What both lines of strict mode are made from. */
struct remote_ranges_input {
	const struct settings *settings;
	const struct plan *plans; /* of IPv4, then of IPv6 */
	size_t n_plans;
	const struct node_record *const *nodes; /* all known nodes, including ourselves */
	size_t n_nodes;
	struct cidr store; /* its address; AF_UNSPEC: not known, or there is none */
};

/* Fills `out`, sorted, each range once. 0 or -ENOMEM. */
int remote_ranges_collect(const struct remote_ranges_input *in, struct tagged_ranges *out);

/* Reduces sorted ranges to those that a routing table needs: removes ranges of the same kind as the
 * range around them, and RANGE_HERE outside of any range. */
void remote_ranges_reduce(struct tagged_ranges *m);

/* The remote addresses of one family as sorted intervals with gaps between them. The caller frees
 * `out`. 0 or -ENOMEM. */
int remote_ranges_intervals(const struct tagged_ranges *m, int family, struct nft_interval **out,
			    size_t *n);

#endif
