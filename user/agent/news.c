/* SPDX-License-Identifier: Apache-2.0 */
/* Takes changes from the store and the tunnels, and decides which ones need a pass. */
#include <string.h>

#include "agent/internal.h"
#include "agent/schedule.h"
#include "base/log.h"
#include "netlink/link.h"
#include "service/client.h"
#include "tunnel/pair.h"
#include "tunnel/tunnel.h"

static void report_kept_tunnels(const struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	for (int i = 0; i < N_TUNNELS; i++) {
		struct link_info tunnel, inner;

		if (!agent_enabled(s, i) && !pair_find(agent_families[i], &tunnel, &inner))
			log_warn(
				"the store has no settings: the tunnel of an earlier agent stays, and drops packets",
				"interface=%s needs=\"podveil enable, podveil disable, or podveil agent --cleanup\"",
				tunnel.name);
	}
}

void agent_on_tunnel_changed(struct tunnel *t, void *context)
{
	struct agent *a = context;

	(void)t;
	schedule_pass(a->schedule);
}

void agent_on_tunnel_process_lost(void *context)
{
	struct agent *a = context;

	for (int i = 0; i < N_TUNNELS; i++)
		if (a->tunnels[i])
			tunnel_lose_device(a->tunnels[i]);
}

void agent_on_tunnel_process(void *context)
{
	struct agent *a = context;

	if (a->acting)
		schedule_pass(a->schedule);
}

void agent_on_node(void *context, const char *name, const struct node_record *r)
{
	struct agent *a = context;
	const struct node_record *there = nodes_find(&a->nodes, name);

	/* The store may report changes that do not concern us: a kubelet's heartbeat, for
	 * instance. */
	if (r && there && record_equal(r, there) && store_has_record(a->store, name))
		return;
	if (nodes_set(&a->nodes, name, r))
		log_error("no memory for a node's record", "node=%s", name);
	if (a->acting)
		schedule_pass(a->schedule);
	else if (!strcmp(name, a->params.node))
		agent_apply_first_line_settings(a);
}

/* Applies them at once. The level is set only if the setting changes, because a signal may have set
 * another level meanwhile. */
static void apply_log_settings(struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	if (s->log_level != a->log_level)
		log_level_set(s->log_level);
	a->log_level = s->log_level;
	log_format_set(s->log_format);
	client_set_log(a->client, s->log_level, s->log_format);
}

struct good_settings {
	struct store_setting all[SETTINGS_COUNT];
	unsigned int n;
};

static void add_good(void *context, const char *name, const char *value)
{
	struct good_settings *to = context;

	to->all[to->n++] = (struct store_setting){name, value};
}

/* If a setting is refused, its last good value is not in the store. So remember it for the next
 * start. */
static void keep_good_settings(const struct agent *a, const char *node, enum settings_layer layer)
{
	struct good_settings good = {.n = 0};

	if (settings_layer_refused(a->params.settings, layer)) {
		settings_layer_each(a->params.settings, layer, add_good, &good);
		store_good_settings(a->store, node, good.all, good.n);
	} else {
		store_good_settings(a->store, node, NULL, 0);
	}
}

void agent_on_settings(void *context, const char *node, const struct store_setting *all,
		       unsigned int n, const char *source)
{
	struct agent *a = context;
	struct settings_stack *stack = a->params.settings;
	const bool first = !node && n && !a->settings_known;
	bool changed;

	if (node && strcmp(node, a->params.node))
		return;
	settings_layer_begin(stack, node ? SETTINGS_NODE : SETTINGS_CLUSTER, source);
	for (unsigned int i = 0; i < n; i++)
		settings_layer_set(stack, all[i].name, all[i].value);
	changed = settings_layer_end(stack);
	keep_good_settings(a, node, node ? SETTINGS_NODE : SETTINGS_CLUSTER);
	apply_log_settings(a);
	store_set_route_source(a->store, settings_get(stack)->route_source);
	a->settings_known |= first;
	if ((first || changed) && a->acting)
		schedule_pass(a->schedule);
	else if (changed)
		agent_apply_first_line_settings(a);
}

void agent_on_synced(void *context)
{
	struct agent *a = context;

	if (!a->synced && !a->settings_known)
		report_kept_tunnels(a);
	a->synced = a->acting = true;
	schedule_start(a->schedule);
}
