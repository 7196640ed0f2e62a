/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for a condition while the event loop runs. Only for commands, and for an agent that ends:
 * others must not wait. Thread: control. */
#ifndef BASE_EVENT_WAIT_H
#define BASE_EVENT_WAIT_H

#include <stdbool.h>

struct event_base;

/* Runs the event loop until over() returns true, at most `ms` milliseconds. over() is called before
 * each pass of the loop. */
void event_wait(struct event_base *base, unsigned int ms, bool (*over)(void *context),
		void *context);

#endif
