/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes the node's state through the store: whether it is ready and encrypts, and events for
 * people (nodes that contradict each other, a leak, a refused setting). Thread: control.
 */
#ifndef AGENT_ANNOUNCER_H
#define AGENT_ANNOUNCER_H

#include "agent/report/report.h"

struct announcer;

struct announcer *announcer_new(void); /* NULL: no memory */
void announcer_free(struct announcer *a);

/* Publishes what has changed since the last call. `in->store` may be NULL. */
void announcer_update(struct announcer *a, const struct report_input *in);
/* The agent is being removed: publishes that no agent runs here. */
void announcer_withdraw(struct store *s);

#endif
