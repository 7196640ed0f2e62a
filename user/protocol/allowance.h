/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often something may be done: a token bucket. It is full at first, that is with all members 0.
 * Pure: time is passed in, monotonic ns.
 */
#ifndef PROTOCOL_ALLOWANCE_H
#define PROTOCOL_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/elapsed.h"
#include "protocol/limits.h"

struct allowance {
	uint64_t spent; /* ns: what was taken and has not come back yet */
	uint64_t last;	/* time of the last request */
};

/* Takes a token; `per_second` of them come back in a second, up to `burst`. False: there is none. */
static inline bool allowance_take(struct allowance *a, uint64_t now, uint64_t per_second,
				  uint64_t burst)
{
	const uint64_t cost = NSEC_PER_SEC / per_second, back = elapsed(a->last, now);

	a->spent = a->spent > back ? a->spent - back : 0;
	a->last = now;
	if (a->spent + cost > burst * cost)
		return false;
	a->spent += cost;
	return true;
}

#endif
