/* SPDX-License-Identifier: Apache-2.0 */
/* Describes what is wrong with a document, in the caller's memory. Pure. */
#ifndef STORE_PROBLEM_H
#define STORE_PROBLEM_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct problem {
	char *text;
	size_t room;
};

/* Writes the text. Always returns -EINVAL. */
__attribute__((format(printf, 2, 3))) static inline int problem_say(const struct problem *p,
								    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->text, p->room, format, args);
	va_end(args);
	return -EINVAL;
}

#endif
