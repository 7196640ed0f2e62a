/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion marks across the tunnel (RFC 6040). Pure. */
#ifndef PACKET_ECN_H
#define PACKET_ECN_H

#include "packet/packet.h"

/* RFC 6040: what the outer header bears on the way out (normal mode: a copy of the inner field). */
uint8_t ecn_encapsulate(uint8_t inner);
/* RFC 6040 section 4.2: writes the resulting field into the inner packet (fixing the IPv4 header
 * checksum); false: the packet must be dropped (inner not-ECT, outer CE). */
bool ecn_decapsulate(uint8_t *data, const struct packet *p, uint8_t outer);

#endif
