/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent serves over HTTP: / for people, /metrics for Prometheus, /status (the same JSON as
 * `podveil status --json`), /healthz, which says 503 where the control thread hangs, and /readyz,
 * which says 503 and why as long as the node is not ready. / and /status are for this machine alone
 * unless `where` ends in ",full".
 *
 * Thread: control, which makes the documents; a thread of http/http.h serves them.
 */
#ifndef AGENT_REPORT_AGENT_HTTP_H
#define AGENT_REPORT_AGENT_HTTP_H

#include "agent/report/report.h"

struct agent_http;
struct event_base;

/* NULL where it cannot be served, which is logged: no reason to leave traffic unencrypted. */
struct agent_http *agent_http_start(struct event_base *base, const char *where,
				    struct report_input (*describe)(void *context), void *context);
void agent_http_free(struct agent_http *d);

#endif
