/* SPDX-License-Identifier: Apache-2.0 */
/* How messages get to the wire, as settings and options name it. Pure. */
#ifndef WIRE_WIRE_MODE_H
#define WIRE_WIRE_MODE_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Sockets first: who sets nothing has them. */
enum wire_mode { WIRE_SOCKET, WIRE_XDP, WIRE_AUTO };

/* -EINVAL: none of them. */
static inline int wire_mode_parse(const char *text, enum wire_mode *out)
{
	static const char *const words[] = {
		[WIRE_AUTO] = "auto", [WIRE_SOCKET] = "socket", [WIRE_XDP] = "xdp"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text, words[i])) {
			*out = (enum wire_mode)i;
			return 0;
		}
	return -EINVAL;
}

#endif
