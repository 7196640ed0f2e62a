/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time, never 0. Through the vDSO, no system call. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds. */
static inline uint64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_now_ms(void)
{
	return clock_now() / 1000000;
}

#endif
