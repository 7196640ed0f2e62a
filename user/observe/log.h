/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line an event on standard error (or syslog's stderr capture): level, event, key=value pairs.
 * May be called from every thread and every folder; this header depends on nothing else here.
 * Never called for a packet in the workers. Never pass secrets: keys are logged as the first eight
 * characters of a public key in base64.
 *
 *   log_info("peer added", "peer=%s endpoint=%s", name, endpoint);
 *   log_warn("netlink answered with an error", "errno=%d", err);
 */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_level_set(enum log_level level);
/* "error", "warn" (or "warning"), "info", "debug"; -1 with -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *out);
void log_event(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
