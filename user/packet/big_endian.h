/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in packet headers, which are big-endian and wherever they come to lie. Pure; any thread.
 */
#ifndef PACKET_BIG_ENDIAN_H
#define PACKET_BIG_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t read_be16(const uint8_t *at)
{
	uint16_t wire;

	memcpy(&wire, at, sizeof(wire));
	return be16toh(wire);
}

static inline uint32_t read_be32(const uint8_t *at)
{
	uint32_t wire;

	memcpy(&wire, at, sizeof(wire));
	return be32toh(wire);
}

/* The lower 16 bits: lengths are known to fit, ids wrap. */
static inline void write_be16(uint8_t *at, uint32_t value)
{
	const uint16_t wire = htobe16((uint16_t)value);

	memcpy(at, &wire, sizeof(wire));
}

static inline void write_be32(uint8_t *at, uint32_t value)
{
	const uint32_t wire = htobe32(value);

	memcpy(at, &wire, sizeof(wire));
}

#endif
