/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's data, for its own files: agent.c (start and end), news.c (changes in the store and
 * the tunnels), pass.c (applies everything), upkeep.c (repairs what others changed, and periodic
 * work). Thread: control.
 */
#ifndef AGENT_INTERNAL_H
#define AGENT_INTERNAL_H

#include "agent/agent.h"
#include "agent/report/report.h"
#include "agent/self.h"
#include "base/log.h"
#include "netlink/rtnl.h"
#include "plan/plan.h"
#include "store/nodes.h"
#include "store/store.h"

#define AGENT_STATE_DIRECTORY "/run/podveil"
#define AGENT_LOCK	      AGENT_STATE_DIRECTORY "/agent.lock"

enum { V4, V6, N_TUNNELS };
extern const int agent_families[N_TUNNELS];

struct announcer;
struct agent_http;
struct client;
struct names;
struct schedule;
struct status;

struct agent {
	struct agent_params params;
	int lock_file;
	int files_error; /* -errno: lock file or status socket could not be made again */
	struct store *store;
	bool synced; /* the store was read completely */
	bool acting; /* passes may run: the store was read, or its memory was */
	bool published;
	enum store_key key_owners[N_TUNNELS]; /* when it was published */
	bool settings_known;		      /* the store has given settings of the cluster */
	bool leftovers_removed;		      /* nothing unwanted of earlier agents is left */
	struct nodes nodes;
	struct registry *registry;
	struct self self;
	struct client *client; /* of the tunnel process */
	struct tunnel *tunnels[N_TUNNELS];
	struct plan plans[N_TUNNELS]; /* of the last pass */
	struct first_line *first_line;
	struct exit_filters *exit_filters;
	char *conflicts; /* as last logged */
	struct schedule *schedule;
	struct status *status;
	struct agent_http *http;
	enum log_level log_level; /* as set last */
	struct announcer *announcer;
	unsigned int ticks;
	struct names *names; /* of peers' endpoints */
	struct rtnl_socket route_questions;
	size_t next_path[N_TUNNELS]; /* the peer whose path is looked at next (paths.h) */
};

static inline bool agent_enabled(const struct settings *s, int tunnel)
{
	return tunnel == V4 ? s->enabled4 : s->enabled6;
}

/* The agent's state for reports. `agent` is a struct agent. */
struct report_input agent_describe(void *agent);

/* Applies settings and records to everything. 0, or the first -errno: try again. */
int agent_pass(void *agent);
/* Writes our record to the store, if the store has another one. 0 or -errno. */
int agent_publish(struct agent *a);
/* Applies the first line of strict mode as soon as settings are known, before the store was read
 * completely. A failure is logged, and the first pass tries again. */
void agent_apply_first_line_settings(struct agent *a);

/* Callbacks of tunnels and of the store: see tunnel.h and store.h. */
void agent_on_tunnel_changed(struct tunnel *t, void *agent);
void agent_on_tunnel_process(void *agent); /* it answers, after it did not */
void agent_on_tunnel_process_lost(void *agent);
void agent_on_node(void *agent, const char *name, const struct node_record *r);
void agent_on_settings(void *agent, const char *node, const struct store_setting *all,
		       unsigned int n, const char *source);
void agent_on_synced(void *agent);

/* Callbacks of the schedule (schedule.h). */
int agent_repair(void *agent, bool network);
void agent_tick(void *agent);

#endif
