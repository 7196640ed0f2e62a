/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's HTTP server: / for people, /metrics for Prometheus, /status (the same JSON as
 * `podveil status --json`), /healthz (503 if the control thread hangs), and /readyz (503 and the
 * reason while the node is not ready). / and /status can be read from this machine only, unless
 * `where` ends in ",full".
 *
 * The control thread makes the documents; a thread of http/http.h serves them.
 */
#ifndef AGENT_REPORT_AGENT_HTTP_H
#define AGENT_REPORT_AGENT_HTTP_H

#include "agent/report/report.h"

struct agent_http;
struct event_base;

/* NULL: the server could not start, which is logged. The agent goes on without it. */
struct agent_http *agent_http_start(struct event_base *base, const char *where,
				    struct report_input (*describe)(void *context), void *context);
void agent_http_free(struct agent_http *d);

#endif
