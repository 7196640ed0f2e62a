/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often something may be done: a few times at once, then at fixed intervals (a token bucket).
 * And how long to wait before an action that thousands of nodes may want to do at the same moment.
 * Pure.
 */
#ifndef STORE_BUDGET_H
#define STORE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
	unsigned int most;    /* tokens in the full bucket */
	unsigned int spent;   /* tokens that are spent now */
	uint64_t regained_ms; /* when the last token came back, or the first was spent */
};

/* Takes a token. True: do it. False: *wait_ms says after how many ms to ask again. `now_ms` is of
 * any clock that does not go back. A token comes back every `every_ms` (not 0). */
static inline bool budget_take(struct budget *b, uint64_t now_ms, uint64_t every_ms,
			       uint64_t *wait_ms)
{
	const uint64_t back = (now_ms - b->regained_ms) / every_ms;

	if (!b->spent || back >= b->spent) {
		b->spent = 0;
		b->regained_ms = now_ms;
	} else {
		b->spent -= (unsigned int)back;
		b->regained_ms += back * every_ms;
	}
	*wait_ms = 0;
	if (b->spent < b->most) {
		b->spent++;
		return true;
	}
	*wait_ms = b->regained_ms + every_ms - now_ms;
	return false;
}

/* If each of n nodes acts at a random moment within this time (ms, at least 2 s), all of them
 * together act at most about 50 times a second. */
static inline uint32_t budget_turn_ms(size_t n)
{
	return 2000 + 20 * (uint32_t)(n < 100000 ? n : 100000);
}

#endif
