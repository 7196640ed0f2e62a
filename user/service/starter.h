/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts tunnel processes for an agent. The agent gives up the right to start programs before it
 * reads anything (confine/confine.h). So a child of it, which keeps that right and knows nothing
 * else, does it: it reads two bytes from the agent, and starts `podveil tunnel`, this same program,
 * in a session of its own, so that it outlives both. The child ends with the agent.
 */
#ifndef SERVICE_STARTER_H
#define SERVICE_STARTER_H

#include "base/log.h"

/* Before there are threads, and before confine(). *out: the starter, for starter_start(). 0 or
 * -errno. */
int starter_new(int *out);
/* Starts a tunnel process that logs so, to our standard error. Does not wait for it. 0 or -errno. */
int starter_start(int starter, enum log_level level, enum log_format format);

#endif
