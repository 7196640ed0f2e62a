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
	/* Everything is made as it shall be. 0, or -errno: another one is needed. */
	int (*pass)(void *context);
	/* What somebody changed is put back; `network`: addresses, rule and routes as well. 0, or
	 * -errno: only a pass can do it. */
	int (*repair)(void *context, bool network);
	/* Twice a second, after repairing. */
	void (*tick)(void *context);
	void *context;
};

/* Watches the kernel's network, and calls nothing yet. 0 or -errno. */
int schedule_new(const struct schedule_params *params, struct schedule **out);
void schedule_free(struct schedule *s);

/* The owner knows what it needs to: from now on everything above, a pass first. */
void schedule_start(struct schedule *s);
/* The owner leaves: nothing above is called any more, whatever news come and whoever asks for it, also
 * where the event loop still runs. There is no way back. */
void schedule_stop(struct schedule *s);
/* There is news: a pass, from the event loop, one for all news until then. */
void schedule_pass(struct schedule *s);
/* The last pass failed, or one is needed because repairing did. */
bool schedule_failing(const struct schedule *s);

#endif
