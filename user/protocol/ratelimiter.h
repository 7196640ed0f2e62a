/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes a source may start (whitepaper 5.3): a token bucket for each IPv4 address and each
 * IPv6 /64: 20 a second, a burst of 5. Fixed memory: each source has eight possible places in the
 * table. If others have all eight, it is refused; the table is asked only under load. Pure: time is
 * passed in. One thread.
 */
#ifndef PROTOCOL_RATELIMITER_H
#define PROTOCOL_RATELIMITER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct ratelimiter;

/* NULL where memory is short. `capacity`: sources remembered at once. */
struct ratelimiter *ratelimiter_new(uint32_t capacity);
void ratelimiter_free(struct ratelimiter *r);
/* May this source go on? Takes a token where it may. Forgets sources quiet for a second. */
bool ratelimiter_allow(struct ratelimiter *r, const struct sockaddr *source, uint64_t now);

#endif
