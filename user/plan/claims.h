/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of several claims to address ranges stands, where nodes claim the same addresses. Pure.
 *
 * A claim is stronger than another by the first of these that tells them apart: the owner of the
 * wider range gave it; the node has proved it by a handshake (the older proof counts, unless its
 * holder is silent and the other node answers); somebody above the nodes assigned it; its node answers,
 * and the other one is silent. Where nothing tells them apart neither stands: a name that comes first in the alphabet proves nothing.
 *
 * A conflict never ends in plaintext. A range that does not stand is closed where its node has a key,
 * unless the stronger one covers all of it; so is one that a node with a key claims as well.
 *
 * Ourselves: our own range is ours. What another node has proved stays beside it, where it is wider
 * or narrower than ours.
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
	CLAIM_CONTESTED, /* another one is as strong */
};

struct claim {
	struct cidr cidr;
	size_t node;	/* whose; a node's own claims do not contradict each other */
	bool own;	/* ours */
	bool granted;	/* an address that the owner of the range around it gave to the node */
	uint64_t proof; /* when it was proved, as a number that grows; 0: never */
	bool answers;	/* a session with the node stands */
	bool silent;	/* the node has not answered for long, though it was asked */
	bool assigned;	/* by somebody above the nodes */
	bool keyed;	/* the node has a key, or says so: it wants to be encrypted with */
	bool barred;	/* it never stands, but others are judged as if it could; for the caller */
	bool tunnel;	/* a tunnel's address, not a range of pods; for the caller alone */

	/* out */
	enum claim_verdict verdict;
	size_t other;	 /* the node whose claim was weighed against it; if it does not stand */
	bool challenged; /* it stands by its proof alone: somebody else claims it, too */
	bool closed;	 /* what of it is left without an owner must not be reached in plain */
};

/* Sorts them by range, and judges each. 0 or -ENOMEM. */
int claims_judge(struct claim *all, size_t n);

/* Why no pod can have such an address, or none of this range; NULL: one can. */
const char *claims_never_pods(const struct cidr *range);

#endif
