/* SPDX-License-Identifier: Apache-2.0 */
/* Waits while the event loop runs. Only for commands, and for processes that begin or end: others
 * must not wait. Thread: control. */
#ifndef BASE_EVENT_WAIT_H
#define BASE_EVENT_WAIT_H

#include <stdbool.h>

struct event_base;

/* Runs the event loop until over() returns true, at most `ms` milliseconds. over() is called before
 * each pass of the loop. */
void event_wait(struct event_base *base, unsigned int ms, bool (*over)(void *context),
		void *context);

/* Runs the event loop for `ms` milliseconds. 0; -ECANCELED: somebody broke the loop meanwhile, so this
 * process was told to end; -EIO: the loop failed. */
int event_pause(struct event_base *base, unsigned int ms);

#endif
