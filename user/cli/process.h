/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that holds keys does about itself, before it starts threads. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <stdbool.h>

/* The capabilities that are needed and missing, comma between; empty: none. Static memory. */
const char *process_missing_rights(void);
/* Names the capabilities that are missing and returns false, or returns true. */
bool process_privileged(void);

/* What signals do while `base` is dispatched: SIGTERM and SIGINT break its loop, SIGUSR1 logs a
 * level more, SIGUSR2 a level less. 0 or -ENOMEM; the events go with process_signals_end(), before
 * the base. */
struct event;
struct event_base;
#define PROCESS_SIGNALS 4
struct process_signals {
	struct event *events[PROCESS_SIGNALS];
};
int process_signals_begin(struct process_signals *s, struct event_base *base);
void process_signals_end(struct process_signals *s);

/* serve() with what a process that holds keys needs: they stay in memory, which is locked, not
 * dumped, not readable by others of the same user (it warns where the system does not permit that);
 * random numbers; a thread that RCU knows. Returns its result, or EXIT_FAILED with a line logged.
 */
int process_serve(int (*serve)(void *context), void *context);

/* Goes into the background: returns in the child. The parent waits for process_ready() and exits
 * with its status, or with 1 where the child ended before. */
int process_background(void);
void process_ready(int status);

#endif
