/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next attempt. The wait doubles with each failure up to a maximum, and
 * is random, so that a thousand nodes do not come back to their store at the same moment. Pure.
 */
#ifndef STORE_BACKOFF_H
#define STORE_BACKOFF_H

#include <stdint.h>
#include <sys/time.h>

struct backoff {
	uint32_t first_ms, most_ms;
	unsigned int failures; /* in a row */
};

/* Counts a failure and returns the wait: between half of the doubled wait and all of it. `random`
 * is any random number. */
static inline struct timeval backoff_next(struct backoff *b, uint32_t random)
{
	const unsigned int doublings = b->failures < 16 ? b->failures : 16;
	uint64_t ms = (uint64_t)b->first_ms << doublings;

	b->failures++;
	if (ms > b->most_ms)
		ms = b->most_ms;
	ms = ms / 2 + (uint64_t)random % (ms / 2 + 1);
	return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
}

static inline void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}

#endif
