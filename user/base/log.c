/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LINE   1024
#define BURST  20  /* lines of one event at once, */
#define EVENTS 128 /* events that are remembered: more than the code has; a power of 2 */

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static _Atomic enum log_format shape = LOG_FORMAT_TEXT;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* How many lines one event may still write. */
struct budget {
	const char *event;
	time_t at;
	unsigned int left;
	uint64_t held_back; /* since its last line */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct budget budgets[EVENTS];
static uint64_t lost, lost_unreported, held_back;

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

enum log_level log_level_get(void)
{
	return atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_level_step(int by)
{
	const int level = (int)log_level_get() + by;

	if (level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG)
		log_level_set((enum log_level)level);
	/* Logged at the new level, so that the line is seen. */
	log_event(log_level_get(), "log level", "now=%s", level_names[log_level_get()]);
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

void log_format_set(enum log_format format)
{
	atomic_store_explicit(&shape, format, memory_order_relaxed);
}

int log_format_parse(const char *text, enum log_format *out)
{
	if (strcasecmp(text, "text") && strcasecmp(text, "json"))
		return -EINVAL;
	*out = strcasecmp(text, "json") ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
	return 0;
}

void log_losses(uint64_t *lost_lines, uint64_t *held_back_lines)
{
	pthread_mutex_lock(&lock);
	*lost_lines = lost;
	*held_back_lines = held_back;
	pthread_mutex_unlock(&lock);
}

/* --- JSON --- */

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Is this the beginning of `name=`, or the end? */
static bool begins_pair(const char *at)
{
	const char *p = at;

	while (is_name(*p))
		p++;
	return !*at || (p != at && *p == '=');
}

/* The end of a value that began with a quote: the quote that is followed by another pair, because
 * values may have quotes of their own. */
static const char *end_of_quoted(const char *value)
{
	const char *end = value + strlen(value);

	for (const char *p = value; *p; p++)
		if (*p == '"' && (!p[1] || (p[1] == ' ' && begins_pair(p + 2))))
			return p;
	return end;
}

/* Length of the UTF-8 sequence at `at`, 0 where it is none. */
static size_t utf8(const unsigned char *at, size_t len)
{
	const size_t n = at[0] < 0x80			 ? 1
			 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
			 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
			 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
							 : 0;

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

/* A JSON string, quotes and all. 0: no room. */
static size_t put_string(char *out, size_t room, const char *text, size_t len)
{
	const unsigned char *t = (const unsigned char *)text;
	size_t n = 0;

	if (room < 2)
		return 0;
	out[n++] = '"';
	for (size_t i = 0; i < len;) {
		const size_t bytes = utf8(t + i, len - i);

		if (room - n < 6)
			return 0;
		if (!bytes || t[i] < 0x20 || t[i] == 0x7f) {
			out[n++] = '?';
			i++;
		} else {
			if (t[i] == '"' || t[i] == '\\')
				out[n++] = '\\';
			memcpy(out + n, t + i, bytes);
			n += bytes;
			i += bytes;
		}
	}
	out[n++] = '"';
	return n;
}

static size_t put_pair(char *out, size_t room, const char *name, size_t name_len, const char *value,
		       size_t len)
{
	size_t n, m;

	if (room < 2)
		return 0;
	*out = ',';
	n = put_string(out + 1, room - 1, name, name_len);
	if (!n || room - n < 3)
		return 0;
	out[++n] = ':';
	n++;
	m = put_string(out + n, room - n, value, len);
	return m ? n + m : 0;
}

size_t log_pairs_json(const char *pairs, char *out, size_t room)
{
	size_t n = 0;

	while (*pairs) {
		const char *name = pairs, *value, *end;
		size_t name_len = 0;

		while (is_name(name[name_len]))
			name_len++;
		if (!name_len || name[name_len] != '=') {
			pairs++; /* not ours; look on */
			continue;
		}
		value = name + name_len + 1;
		if (*value == '"') {
			end = end_of_quoted(++value);
			pairs = *end ? end + 1 : end;
		} else {
			end = value + strcspn(value, " ");
			pairs = end;
		}
		n += put_pair(out + n, room - n, name, name_len, value, (size_t)(end - value));
		while (*pairs == ' ')
			pairs++;
	}
	return n;
}

/* --- writing --- */

/* May this event have a line now? *before: how many of it were held back since its last one. */
static bool within_budget(const char *event, uint64_t *before)
{
	struct timespec now;
	size_t i = ((uintptr_t)event >> 3) & (EVENTS - 1);
	struct budget *b;

	for (size_t n = 0; n < EVENTS && budgets[i].event && budgets[i].event != event; n++)
		i = (i + 1) & (EVENTS - 1);
	b = &budgets[i];
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (b->event != event)
		*b = (struct budget){.event = event, .at = now.tv_sec, .left = BURST};
	if (now.tv_sec > b->at) {
		const time_t more = b->left + (now.tv_sec - b->at);

		b->left = more < BURST ? (unsigned int)more : BURST;
		b->at = now.tv_sec;
	}
	if (!b->left) {
		b->held_back++;
		held_back++;
		return false;
	}
	b->left--;
	*before = b->held_back;
	b->held_back = 0;
	return true;
}

/* One write per line, so that the lines of two processes do not mix. The write never blocks: a pipe
 * that poll() reports as writable has room for a line. */
static void put_line(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT &&
	    write(STDERR_FILENO, line, len) == (ssize_t)len) {
		lost_unreported = 0;
		return;
	}
	lost++;
	lost_unreported++;
}

static size_t put_text(char line[LINE], enum log_level level, const char *event, const char *pairs)
{
	const int n = snprintf(line, LINE - 1, "podveil: level=%s event=\"%s\" %s",
			       level_names[level], event, pairs);
	size_t len = n < 0 ? 0 : (size_t)n;

	if (len > LINE - 2)
		len = LINE - 2;
	/* Values may come from other people's files: control characters are escaped, so that nobody
	 * forges a line or a colour. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	return len;
}

static size_t put_json(char line[LINE], enum log_level level, const char *event, const char *pairs)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(line, LINE, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, LINE - n,
			      ".%03ldZ\",\"level\":\"%s\",\"event\":", now.tv_nsec / 1000000,
			      level_names[level]);
	n += put_string(line + n, LINE - n - 2, event, strlen(event));
	n += log_pairs_json(pairs, line + n, LINE - n - 2);
	line[n++] = '}';
	return n;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	char line[LINE], pairs[LINE];
	uint64_t before = 0;
	size_t at, len;
	va_list args;
	int n;

	if (level > log_level_get())
		return;
	va_start(args, format);
	n = vsnprintf(pairs, sizeof(pairs) - 64, format, args);
	va_end(args);
	if (n < 0)
		return;
	pthread_mutex_lock(&lock);
	if (level == LOG_LEVEL_DEBUG || within_budget(event, &before)) {
		at = strlen(pairs);
		if (before)
			at += (size_t)snprintf(pairs + at, sizeof(pairs) - at, " held_back=%llu",
					       (unsigned long long)before);
		if (lost_unreported)
			snprintf(pairs + at, sizeof(pairs) - at, " lines_lost=%llu",
				 (unsigned long long)lost_unreported);
		if (atomic_load_explicit(&shape, memory_order_relaxed) == LOG_FORMAT_JSON)
			len = put_json(line, level, event, pairs);
		else
			len = put_text(line, level, event, pairs);
		line[len++] = '\n';
		put_line(line, len);
	}
	pthread_mutex_unlock(&lock);
}
