/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status socket, /run/podveil/agent.sock. Each program that connects gets one JSON document,
 * then the connection ends. `podveil status` reads it.
 */
#ifndef AGENT_REPORT_STATUS_H
#define AGENT_REPORT_STATUS_H

#include "agent/report/report.h"

#define STATUS_SOCKET "/run/podveil/agent.sock"

struct event_base;
struct status;

/* 0 or -errno. */
int status_new(struct event_base *base, struct report_input (*describe)(void *context),
	       void *context, struct status **out);
/* Makes the socket again if somebody removed it. 0: it was in order, 1: made again, or -errno. */
int status_repair(struct status *s);
void status_free(struct status *s);

#endif
