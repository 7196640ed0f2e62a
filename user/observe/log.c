/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *out)
{
	if (!strcasecmp(text, "warning"))
		text = "warn";
	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
		if (!strcasecmp(text, level_names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	char line[1024];
	va_list args;

	if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
		return;
	int head = snprintf(line, sizeof(line), "podveil: level=%s event=\"%s\" ",
			    level_names[level], event);
	if (head < 0 || (size_t)head >= sizeof(line))
		return;
	va_start(args, format);
	int body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (body < 0)
		return;
	size_t len = (size_t)head + (size_t)body;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	/* Values may come from files of others: they make no lines of their own, and no colours. */
	for (size_t i = (size_t)head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* One write a line, so that lines of two threads do not mix. */
	fwrite(line, 1, len, stderr);
}
