/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent itself, for the files that make it up: agent.c (its life), news.c (what the store and the
 * tunnels tell it), pass.c (what it makes of that), upkeep.c (what others change, and what only time
 * brings). Thread: control.
 */
#ifndef AGENT_INTERNAL_H
#define AGENT_INTERNAL_H

#include "agent/agent.h"
#include "agent/report/report.h"
#include "agent/self.h"
#include "base/log.h"
#include "plan/plan.h"
#include "store/nodes.h"
#include "store/store.h"

#define AGENT_STATE_DIRECTORY "/run/podveil"
#define AGENT_LOCK	      AGENT_STATE_DIRECTORY "/agent.lock"

enum { V4, V6, N_TUNNELS };
extern const int agent_families[N_TUNNELS];

struct announcer;
struct agent_http;
struct schedule;
struct status;

struct agent {
	struct agent_params params;
	int lock_file;
	int files_error; /* -errno: lock or status socket cannot be made again */
	struct store *store;
	bool synced;
	bool acting; /* what is known is enough to act on: the store was read, or it is remembered */
	bool published;
	bool settings_known;	/* the store has said something about the cluster's settings */
	bool leftovers_removed; /* what earlier agents left and is not wanted is gone */
	struct nodes nodes;
	struct registry *registry;
	struct self self;
	struct tunnel *tunnels[N_TUNNELS];
	struct plan plans[N_TUNNELS]; /* the last ones */
	struct first_line *first_line;
	struct exit_filters *exit_filters;
	char *conflicts; /* as last logged */
	struct schedule *schedule;
	struct status *status;
	struct agent_http *http;
	enum log_level log_level; /* as set last */
	struct announcer *announcer;
	unsigned int ticks;
};

static inline bool agent_enabled(const struct settings *s, int tunnel)
{
	return tunnel == V4 ? s->enabled4 : s->enabled6;
}

/* A struct agent, to whoever reports of it. */
struct report_input agent_describe(void *agent);

/* Everything is made as settings and records say. 0, or the first -errno: it is to be tried again. */
int agent_pass(void *agent);
/* Our record goes to the store, if it is not there as it is. 0 or -errno. */
int agent_publish(struct agent *a);
/* The first line of strict mode, as soon as settings are known, before the store was read. What fails
 * is logged, and tried again by the first pass. */
void agent_apply_first_line_settings(struct agent *a);

/* Callbacks of tunnels and of the store, which say what they mean (tunnel.h, store.h). */
void agent_on_tunnel_changed(struct tunnel *t, void *agent);
void agent_on_node(void *agent, const char *name, const struct node_record *r);
void agent_on_settings(void *agent, const char *node, const struct store_setting *all,
		       unsigned int n, const char *source);
void agent_on_synced(void *agent);

/* Callbacks of the schedule (schedule.h). */
int agent_repair(void *agent, bool network);
void agent_tick(void *agent);

#endif
