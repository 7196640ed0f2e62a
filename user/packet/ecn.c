/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/ecn.h"

#include <string.h>

enum { NOT_ECT = 0, ECT_1 = 1, ECT_0 = 2, CE = 3 };

uint8_t ecn_encapsulate(uint8_t inner)
{
	return inner & 3;
}

/* RFC 1624: the header checksum after one 16-bit word has changed. */
static void set_tos(uint8_t *data, uint8_t tos)
{
	uint16_t before, after, sum;
	uint32_t fixed;

	memcpy(&before, data, 2);
	data[1] = tos;
	memcpy(&after, data, 2);
	memcpy(&sum, data + 10, 2);
	fixed = (uint32_t)(uint16_t)~sum + (uint16_t)~before + after;
	fixed = (fixed >> 16) + (fixed & 0xffff);
	fixed = (fixed >> 16) + (fixed & 0xffff);
	sum = (uint16_t)~fixed;
	memcpy(data + 10, &sum, 2);
}

bool ecn_decapsulate(uint8_t *data, const struct packet *p, uint8_t outer)
{
	uint8_t result = p->ecn;

	if (p->ecn == NOT_ECT) {
		if (outer == CE)
			return false;
	} else if (outer == CE) {
		result = CE;
	} else if (p->ecn == ECT_0 && outer == ECT_1) {
		result = ECT_1;
	}
	if (result == p->ecn)
		return true;
	if (p->version == 4)
		set_tos(data, (uint8_t)((data[1] & ~3) | result));
	else
		data[1] = (uint8_t)((data[1] & ~0x30) | (result << 4));
	return true;
}
