/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for a condition while the event loop runs. For callers that may wait: commands, and an
 * agent that ends. Thread: control. */
#ifndef STORE_EVENT_WAIT_H
#define STORE_EVENT_WAIT_H

#include <stdbool.h>

struct event_base;

/* Runs the event loop until over() says so, which is asked before each of its passes; at most so
 * long. */
void event_wait(struct event_base *base, unsigned int ms, bool (*over)(void *context),
		void *context);

#endif
