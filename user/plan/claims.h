/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides which claims to address ranges are valid when nodes claim the same addresses. Pure.
 *
 * Claims to different ranges are both valid if the narrower one was granted, or if both are proved.
 * For all others these rules are tried in this order; the first one that separates two claims
 * decides:
 *
 *   1. A claim that the node proved by a handshake; of two proofs, the older one. A proof gives
 *      way if its node is silent and the other node answers.
 *   2. A claim that the owner of a wider range granted; then one that an authority above the
 *      nodes assigned.
 *   3. A claim whose node answers, while the other node is silent.
 *
 * If no rule separates them, neither claim is valid: for example, the order of names is no reason.
 *
 * A conflict never leads to plaintext. A claim that is not valid is closed if its node has a key,
 * unless the stronger claim covers all of it. A range that a node with a key claims as well is
 * closed, too.
 *
 * Our own range always stays ours. A range that another node proved stays valid beside it, if it is
 * wider or narrower than ours.
 */
#ifndef PLAN_CLAIMS_H
#define PLAN_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

enum claim_verdict {
	CLAIM_STANDS,
	CLAIM_REFUSED,	 /* another claim is stronger */
	CLAIM_CONTESTED, /* another claim is equally strong */
};

struct claim {
	struct cidr cidr;
	size_t node;	/* the claiming node; claims of one node never conflict */
	bool own;	/* the node is ourselves */
	bool granted;	/* the owner of the range around this address gave it away */
	uint64_t proof; /* when it was proved, as a growing number; 0: never */
	bool answers;	/* there is a session with the node */
	bool silent;	/* the node has not answered for long, though we asked */
	bool assigned;	/* by an authority above the nodes */
	bool keyed;	/* the node has a key or published one: it wants encryption */
	bool barred;	/* never valid, but others are judged as if it could be; for the caller */
	bool tunnel;	/* a tunnel's address, not a pod range; for the caller only */

	/* out */
	enum claim_verdict verdict;
	size_t other;	 /* the node of the claim that it was compared with, if it is not valid */
	bool challenged; /* valid, but another node claims it, too */
	bool closed;	 /* the part without an owner must not be reached unencrypted */
};

/* Sorts the claims by range and sets the verdict of each. 0 or -ENOMEM. */
int claims_judge(struct claim *all, size_t n);

/* Why no pod can have addresses of this range. NULL: pods can. */
const char *claims_never_pods(const struct cidr *range);

#endif
