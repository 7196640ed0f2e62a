/* SPDX-License-Identifier: Apache-2.0 */
/* One pass: applies settings and records to everything. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent/announcer.h"
#include "agent/internal.h"
#include "agent/leftovers.h"
#include "agent/names.h"
#include "agent/paths.h"
#include "agent/proofs.h"
#include "plan/registry.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"
#include "tunnel/source_check.h"
#include "tunnel/takeover.h"
#include "tunnel/tunnel.h"

/* --- our record --- */

/* Our node's key as the store has it; NULL: none. */
static const uint8_t *published_key(const struct agent *a, int i)
{
	const struct node_record *there = nodes_find(&a->nodes, a->params.node);
	const uint8_t *key = there ? plan_key(there, agent_families[i]) : NULL;

	return key && !sodium_is_zero(key, 32) ? key : NULL;
}

/* The same, while Felix uses it. NULL: it is ours, or Felix has let go of it. */
static const uint8_t *felix_key(const struct agent *a, int i)
{
	const struct node_record *there = nodes_find(&a->nodes, a->params.node);
	const bool released = there && (i == V4 ? there->released4 : there->released6);

	return released ? NULL : published_key(a, i);
}

/* The key in the store may belong to another WireGuard on this node, that of Felix. If we removed
 * it, peers would send to this node in plain. So keep it in our record. */
static enum store_key spare_foreign_key(struct agent *a, int i)
{
	const uint8_t *key = published_key(a, i);
	uint8_t *ours = i == V4 ? a->self.record.key4 : a->self.record.key6;
	bool *stopped = i == V4 ? &a->self.record.stopped4 : &a->self.record.stopped6;
	const bool wanted = !*stopped;

	if (!key || !sodium_is_zero(ours, 32) || !takeover_key_in_use(key))
		return STORE_KEY_OURS;
	memcpy(ours, key, 32);
	*stopped = false;
	return wanted ? STORE_KEY_INHERITED : STORE_KEY_FOREIGN;
}

int agent_publish(struct agent *a)
{
	const struct node_record *there = nodes_find(&a->nodes, a->params.node);
	const enum store_key owners[N_TUNNELS] = {spare_foreign_key(a, V4),
						  spare_foreign_key(a, V6)};
	int err;

	a->published &= !memcmp(owners, a->key_owners, sizeof(owners));
	memcpy(a->key_owners, owners, sizeof(owners));
	store_key_owners(a->store, owners[V4], owners[V6]);

	/* Publish at least once: the present record may be bound to the lease of the earlier agent,
	 * and would disappear with it. */
	if (a->published && there && store_has_record(a->store, a->params.node) &&
	    record_equal(there, &a->self.record))
		return 0;
	err = store_publish(a->store, &a->self.record);
	if (err)
		log_error("this node's record could not be published",
			  "store=%s errno=%d error=\"%s\"", store_name(a->store), -err,
			  strerror(-err));
	a->published = !err;
	return err;
}

/* --- the plans --- */

static int review(struct agent *a, const struct node_record *const *all, uint8_t keys[][32])
{
	const struct settings *s = settings_get(a->params.settings);
	struct cidr own[SELF_ADDRESSES];
	struct registry_input in = {
		.self = a->params.node,
		.nodes = all,
		.n_nodes = nodes_count_with(&a->nodes, a->params.node),
		.own = own,
		.n_own = self_addresses(&a->self, own),
		.host_encryption = s->host_encryption,
	};
	char *conflicts;
	int err = 0;

	for (int i = 0; i < N_TUNNELS && !err; i++) {
		if (!agent_enabled(s, i))
			continue;
		/* Without it the tunnel cannot be switched on, which says so: bring_up(). */
		if (!tunnel_key(a->tunnels[i], keys[i]))
			in.own_keys[i] = keys[i];
	}
	cidr_parse_address(store_peer(a->store), &in.store);
	proofs_collect(a->registry, a->tunnels);
	if (!err)
		err = registry_review(a->registry, &in);
	if (err)
		return err;
	registry_log(a->registry);
	conflicts = report_conflicts(a->registry);
	if (conflicts) {
		free(a->conflicts);
		a->conflicts = conflicts;
	}
	return 0;
}

/* Where the nodes say that they are reached. The caller frees the array. NULL: no memory. */
static struct endpoint *find_endpoints(struct agent *a, int i)
{
	size_t n;
	const struct registry_node *nodes = registry_nodes(a->registry, &n);
	struct endpoint *all = calloc(n ? n : 1, sizeof(*all));
	struct cidr address;

	for (size_t k = 0; all && k < n; k++) {
		const struct node_record *r = nodes[k].record;
		const struct record_endpoint *e = plan_record_endpoint(r, agent_families[i]);

		if (*e->host && strcmp(r->name, a->params.node) != 0 &&
		    names_find(a->names, e->host, agent_families[i], &address))
			all[k] = plan_endpoint(&address, e->port);
	}
	return all;
}

static int make_plan(struct agent *a, int i, struct plan *out)
{
	struct endpoint *endpoints = find_endpoints(a, i);
	struct plan_input in = {
		.family = agent_families[i],
		.self = a->params.node,
		.settings = settings_get(a->params.settings),
		.endpoints = endpoints,
	};
	int err;

	in.nodes = registry_nodes(a->registry, &in.n_nodes);
	in.contested = registry_contested(a->registry, &in.n_contested);
	err = endpoints ? plan_make(&in, out) : -ENOMEM;
	free(endpoints);
	return err;
}

static int make_plans(struct agent *a)
{
	const struct node_record **all = nodes_with(&a->nodes, &a->self.record);
	struct plan fresh[N_TUNNELS] = {{.n_peers = 0}};
	uint8_t keys[N_TUNNELS][32];
	int err = all ? review(a, all, keys) : -ENOMEM;

	free(all);
	for (int i = 0; i < N_TUNNELS && !err; i++)
		err = make_plan(a, i, &fresh[i]);
	names_forget_unused(a->names);
	for (int i = 0; i < N_TUNNELS; i++) {
		if (err) {
			plan_fini(&fresh[i]);
			continue;
		}
		paths_find(&a->route_questions, &fresh[i], &a->plans[i], agent_families[i]);
		plan_fini(&a->plans[i]);
		a->plans[i] = fresh[i];
	}
	return err;
}

/* --- the tunnels --- */

/* As the settings say, else what the paths to the peers allow. Before a path is known: what the
 * uplink allows. */
static uint32_t tunnel_mtu(const struct agent *a, const struct settings *s, int i)
{
	const uint32_t wanted = i == V4 ? s->mtu4 : s->mtu6;
	const uint32_t largest = plan_largest_mtu(&a->plans[i]);

	if (wanted)
		return wanted;
	return largest ? largest : paths_uplink(a->self.uplink.mtu, agent_families[i]);
}

/* Makes the devices before strict mode is applied. This takes long: if it were done after, there
 * would be a long time in which plaintext is dropped but others do not have our key yet. Nothing is
 * steered into the devices yet. Errors are ignored here; bring_up() reports them. */
static void prepare_tunnels(struct agent *a, const struct settings *s)
{
	for (int i = 0; i < N_TUNNELS; i++)
		if (agent_enabled(s, i))
			tunnel_prepare(a->tunnels[i], s, tunnel_mtu(a, s, i), felix_key(a, i));
}

static int bring_up(struct agent *a, int i)
{
	const struct settings *s = settings_get(a->params.settings);
	struct tunnel *t = a->tunnels[i];
	uint8_t *key = i == V4 ? a->self.record.key4 : a->self.record.key6;
	const uint8_t *published = published_key(a, i);
	uint8_t public_key[32];
	int err = tunnel_enable(t, s, tunnel_mtu(a, s, i), a->self.uplink.ifindex, felix_key(a, i));

	if (!err)
		err = tunnel_update(t, &a->plans[i], s);
	if (!err)
		err = tunnel_key(t, public_key);
	if (!err)
		memcpy(key, public_key, 32);
	/* A tunnel that does not work now, because its process has ended for instance, is no command:
	 * without our key, others would send in plain. So the key that we published stays. Not where
	 * the device's name belongs to others: then others publish the key. */
	else if (err != -EEXIST && published)
		memcpy(key, published, 32);
	return err;
}

/* --- what earlier agents left --- */

static struct leftovers_wanted wanted(const struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	return (struct leftovers_wanted){
		.tunnel = {s->enabled4, s->enabled6},
		.name = {s->interface4, s->interface6},
		.priority = s->rule_priority,
		.table = s->route_table,
		.first_line = true, /* not removed here: apply_first_line() does that */
		.guard = s->enabled4 || s->enabled6,
		.files = true,
	};
}

/* Removes what earlier agents left and the settings do not want. Done once, when everything wanted
 * is in place (`complete`); after that this agent removes what it replaces itself. If the store has
 * no settings, nothing was switched off: then everything stays, and packets are dropped. */
static int remove_leftovers(struct agent *a, bool complete)
{
	struct leftovers_wanted w = wanted(a);
	int err;

	if (!a->settings_known || a->leftovers_removed)
		return 0;
	for (int i = 0; i < N_TUNNELS; i++)
		if (tunnel_state(a->tunnels[i]) == TUNNEL_LINGERING)
			return 0; /* it removes its device itself */
	w.others = !complete;
	err = leftovers_remove(&w);
	a->leftovers_removed = !err && complete;
	return err;
}

/* --- the first line of strict mode --- */

static bool is_strict(const struct settings *s)
{
	return s->strict && (s->enabled4 || s->enabled6);
}

void agent_apply_first_line_settings(struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	if (a->synced || !is_strict(s))
		return;
	self_find_uplink(&a->self);
	if (!self_describe(&a->self, nodes_find(&a->nodes, a->params.node), s))
		first_line_apply_settings(a->first_line, s, &a->self.record);
}

/* The records of all admitted nodes. The caller frees the array. NULL: no memory. */
static const struct node_record **all_records(const struct agent *a, size_t *n)
{
	const struct registry_node *admitted = registry_nodes(a->registry, n);
	const struct node_record **records = calloc(*n ? *n : 1, sizeof(*records));

	for (size_t i = 0; records && i < *n; i++)
		records[i] = admitted[i].record;
	return records;
}

static int apply_exit_filters(struct agent *a, const struct remote_ranges_input *in)
{
	const bool any = in->settings->enabled4 || in->settings->enabled6;
	const int err = exit_filters_apply(a->exit_filters, any ? a->self.uplink.ifindex : 0, in);

	if (err)
		log_error("the guard cannot be attached to the node's devices",
			  "uplink=%s errno=%d error=\"%s\"", a->self.uplink.name, -err,
			  strerror(-err));
	return err;
}

static int apply_first_line(struct agent *a, const struct remote_ranges_input *in)
{
	/* A store without settings has not switched strict mode off. */
	if (!is_strict(in->settings) && !a->settings_known && first_line_exists()) {
		log_warn("the store has no settings: strict mode of an earlier agent stays",
			 "needs=\"podveilStrictMode in the store, or podveil agent --cleanup\"");
		return 0;
	}
	return first_line_apply(a->first_line, in);
}

/* Applies both lines of strict mode, or without an uplink only the first one, which needs none. The
 * second one (exit filters) comes first, because loading its programs takes longest, and plaintext
 * should not be dropped meanwhile. False: strict mode is set, but a part that it needs is not in
 * place. */
static bool raise_lines(struct agent *a, const struct settings *s, bool uplink, int *err)
{
	struct remote_ranges_input in = {.settings = s, .plans = a->plans, .n_plans = N_TUNNELS};
	const struct node_record **records = all_records(a, &in.n_nodes);
	int exit_filters = 0, line;

	*err = -ENOMEM;
	if (!records)
		return !is_strict(s);
	in.nodes = records;
	cidr_parse_address(store_peer(a->store), &in.store);
	if (uplink)
		exit_filters = apply_exit_filters(a, &in);
	line = apply_first_line(a, &in);
	free(records);
	*err = line ? line : exit_filters;
	/* Of the first line, only the routes are required: without nftables the second line still
	 * works. */
	return !is_strict(s) ||
	       (!exit_filters && (!line || first_line_get_state(a->first_line).routing));
}

/* --- the whole --- */

/* Makes uplink, record and plans, on which everything else depends. `any`: a tunnel is switched
 * on. */
static int prepare(struct agent *a, const struct settings *s, bool any)
{
	const int no_uplink = self_find_uplink(&a->self);
	int err = self_describe(&a->self, nodes_find(&a->nodes, a->params.node), s);

	if (!err)
		err = make_plans(a);
	if (!no_uplink || !any)
		return err;
	log_error("no uplink", "device=%s needs=\"--uplink, or a default route\"",
		  a->params.uplink ? a->params.uplink : "(default route)");
	if (!err)
		raise_lines(a, s, false, &err);
	return no_uplink;
}

static void keep_first_error(int *first, int err)
{
	if (!*first)
		*first = err;
}

static int apply_tunnels(struct agent *a, const struct settings *s)
{
	int first = 0;

	for (int i = 0; i < N_TUNNELS; i++) {
		if (agent_enabled(s, i))
			keep_first_error(&first, bring_up(a, i));
		else
			tunnel_disable(a->tunnels[i], a->plans[i].n_peers > 0);
	}
	return first;
}

int agent_pass(void *context)
{
	struct agent *a = context;
	const struct settings *s = settings_get(a->params.settings);
	const bool any = s->enabled4 || s->enabled6;
	struct report_input in;
	int err = prepare(a, s, any), first;

	if (err)
		return err;
	prepare_tunnels(a, s);
	/* The lines are raised before packets flow through a tunnel, and removed before the last
	 * tunnel is. */
	if (!raise_lines(a, s, true, &first))
		return first;
	source_check_by_mark(any && s->host_encryption);
	keep_first_error(&first, apply_tunnels(a, s));
	keep_first_error(&first, first_line_remove_old(a->first_line));
	keep_first_error(&first, exit_filters_remove_old(a->exit_filters));
	keep_first_error(&first, remove_leftovers(a, !first || !any));
	/* The state is set before the key, so that one write to the store has both. */
	in = agent_describe(a);
	in.failed = first;
	announcer_update(a->announcer, &in);
	keep_first_error(&first, agent_publish(a));
	return first;
}
