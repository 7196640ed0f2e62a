/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent knows, as JSON for whoever connects to /run/podveil/agent.sock: one document, then
 * the connection ends. `podveil status` is such a reader.
 */
#ifndef AGENT_REPORT_STATUS_H
#define AGENT_REPORT_STATUS_H

#include "agent/report/report.h"

#define STATUS_SOCKET "/run/podveil/agent.sock"

struct event_base;
struct status;

int status_new(struct event_base *base, struct report_input (*describe)(void *context),
	       void *context, struct status **out);
/* Listens anew where somebody removed the socket. 1: that was needed, 0: it stands, or -errno. */
int status_repair(struct status *s);
void status_free(struct status *s);

#endif
