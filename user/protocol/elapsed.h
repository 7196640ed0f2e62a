/* SPDX-License-Identifier: Apache-2.0 */
/* Ages of what threads note down for each other. Pure: the times are the caller's, of one clock. */
#ifndef PROTOCOL_ELAPSED_H
#define PROTOCOL_ELAPSED_H

#include <stdint.h>

/* How long ago `since` was, in ns. 0 where it lies ahead: whoever read the clock before another
 * thread wrote `since` has an earlier time. A subtraction would make 584 years of that, and of a
 * new session an expired one. */
static inline uint64_t elapsed(uint64_t since, uint64_t now)
{
	return now > since ? now - since : 0;
}

#endif
