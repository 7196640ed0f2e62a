/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/messages.h"

#include <endian.h>
#include <string.h>

enum message_type message_classify(const void *datagram, size_t len)
{
	uint32_t type;

	if (len < sizeof(type))
		return MESSAGE_INVALID;
	/* All four bytes at once: the three reserved ones must be zero. */
	memcpy(&type, datagram, sizeof(type));
	switch (le32toh(type)) {
	case MESSAGE_INITIATION:
		return len == sizeof(struct message_initiation) ? MESSAGE_INITIATION
								: MESSAGE_INVALID;
	case MESSAGE_RESPONSE:
		return len == sizeof(struct message_response) ? MESSAGE_RESPONSE : MESSAGE_INVALID;
	case MESSAGE_COOKIE_REPLY:
		return len == sizeof(struct message_cookie_reply) ? MESSAGE_COOKIE_REPLY
								  : MESSAGE_INVALID;
	case MESSAGE_DATA:
		return len >= MESSAGE_DATA_OVERHEAD ? MESSAGE_DATA : MESSAGE_INVALID;
	default:
		return MESSAGE_INVALID;
	}
}
