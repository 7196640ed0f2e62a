/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent: takes records and settings from the store, and sets up this node's tunnels and
 * guard accordingly. Each change leads to one pass over everything. The pass finds what differs and
 * changes only that.
 *
 * May call everything but the command line. Thread: control.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "plan/settings.h"
#include "store/record.h"

struct agent;
struct confinement;
struct event_base;
struct leftovers_remains;

struct agent_params {
	struct event_base *base;
	const char *node;		/* our name */
	const char *store;		/* as store_open() takes it: "dir:PATH" */
	const char *uplink;		/* NULL: the default route's device */
	struct cidr address4, address6; /* AF_UNSPEC: the uplink's */
	const struct cidr *pod_cidrs;	/* none: those of our record in the store */
	size_t n_pod_cidrs;
	int starter; /* of tunnel processes (service/starter.h); -1: somebody else starts them */
	const char *http; /* for metrics and status, in http_address_valid()'s form; NULL: none */
	const struct confinement *confinement; /* for reports; NULL: the process kept all rights */
	/* Contains the environment and the flags; the agent adds the store's settings. */
	struct settings_stack *settings;
};

/* Starts the agent. Only one can run per machine: while another one runs, this waits, changes
 * nothing, and dispatches `base`. 0; -ECANCELED: event_base_loopbreak() ended the wait; another
 * -errno: a failure, which is logged. */
int agent_new(const struct agent_params *params, struct agent **out);
/* Ends the agent. Tunnels, routes and filters stay, so that nothing leaves in plain. `cleanup`:
 * removes everything, and our key from the store. */
void agent_free(struct agent *a, bool cleanup);

/* Removes everything that a dead agent left on this machine, whatever its settings were, and
 * nothing else. 0; -EWOULDBLOCK: an agent is running; another -errno: something could not be
 * removed. */
int agent_cleanup(struct leftovers_remains *r);

#endif
