/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent: takes records and settings from the store, and brings this node's tunnels and
 * guard to what follows from them. Each change leads to one pass over the whole, which finds out by
 * itself what differs; nothing is done twice.
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
struct event_base;
struct leftovers_remains;

struct agent_params {
	struct event_base *base;
	const char *node;		/* our name */
	const char *store;		/* "dir:PATH" */
	const char *uplink;		/* NULL: the default route's device */
	struct cidr address4, address6; /* AF_UNSPEC: the uplink's */
	const struct cidr *pod_cidrs;	/* none: those in the store's record */
	size_t n_pod_cidrs;
	const char *http; /* for metrics and status, as http_where_valid() wants it; NULL: none */
	/* Environment and flags are in; the agent adds the store's. */
	struct settings_stack *settings;
};

/* One agent a machine. One log line on failure. */
int agent_new(const struct agent_params *params, struct agent **out);
/* Encryption that is on stays on, without us: fail closed. `cleanup`: everything goes, and the key
 * from our record. */
void agent_free(struct agent *a, bool cleanup);

/* Everything that an agent, now dead, left on this machine goes, and nothing else, whatever its
 * settings were. 0; -EWOULDBLOCK: an agent is running; else not all of it went. */
int agent_cleanup(struct leftovers_remains *r);

#endif
