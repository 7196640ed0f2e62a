/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often something may be done: a few times at once, then once in so long (a token bucket). And how
 * long to wait before doing what thousands of nodes have a reason to do in the same moment. Pure.
 */
#ifndef STORE_BUDGET_H
#define STORE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
	unsigned int most;    /* at once */
	unsigned int spent;   /* of these */
	uint64_t regained_ms; /* when the last one came back, or the first was spent */
};

/* Times in ms of any clock that does not go back. True: do it; else *wait says after how many ms to
 * ask again. `every_ms`, not 0: so often one comes back. */
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

/* So long each of n nodes takes for its turn, where they shall not come more than 50 times a second
 * together; 2 s at least. Scattered over it, they do not come together. */
static inline uint32_t budget_turn_ms(size_t n)
{
	return 2000 + 20 * (uint32_t)(n < 100000 ? n : 100000);
}

#endif
