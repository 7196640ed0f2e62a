/* SPDX-License-Identifier: Apache-2.0 */
/* What the tunnel answers to senders whose packets it cannot carry. Pure; the caller limits rates.
 */
#ifndef PACKET_ICMP_H
#define PACKET_ICMP_H

#include "packet/packet.h"

/* Builds an ICMP (type 3) or ICMPv6 (type 1) destination unreachable, or packet too big, that
 * answers the packet at `data` in the name of its destination. Returns its length, or 0: RFC 1122
 * and 4443 forbid an answer (to ICMP errors, multicast, broadcast, later fragments of IPv4,
 * unspecified sources), or the packet is malformed or its headers are cut off.
 * `room` is at least 1280; `mtu` counts for ICMP_REASON_TOO_BIG alone. */
enum icmp_reason { ICMP_REASON_NO_PEER, ICMP_REASON_NO_ENDPOINT, ICMP_REASON_TOO_BIG };
size_t icmp_answer(uint8_t *out, size_t room, const uint8_t *data, size_t readable, size_t len,
		   enum icmp_reason reason, uint32_t mtu);

#endif
