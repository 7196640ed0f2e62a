/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides when the agent acts. A pass runs soon after each change, and again after a failure, with
 * growing pauses. A repair runs twice a second and after notifications from the kernel; if a repair
 * is slow, it runs more rarely. The owner supplies both functions.
 *
 * Thread: control, from the event loop alone.
 */
#ifndef AGENT_SCHEDULE_H
#define AGENT_SCHEDULE_H

#include <stdbool.h>

struct event_base;
struct schedule;

struct schedule_params {
	struct event_base *base;
	/* Applies everything. 0, or -errno: another pass is needed. */
	int (*pass)(void *context);
	/* Restores what somebody changed; with `network` also addresses, rule and routes. 0, or
	 * -errno: only a pass can do it. */
	int (*repair)(void *context, bool network);
	/* Called twice a second, after `repair`. */
	void (*tick)(void *context);
	void *context;
};

/* Starts to watch the kernel's network, but calls nothing yet. 0 or -errno. */
int schedule_new(const struct schedule_params *params, struct schedule **out);
void schedule_free(struct schedule *s);

/* The owner is ready: from now on the functions are called, first a pass. */
void schedule_start(struct schedule *s);
/* The owner ends: the functions are never called again, even if the event loop still runs. It
 * cannot be started again. */
void schedule_stop(struct schedule *s);
/* Something has changed: requests a pass. It runs from the event loop, once for all requests until
 * then: soon, or if passes are slow (many peers and ranges), after a pause of four times as long. */
void schedule_pass(struct schedule *s);
/* The last pass failed, or a repair failed and a pass is needed. */
bool schedule_failing(const struct schedule *s);

#endif
