/* SPDX-License-Identifier: Apache-2.0 */
/* The constants of the WireGuard whitepaper, section 6.1 and table 1, in nanoseconds where they are
 * times. */
#ifndef PROTOCOL_LIMITS_H
#define PROTOCOL_LIMITS_H

#include <stdint.h>

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull

#define REKEY_AFTER_MESSAGES   (1ull << 60)
#define REJECT_AFTER_MESSAGES  (UINT64_MAX - (1ull << 13))
#define REKEY_AFTER_TIME       (120 * NSEC_PER_SEC)
#define REJECT_AFTER_TIME      (180 * NSEC_PER_SEC)
#define REKEY_ATTEMPT_TIME     (90 * NSEC_PER_SEC)
#define REKEY_TIMEOUT	       (5 * NSEC_PER_SEC)
#define REKEY_TIMEOUT_JITTER   (NSEC_PER_SEC / 3)
#define KEEPALIVE_TIMEOUT      (10 * NSEC_PER_SEC)
#define COOKIE_SECRET_MAX_AGE  (120 * NSEC_PER_SEC)
#define COOKIE_SECRET_LATENCY  (5 * NSEC_PER_SEC)
#define INITIATIONS_PER_SECOND 50
#define MAX_STAGED_PACKETS     128
#define REPLAY_WINDOW	       8192
#define MESSAGE_PADDING	       16
#define MAX_HANDSHAKE_ATTEMPTS (REKEY_ATTEMPT_TIME / REKEY_TIMEOUT)

#endif
