/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/announcer.h"
#include "agent/documents.h"
#include "agent/leftovers.h"
#include "agent/proofs.h"
#include "agent/report.h"
#include "agent/schedule.h"
#include "agent/self.h"
#include "agent/status.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "netlink/link.h"
#include "netlink/route.h"
#include "plan/plan.h"
#include "plan/registry.h"
#include "store/nodes.h"
#include "store/store.h"
#include "strict/fence.h"
#include "strict/first_line.h"
#include "tunnel/network.h"
#include "tunnel/pair.h"
#include "tunnel/source_check.h"
#include "tunnel/takeover.h"
#include "tunnel/tunnel.h"

#define STATE_DIRECTORY "/run/podveil"
#define LOCK		STATE_DIRECTORY "/agent.lock"
#define MEMORY		STATE_DIRECTORY "/store.json"

/* A store over a network may need so long to take back our key. */
#define FLUSH_MS 3000

enum { V4, V6, N_TUNNELS };
static const int families[N_TUNNELS] = {AF_INET, AF_INET6};

struct agent {
	struct agent_params params;
	int lock_file;
	int files_error; /* -errno: lock or status socket cannot be made again */
	struct store *store;
	bool synced;
	bool acting; /* what is known is enough to act on: the store was read, or it is remembered */
	bool published;
	bool told;  /* the store has said something about the cluster's settings */
	bool swept; /* what earlier agents left and is not wanted is gone */
	struct nodes nodes;
	struct registry *registry;
	struct self self;
	struct tunnel *tunnels[N_TUNNELS];
	struct plan plans[N_TUNNELS]; /* the last ones */
	struct first_line *first_line;
	struct fence *fence;
	char *conflicts; /* as last logged */
	struct schedule *schedule;
	struct status *status;
	struct documents *http;
	enum log_level log_level; /* as set last */
	struct announcer *announcer;
	unsigned int ticks;
};

static bool enabled(const struct settings *s, int i)
{
	return i == V4 ? s->enabled4 : s->enabled6;
}

/* --- status --- */

static struct report_input describe(void *context)
{
	const struct agent *a = context;

	return (struct report_input){
		.node = a->params.node,
		.uplink = a->self.uplink.name,
		.store = a->store,
		.synced = a->synced,
		.settings = a->params.settings,
		.tunnels = a->tunnels,
		.plans = a->plans,
		.n_tunnels = N_TUNNELS,
		.first_line = a->first_line,
		.fence = a->fence,
		.registry = a->registry,
		.conflicts = a->conflicts,
		.http = a->http ? a->params.http : NULL,
		.failed = schedule_failing(a->schedule),
	};
}

/* --- one pass --- */

/* Our node's key as the store has it; NULL: none. */
static const uint8_t *published_key(const struct agent *a, int i)
{
	const struct node_record *there = nodes_find(&a->nodes, a->params.node);
	const uint8_t *key = there ? plan_key(there, families[i]) : NULL;

	return key && !sodium_is_zero(key, 32) ? key : NULL;
}

/* The key that is there may be that of another WireGuard on this node, Felix's. To take it away would
 * make peers talk to this node in plain. */
static void spare_foreign_key(struct agent *a, int i, bool foreign[N_TUNNELS])
{
	const uint8_t *key = published_key(a, i);
	uint8_t *ours = i == V4 ? a->self.record.key4 : a->self.record.key6;

	foreign[i] = key && sodium_is_zero(ours, 32) && takeover_key_in_use(key);
	if (!foreign[i])
		return;
	memcpy(ours, key, 32);
	*(i == V4 ? &a->self.record.left4 : &a->self.record.left6) = false;
}

static int publish(struct agent *a)
{
	const struct node_record *there = nodes_find(&a->nodes, a->params.node);
	bool foreign[N_TUNNELS];
	int err;

	for (int i = 0; i < N_TUNNELS; i++)
		spare_foreign_key(a, i, foreign);
	store_foreign_keys(a->store, foreign[V4], foreign[V6]);

	/* Once in any case: the record may hang on the lease of the agent before, and go with it.
	 */
	if (a->published && there && store_shows(a->store, a->params.node) &&
	    record_equal(there, &a->self.record))
		return 0;
	err = store_publish(a->store, &a->self.record);
	if (err)
		log_error("our record could not be published", "store=%s errno=%d error=\"%s\"",
			  store_name(a->store), -err, strerror(-err));
	a->published = !err;
	return err;
}

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
		if (!enabled(s, i))
			continue;
		err = tunnel_key(a->tunnels[i], keys[i]);
		in.own_keys[i] = keys[i];
	}
	cidr_parse_address(store_peer(a->store), &in.store);
	proofs_see(a->registry, a->tunnels);
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

static int make_plans(struct agent *a)
{
	const struct node_record **all = nodes_with(&a->nodes, &a->self.record);
	struct plan fresh[N_TUNNELS] = {{.n_peers = 0}};
	uint8_t keys[N_TUNNELS][32];
	int err = all ? review(a, all, keys) : -ENOMEM;

	free(all);
	for (int i = 0; i < N_TUNNELS && !err; i++) {
		struct plan_input in = {
			.family = families[i],
			.self = a->params.node,
			.settings = settings_get(a->params.settings),
		};

		in.nodes = registry_nodes(a->registry, &in.n_nodes);
		in.contested = registry_contested(a->registry, &in.n_contested);
		err = plan_make(&in, &fresh[i]);
	}
	for (int i = 0; i < N_TUNNELS; i++) {
		if (err) {
			plan_fini(&fresh[i]);
			continue;
		}
		plan_fini(&a->plans[i]);
		a->plans[i] = fresh[i];
	}
	return err;
}

static uint32_t tunnel_mtu(const struct agent *a, const struct settings *s, int i)
{
	const uint32_t wanted = i == V4 ? s->mtu4 : s->mtu6;
	const uint32_t overhead = i == V4 ? 60 : 80;

	return wanted			       ? wanted
	       : a->self.uplink.mtu > overhead ? a->self.uplink.mtu - overhead
					       : 576;
}

/* To make devices takes long, and must not lie between strict mode, which ends plaintext, and our key, by
 * which others can send otherwise. Nothing is steered into them yet; what fails is bring_up()'s to
 * say. */
static void prepare_tunnels(struct agent *a, const struct settings *s)
{
	for (int i = 0; i < N_TUNNELS; i++)
		if (enabled(s, i))
			tunnel_prepare(a->tunnels[i], s, tunnel_mtu(a, s, i), published_key(a, i));
}

static int bring_up(struct agent *a, int i)
{
	const struct settings *s = settings_get(a->params.settings);
	struct tunnel *t = a->tunnels[i];
	uint8_t *key = i == V4 ? a->self.record.key4 : a->self.record.key6;
	uint8_t public_key[32];
	int err = tunnel_enable(t, s, tunnel_mtu(a, s, i), a->self.uplink.ifindex,
				published_key(a, i));

	if (!err)
		err = tunnel_update(t, &a->plans[i], s);
	if (!err)
		err = tunnel_key(t, public_key);
	if (!err)
		memcpy(key, public_key, 32);
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
		.first_line = true, /* raise_first_line() removes it */
		.guard = s->enabled4 || s->enabled6,
		.files = true,
	};
}

/* Switched off, or set otherwise, while nobody was there to do it. It is done when all that is
 * wanted stands: from then on we know ourselves what was before. A store that says nothing at all has not
 * switched anything off: then what is there stays, and drops. */
static int sweep(struct agent *a, bool stands)
{
	struct leftovers_wanted w = wanted(a);
	int err;

	if (!a->told || a->swept)
		return 0;
	for (int i = 0; i < N_TUNNELS; i++)
		if (tunnel_state(a->tunnels[i]) == TUNNEL_LINGERING)
			return 0; /* it goes by itself */
	w.others = !stands;
	err = leftovers_remove(&w);
	a->swept = !err && stands;
	return err;
}

static void report_kept_tunnels(const struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	for (int i = 0; i < N_TUNNELS; i++) {
		struct link_info tunnel, inner;

		if (!enabled(s, i) && !pair_find(families[i], &tunnel, &inner))
			log_warn(
				"the store has no settings: the tunnel of an earlier agent stays, and drops packets",
				"interface=%s needs=\"podveil enable, podveil disable, or podveil agent --cleanup\"",
				tunnel.name);
	}
}

/* --- the first line of strict mode --- */

static bool is_strict(const struct settings *s)
{
	return s->strict && (s->enabled4 || s->enabled6);
}

/* As soon as settings are known, before the store was read. What fails is logged, and tried again
 * by the first pass. */
static void begin_first_line(struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	if (a->synced || !is_strict(s))
		return;
	self_find_uplink(&a->self);
	if (!self_describe(&a->self, nodes_find(&a->nodes, a->params.node), s))
		first_line_begin(a->first_line, s, &a->self.record);
}

/* Of all nodes that are admitted; NULL: no memory. The caller's to free. */
static const struct node_record **all_records(const struct agent *a, size_t *n)
{
	const struct registry_node *admitted = registry_nodes(a->registry, n);
	const struct node_record **records = calloc(*n ? *n : 1, sizeof(*records));

	for (size_t i = 0; records && i < *n; i++)
		records[i] = admitted[i].record;
	return records;
}

/* `any`: a tunnel is switched on. */
static int raise_fence(struct agent *a, const struct settings *s, bool any)
{
	struct fence_input in = {.settings = s, .plans = a->plans, .n_plans = N_TUNNELS};
	const struct node_record **records = all_records(a, &in.n_nodes);
	int err;

	if (!records)
		return -ENOMEM;
	in.nodes = records;
	err = fence_raise(a->fence, any ? a->self.uplink.ifindex : 0, &in);
	free(records);
	return err;
}

static int raise_first_line(struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);
	struct first_line_input in = {.settings = s, .plans = a->plans, .n_plans = N_TUNNELS};
	const struct node_record **records;
	int err;

	/* A store that says nothing has not switched strict mode off. */
	if (!is_strict(s) && !a->told && first_line_is_there()) {
		log_warn("the store has no settings: strict mode of an earlier agent stays",
			 "needs=\"podveilStrictMode in the store, or podveil agent --cleanup\"");
		return 0;
	}
	records = all_records(a, &in.n_nodes);
	if (!records)
		return -ENOMEM;
	in.nodes = records;
	err = first_line_raise(a->first_line, &in);
	free(records);
	return err;
}

/* Both lines. The second one comes first: to load its programs takes longest, and what still comes in
 * plain is not dropped meanwhile. False: something does not stand without which strict mode encrypts
 * nothing. */
static bool raise_lines(struct agent *a, const struct settings *s, int *err)
{
	const int fence = raise_fence(a, s, s->enabled4 || s->enabled6), line = raise_first_line(a);

	if (fence)
		log_error("the guard cannot be attached to the node's devices",
			  "uplink=%s errno=%d error=\"%s\"", a->self.uplink.name, -fence,
			  strerror(-fence));
	*err = line ? line : fence;
	/* Of the first line, what routes decide; without nftables the second one is left. */
	return !is_strict(s) || (!fence && (!line || first_line_look(a->first_line).routing));
}

/* --- the whole --- */

/* Everything is made as settings and records say. */
static int pass(void *context)
{
	struct agent *a = context;
	const struct settings *s = settings_get(a->params.settings);
	const bool any = s->enabled4 || s->enabled6;
	struct report_input in;
	int err = self_find_uplink(&a->self), first = 0;

	if (err && any) {
		log_error("no uplink", "device=%s needs=\"--uplink, or a default route\"",
			  a->params.uplink ? a->params.uplink : "(default route)");
		/* This needs none, and stands before there is one. */
		if (!self_describe(&a->self, nodes_find(&a->nodes, a->params.node), s) &&
		    !make_plans(a))
			raise_first_line(a);
		return err;
	}
	err = self_describe(&a->self, nodes_find(&a->nodes, a->params.node), s);
	if (!err)
		err = make_plans(a);
	if (err)
		return err;
	prepare_tunnels(a, s);
	/* They stand before the first packet, and fall before the last tunnel does. */
	if (!raise_lines(a, s, &first))
		return first;
	source_check_by_mark(any && s->host_encryption);
	for (int i = 0; i < N_TUNNELS; i++) {
		if (!enabled(s, i)) {
			tunnel_disable(a->tunnels[i], a->plans[i].n_peers > 0);
			continue;
		}
		err = bring_up(a, i);
		if (err && !first)
			first = err;
	}
	err = first_line_settle(a->first_line);
	if (err && !first)
		first = err;
	err = fence_settle(a->fence);
	if (err && !first)
		first = err;
	err = sweep(a, !first || !any);
	if (err && !first)
		first = err;
	/* Before the key, so that one write to the store has both. */
	in = describe(a);
	in.failed = first;
	announcer_look(a->announcer, &in);
	err = publish(a);
	return first ? first : err;
}

/* --- news --- */

static void on_tunnel_changed(struct tunnel *t, void *context)
{
	struct agent *a = context;

	(void)t;
	schedule_pass(a->schedule);
}

static void on_node(void *context, const char *name, const struct node_record *r)
{
	struct agent *a = context;
	const struct node_record *there = nodes_find(&a->nodes, name);

	/* A store may tell of much that does not concern us: a kubelet's heartbeat, for instance.
	 */
	if (r && there && record_equal(r, there) && store_shows(a->store, name))
		return;
	if (nodes_set(&a->nodes, name, r))
		log_error("no memory for a node's record", "node=%s", name);
	if (a->acting)
		schedule_pass(a->schedule);
	else if (!strcmp(name, a->params.node))
		begin_first_line(a);
}

/* At once, and only where the setting changes: a signal may have said otherwise meanwhile. */
static void follow_log(struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	if (s->log_level != a->log_level)
		log_level_set(s->log_level);
	a->log_level = s->log_level;
	log_format_set(s->log_format);
}

struct good_settings {
	struct store_setting all[SETTINGS_MAX];
	unsigned int n;
};

static void add_good(void *context, const char *name, const char *value)
{
	struct good_settings *to = context;

	if (to->n < SETTINGS_MAX)
		to->all[to->n++] = (struct store_setting){name, value};
}

/* Where one is refused, the last good one is not in the store, and would not be known any more after
 * a restart. */
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

static void on_settings(void *context, const char *node, const struct store_setting *all,
			unsigned int n, const char *source)
{
	struct agent *a = context;
	struct settings_stack *stack = a->params.settings;
	const bool first = !node && n && !a->told;
	bool changed;

	if (node && strcmp(node, a->params.node))
		return;
	settings_layer_begin(stack, node ? SETTINGS_NODE : SETTINGS_CLUSTER, source);
	for (unsigned int i = 0; i < n; i++)
		settings_layer_set(stack, all[i].name, all[i].value);
	changed = settings_layer_end(stack);
	keep_good_settings(a, node, node ? SETTINGS_NODE : SETTINGS_CLUSTER);
	follow_log(a);
	a->told |= first;
	if ((first || changed) && a->acting)
		schedule_pass(a->schedule);
	else if (changed)
		begin_first_line(a);
}

static void on_synced(void *context)
{
	struct agent *a = context;

	if (!a->synced && !a->told)
		report_kept_tunnels(a);
	a->synced = a->acting = true;
	schedule_start(a->schedule);
}

/* --- what others change, and what only time brings --- */

/* Lock and status socket: without them another agent could start beside us, and nobody could ask
 * us. What cannot be done is said once. */
static void mend_files(struct agent *a)
{
	const int lock = lock_file_mend(LOCK, &a->lock_file);
	const int socket = status_mend(a->status);
	const int err = lock < 0 ? lock : socket < 0 ? socket : 0;

	if (err && err != a->files_error)
		log_error("files of the agent are missing and cannot be made again",
			  "directory=" STATE_DIRECTORY " errno=%d error=\"%s\"", -err,
			  strerror(-err));
	else if (lock > 0 || socket > 0)
		log_warn("put back files of the agent that somebody removed",
			 "directory=" STATE_DIRECTORY);
	a->files_error = err;
}

static int mend(void *context, bool network)
{
	struct agent *a = context;
	int err = 0, fenced, mended_line = first_line_mend(a->first_line, network);

	if (mended_line > 0)
		log_info("put back what was changed",
			 "what=\"first line of strict mode\" things=%d", mended_line);
	else if (mended_line < 0)
		err = mended_line;
	for (int i = 0; i < N_TUNNELS; i++) {
		int mended = tunnel_mend(a->tunnels[i], network);

		if (mended > 0)
			log_info("put back what was changed", "tunnel=%s things=%d",
				 i == V4 ? "ipv4" : "ipv6", mended);
		else if (mended < 0)
			err = mended;
	}
	fenced = fence_mend(a->fence);
	if (fenced > 0)
		log_info("put back the guard's programs", "things=%d", fenced);
	else if (fenced < 0)
		err = fenced;
	source_check_mend();
	mend_files(a);
	if (network && self_moved(&a->self))
		schedule_pass(a->schedule);
	return err;
}

static void tick(void *context)
{
	struct agent *a = context;
	struct report_input in;

	for (int i = 0; i < N_TUNNELS; i++)
		tunnel_tick(a->tunnels[i]);
	/* Proofs come with sessions, and doubts with silence. */
	if (proofs_tick(a->registry, a->tunnels, ++a->ticks))
		schedule_pass(a->schedule);
	in = describe(a);
	announcer_look(a->announcer, &in);
}

/* --- making and freeing --- */

/* The store may be reached over the nodes' own addresses, and whoever starts the next agent, too: a
 * kubelet that is to replace one asks the API server. In strict mode nothing goes out in plain even
 * so. */
static void release_hosts(const struct agent *a)
{
	const struct settings *s = settings_get(a->params.settings);

	for (int i = 0; i < N_TUNNELS && !s->strict; i++)
		network_release_hosts(families[i]);
}

/* Nothing waits for the store: what was known when the last agent ended stands until the store says
 * otherwise. */
static void remember(struct agent *a)
{
	const size_t n = store_remember(a->store);

	if (!n)
		return;
	log_info("what is known of the store is remembered", "things=%zu strict=%s", n,
		 settings_get(a->params.settings)->strict ? "true" : "false");
	a->acting = true;
	schedule_start(a->schedule);
}

int agent_new(const struct agent_params *params, struct agent **out)
{
	struct agent *a = calloc(1, sizeof(*a));
	const struct store_params store = {
		.url = params->store,
		.base = params->base,
		.events = {on_node, on_settings, on_synced, a},
		.node = params->node,
		.memory = MEMORY,
	};
	const struct schedule_params sp = {
		.base = params->base, .pass = pass, .mend = mend, .tick = tick, .context = a};
	const char *step = "memory";
	int err = -ENOMEM;

	if (!a)
		return -ENOMEM;
	a->params = *params;
	a->log_level = settings_get(params->settings)->log_level;
	self_init(&a->self, &a->params);
	a->lock_file = -1;
	for (int i = 0; i < N_TUNNELS; i++) {
		const struct tunnel_params tp = {
			.base = params->base,
			.family = families[i],
			.changed = on_tunnel_changed,
			.context = a,
		};

		a->tunnels[i] = tunnel_new(&tp);
		if (!a->tunnels[i])
			goto fail;
	}
	step = "watching the node's devices";
	a->first_line = first_line_new();
	a->announcer = announcer_new();
	err = a->first_line && a->announcer ? fence_new(params->base, &a->fence) : -ENOMEM;
	if (err)
		goto fail;
	step = "lock (another agent runs on this machine)";
	err = lock_file_take(LOCK, &a->lock_file);
	if (err)
		goto fail;
	err = -ENOMEM;
	a->registry = registry_new(REGISTRY_FILE);
	if (!a->registry)
		goto fail;
	step = "watching the network";
	err = schedule_new(&sp, &a->schedule);
	if (err)
		goto fail;
	step = "status socket";
	err = status_new(params->base, describe, a, &a->status);
	if (err)
		goto fail;
	begin_first_line(a);
	step = "store";
	err = store_open(&store, &a->store);
	if (err)
		goto fail;
	remember(a);
	if (store_is_remote(a->store))
		release_hosts(a);
	if (a->params.http)
		a->http = documents_serve(params->base, a->params.http, describe, a);
	*out = a;
	return 0;
fail:
	log_error("the agent cannot start", "step=\"%s\" errno=%d error=\"%s\"", step, -err,
		  strerror(-err));
	agent_free(a, false);
	return err;
}

/* Our key goes from the store before our tunnels do. State and key, so that one write has both. */
static void withdraw(struct agent *a)
{
	memset(a->self.record.key4, 0, sizeof(a->self.record.key4));
	memset(a->self.record.key6, 0, sizeof(a->self.record.key6));
	a->self.record.left4 = a->self.record.left6 = true;
	announcer_withdraw(a->store);
	/* Whatever the store told last: a key of ours may be on its way there. */
	a->published = false;
	publish(a);
	store_flush(a->store, FLUSH_MS);
}

/* What the parts that this process knows of did not take away: an earlier agent's. */
static void remove_rest(void)
{
	struct leftovers_remains r;

	if (leftovers_clear(&r))
		log_error("not everything could be removed",
			  "of=%zu needs=\"podveil agent --cleanup, which names it\"", r.were);
	free(r.left);
}

void agent_free(struct agent *a, bool cleanup)
{
	if (!a)
		return;
	/* First of all: store_flush() runs the event loop, and a pass within it, or a look at our
	 * state, would publish what is being taken back. */
	if (a->schedule)
		schedule_stop(a->schedule);
	if (cleanup && a->store && a->synced)
		withdraw(a);
	if (cleanup)
		source_check_by_mark(false);
	for (int i = 0; i < N_TUNNELS; i++) {
		tunnel_free(a->tunnels[i], cleanup);
		if (cleanup)
			tunnel_forget_key(families[i]);
		plan_fini(&a->plans[i]);
	}
	if (!cleanup && a->store && store_is_remote(a->store))
		release_hosts(a);
	if (cleanup)
		first_line_cleanup();
	first_line_free(a->first_line);
	fence_free(a->fence, cleanup);
	documents_free(a->http);
	status_free(a->status);
	announcer_free(a->announcer);
	store_close(a->store);
	if (cleanup && a->lock_file >= 0)
		unlink(MEMORY);
	schedule_free(a->schedule);
	if (a->registry && !cleanup)
		registry_save(a->registry);
	if (cleanup)
		unlink(REGISTRY_FILE);
	registry_free(a->registry);
	nodes_fini(&a->nodes);
	record_fini(&a->self.record);
	free(a->conflicts);
	if (a->lock_file >= 0) {
		if (cleanup) {
			remove_rest();
			unlink(LOCK);
		}
		close(a->lock_file);
	}
	free(a);
}

int agent_cleanup(struct leftovers_remains *r)
{
	int lock, err = lock_file_take(LOCK, &lock);

	*r = (struct leftovers_remains){.left = NULL};
	if (err)
		return err;
	err = leftovers_clear(r);
	unlink(LOCK);
	rmdir(STATE_DIRECTORY); /* stays where a bare device has its lock there */
	close(lock);
	return err;
}
