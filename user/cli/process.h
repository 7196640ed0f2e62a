/* SPDX-License-Identifier: Apache-2.0 */
/* Protection, signals and background operation of a process that holds keys. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <stdbool.h>

#include "confine/confine.h"

/* The missing capabilities, separated by commas. Empty: none. Static memory. */
const char *process_missing_rights(void);
/* Returns true if no capability is missing. Otherwise prints the missing ones and returns false. */
bool process_privileged(void);

/* Handles signals while `base` is dispatched. SIGTERM and SIGINT end its loop, SIGUSR1 logs one
 * level more, SIGUSR2 one level less. 0 or -ENOMEM. Call process_signals_end() before freeing the
 * base. */
struct event;
struct event_base;
#define PROCESS_SIGNALS 4
struct process_signals {
	struct event *events[PROCESS_SIGNALS];
};
int process_signals_begin(struct process_signals *s, struct event_base *base);
void process_signals_end(struct process_signals *s);

/* Runs serve() with protection for its keys: memory is locked, there are no core dumps, and other
 * processes of the same user cannot read it (a warning is logged if the system refuses a part).
 * Also starts libsodium and registers the thread with RCU. Returns the result of serve(), or
 * EXIT_FAILED after logging an error. */
int process_serve(int (*serve)(void *context), void *context);

/* Makes the directories that the process needs, and mounts a bpffs if there is none; starts the child
 * that makes programs (programs/program_maker.h), unless this is an agent; then gives up every right
 * that the process does not use: see confine(). Before there are threads. */
void process_confine(const struct confine_params *p, struct confinement *out);

/* Forks and returns 0 in the child, or -errno. The parent waits for process_ready() and exits with
 * its status; if the child ends earlier, with 1. */
int process_background(void);
void process_ready(int status);

#endif
