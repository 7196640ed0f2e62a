/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node tells its cluster of itself, through the store: whether it is ready and encrypts, and
 * events that somebody should look at (nodes that contradict each
 * other, a leak, a setting that was refused). Thread: control.
 */
#ifndef AGENT_ANNOUNCER_H
#define AGENT_ANNOUNCER_H

#include "agent/report/report.h"

struct announcer;

struct announcer *announcer_new(void); /* NULL: no memory */
void announcer_free(struct announcer *a);

/* Tells the store what is new since the last look. `in->store` may be NULL. */
void announcer_update(struct announcer *a, const struct report_input *in);
/* The agent leaves, and takes everything with it. */
void announcer_withdraw(struct store *s);

#endif
