/* SPDX-License-Identifier: Apache-2.0 */
/* How messages get to the wire, as settings and options name it. Pure. */
#ifndef WIRE_WIRE_CHOICE_H
#define WIRE_WIRE_CHOICE_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Sockets first: who sets nothing has them. */
enum wire_choice { WIRE_SOCKET, WIRE_XDP, WIRE_AUTO };

/* -EINVAL: none of them. */
static inline int wire_choice_parse(const char *text, enum wire_choice *out)
{
	static const char *const words[] = {
		[WIRE_AUTO] = "auto", [WIRE_SOCKET] = "socket", [WIRE_XDP] = "xdp"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text, words[i])) {
			*out = (enum wire_choice)i;
			return 0;
		}
	return -EINVAL;
}

#endif
