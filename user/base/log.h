/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line an event on standard error: level, event, key=value pairs; or the same as a JSON object.
 * May be called from every thread and every folder; this header depends on nothing else here.
 * Never called for a packet in the workers. Never pass secrets: keys are logged as the first eight
 * characters of a public key in base64.
 *
 *   log_info("peer added", "peer=%s endpoint=%s", name, endpoint);
 *   log_warn("netlink answered with an error", "errno=%d", err);
 *
 * Never waits: what nobody reads, or the disk has no room for, is lost, and counted; the next line
 * that gets through says how many were. Of one event (but at level debug) twenty lines may come at
 * once and then one a second; the next that may says how many were held back.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_level_set(enum log_level level);
enum log_level log_level_get(void);
/* One level more (1) or less (-1), as far as there are levels; says so in a line. */
void log_level_step(int by);
/* "error", "warn" (or "warning"), "info", "debug"; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *out);
void log_format_set(enum log_format format);
/* "text", "json"; -EINVAL otherwise. */
int log_format_parse(const char *text, enum log_format *out);

/* `event` is a string literal: the rate limit goes by its address. */
void log_event(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Since the start: lines that nobody took, and lines that the rate limit held back. */
void log_losses(uint64_t *lost, uint64_t *held_back);

/* Pure, for tests and fuzzing: "a=1 b=\"two words\"" as members of a JSON object, each with a comma
 * before it. Bytes that are no UTF-8 and pairs that are none do no harm. Returns the length; what
 * finds no room is left out, pair by pair. */
size_t log_pairs_json(const char *pairs, char *out, size_t room);

#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
