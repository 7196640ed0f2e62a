/* SPDX-License-Identifier: Apache-2.0 */
/* Internet checksums (RFC 1071). Pure. */
#ifndef PACKET_CHECKSUM_H
#define PACKET_CHECKSUM_H

#include "packet/packet.h"

/* RFC 1071 sum over data, continued from `sum`; odd lengths only at the end of a chain. The result
 * is the unfolded 64-bit sum of 16-bit words in memory order. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* Folded to 16 bits, not inverted: a partial checksum as the kernel keeps it. */
uint16_t checksum_fold(uint64_t sum);
/* Folded and inverted, in memory order: ready to be stored. */
uint16_t checksum_finish(uint64_t sum);
/* Sum of the pseudo header for the transport at p->l4, upper-layer length given (RFC 9293, 8200).
 */
uint64_t checksum_pseudo(const struct packet *p, const uint8_t *data, uint32_t l4_len);
/* Copy and sum in one pass; same contract as checksum_add. */
uint64_t checksum_copy(uint64_t sum, void *dst, const void *src, size_t len);

#endif
