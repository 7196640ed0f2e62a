/* SPDX-License-Identifier: Apache-2.0 */
/* Starts an agent step by step, and ends it. */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/announcer.h"
#include "agent/internal.h"
#include "agent/leftovers.h"
#include "agent/names.h"
#include "agent/report/agent_http.h"
#include "agent/report/status.h"
#include "agent/schedule.h"
#include "base/event_wait.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "plan/registry.h"
#include "service/client.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"
#include "tunnel/network.h"
#include "tunnel/source_check.h"
#include "tunnel/tunnel.h"

/* How long to wait at the end until a store over a network has removed our key. */
#define FLUSH_MS 3000
#define MEMORY	 AGENT_STATE_DIRECTORY "/store.json"

const int agent_families[N_TUNNELS] = {AF_INET, AF_INET6};

struct report_input agent_describe(void *context)
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
		.exit_filters = a->exit_filters,
		.registry = a->registry,
		.conflicts = a->conflicts,
		.http = a->http ? a->params.http : NULL,
		.confinement = a->params.confinement,
		.tunnel_rights = client_rights(a->client),
		.failed = schedule_failing(a->schedule),
	};
}

/* The store may be reached at a node's own address, which is routed through the tunnel. So these
 * addresses are no longer routed through the tunnel when an agent ends (the tunnel process may end
 * with its pod, and a kubelet asks the API server what to start), and when one starts and no tunnel
 * process has the device. Not in strict mode: there nothing may leave in plain. */
static void release_hosts(const struct agent *a, bool starting)
{
	const struct settings *s = settings_get(a->params.settings);

	for (int i = 0; i < N_TUNNELS && !s->strict; i++)
		if (!starting || !tunnel_is_served(agent_families[i]))
			network_release_hosts(agent_families[i]);
}

/* Starts with what the last agent knew, without waiting for the store. It stays in force until the
 * store gives other data. */
static void replay_memory(struct agent *a)
{
	const size_t n = store_replay_memory(a->store);

	if (!n)
		return;
	log_info("records and settings of the last run are in force until the store answers",
		 "things=%zu strict=%s", n,
		 settings_get(a->params.settings)->strict ? "true" : "false");
	a->acting = true;
	schedule_start(a->schedule);
}

/* --- start and end --- */

static int find_tunnel_process(struct agent *a)
{
	const struct client_params params = {
		.base = a->params.base,
		.starter = a->params.starter,
		.lost = agent_on_tunnel_process_lost,
		.connected = agent_on_tunnel_process,
		.context = a,
	};
	const struct settings *s = settings_get(a->params.settings);
	const int err = client_new(&params, &a->client);

	if (!err)
		client_set_log(a->client, s->log_level, s->log_format);
	return err;
}

/* A peer's endpoint has an address. */
static void on_name(void *context)
{
	struct agent *a = context;

	schedule_pass(a->schedule);
}

static int make_tunnels(struct agent *a)
{
	for (int i = 0; i < N_TUNNELS; i++) {
		const struct tunnel_params params = {
			.base = a->params.base,
			.client = a->client,
			.family = agent_families[i],
			.changed = agent_on_tunnel_changed,
			.context = a,
		};

		a->tunnels[i] = tunnel_new(&params);
		if (!a->tunnels[i])
			return -ENOMEM;
	}
	a->first_line = first_line_new();
	a->announcer = announcer_new();
	a->names = names_new(a->params.base, on_name, a);
	return a->first_line && a->announcer && a->names ? 0 : -ENOMEM;
}

static int watch_devices(struct agent *a)
{
	return exit_filters_new(a->params.base, &a->exit_filters);
}

/* An update may start us before the agent that we follow has ended. Nothing is changed before we
 * have the lock, and that agent closes its HTTP port before it gives the lock up. */
static int take_lock(struct agent *a)
{
	bool told = false;
	int err;

	do {
		err = lock_file_take(AGENT_LOCK, &a->lock_file);
		if (err != -EWOULDBLOCK)
			return err;
		if (!told)
			log_info("another agent runs on this machine: this one waits until it ends",
				 "lock=%s", AGENT_LOCK);
		told = true;
		err = event_pause(a->params.base, LOCK_FILE_PAUSE_MS);
	} while (!err);
	return err;
}

static int make_registry(struct agent *a)
{
	a->registry = registry_new(REGISTRY_FILE);
	return a->registry ? 0 : -ENOMEM;
}

static int watch_network(struct agent *a)
{
	const struct schedule_params params = {
		.base = a->params.base,
		.pass = agent_pass,
		.repair = agent_repair,
		.tick = agent_tick,
		.context = a,
	};

	return schedule_new(&params, &a->schedule);
}

static int serve_status(struct agent *a)
{
	return status_new(a->params.base, agent_describe, a, &a->status);
}

static int open_store(struct agent *a)
{
	const struct store_params params = {
		.url = a->params.store,
		.base = a->params.base,
		.events = {agent_on_node, agent_on_settings, agent_on_synced, a},
		.node = a->params.node,
		.memory = MEMORY,
	};

	int err;

	agent_apply_first_line_settings(a);
	err = store_open(&params, &a->store);
	if (!err)
		store_set_route_source(a->store, settings_get(a->params.settings)->route_source);
	return err;
}

/* The lock comes before all steps that change something on the machine. */
static const struct step {
	const char *name;
	int (*take)(struct agent *a);
} steps[] = {
	{"lock", take_lock},
	{"tunnel process", find_tunnel_process},
	{"memory", make_tunnels},
	{"watching the node's devices", watch_devices},
	{"memory", make_registry},
	{"watching the network", watch_network},
	{"status socket", serve_status},
	{"store", open_store},
};

int agent_new(const struct agent_params *params, struct agent **out)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->params = *params;
	a->log_level = settings_get(params->settings)->log_level;
	self_init(&a->self, &a->params);
	a->lock_file = -1;
	for (const struct step *s = steps; s < steps + sizeof(steps) / sizeof(*steps); s++) {
		const int err = s->take(a);

		if (!err)
			continue;
		if (err != -ECANCELED)
			log_error("the agent cannot start", "step=\"%s\" errno=%d error=\"%s\"",
				  s->name, -err, strerror(-err));
		/* Leave no tunnel process that nobody uses. One with devices does not end. */
		if (a->client && params->starter >= 0) {
			client_wait(a->client); /* it may be starting */
			client_quit(a->client);
		}
		agent_free(a, false);
		return err;
	}
	/* What was known is in force before this: strict mode waits for no tunnel process. */
	replay_memory(a);
	client_wait(a->client);
	if (store_is_remote(a->store))
		release_hosts(a, true);
	if (params->http)
		a->http = agent_http_start(params->base, params->http, agent_describe, a);
	*out = a;
	return 0;
}

/* Removes our key from the store before the tunnels are removed. State and key are set together, so
 * that one write to the store has both. */
static void withdraw(struct agent *a)
{
	memset(a->self.record.key4, 0, sizeof(a->self.record.key4));
	memset(a->self.record.key6, 0, sizeof(a->self.record.key6));
	a->self.record.stopped4 = a->self.record.stopped6 = true;
	announcer_withdraw(a->store);
	/* Publish in any case: an earlier write with our key may still be under way. */
	a->published = false;
	agent_publish(a);
	store_flush(a->store, FLUSH_MS);
}

/* Removes what earlier agents left and the other parts do not know of. */
static void remove_rest(void)
{
	struct leftovers_remains r;

	if (leftovers_clear(&r))
		log_error("some leftovers could not be removed",
			  "found=%zu needs=\"podveil agent --cleanup, which lists them\"", r.found);
	free(r.remaining);
}

void agent_free(struct agent *a, bool cleanup)
{
	if (!a)
		return;
	/* This comes first: store_flush() runs the event loop, and a pass or a tick there would
	 * publish again what we are removing. */
	if (a->schedule)
		schedule_stop(a->schedule);
	if (cleanup && a->store && a->synced)
		withdraw(a);
	if (cleanup)
		source_check_by_mark(false);
	for (int i = 0; i < N_TUNNELS; i++) {
		tunnel_free(a->tunnels[i], cleanup);
		if (cleanup && a->client)
			tunnel_remove(a->client, agent_families[i]);
		plan_fini(&a->plans[i]);
	}
	if (!cleanup && a->store && store_is_remote(a->store))
		release_hosts(a, false);
	if (cleanup && a->client)
		client_quit(a->client);
	client_free(a->client);
	if (cleanup)
		first_line_cleanup();
	first_line_free(a->first_line);
	exit_filters_free(a->exit_filters, cleanup);
	agent_http_free(a->http);
	status_free(a->status);
	announcer_free(a->announcer);
	names_free(a->names);
	store_close(a->store);
	if (cleanup && a->lock_file >= 0)
		unlink(MEMORY);
	schedule_free(a->schedule);
	if (a->registry && !cleanup)
		registry_save(a->registry);
	if (cleanup)
		unlink(REGISTRY_FILE);
	registry_free(a->registry);
	rtnl_close(&a->route_questions);
	nodes_fini(&a->nodes);
	record_fini(&a->self.record);
	free(a->conflicts);
	if (a->lock_file >= 0) {
		if (cleanup) {
			remove_rest();
			unlink(AGENT_LOCK);
		}
		close(a->lock_file);
	}
	free(a);
}

/* The tunnel process of a dead agent, if there is one. */
static void end_tunnel_process(void)
{
	const struct client_params only_look = {.starter = -1};
	struct client *c;

	if (client_new(&only_look, &c))
		return;
	for (int i = 0; i < N_TUNNELS; i++)
		tunnel_remove(c, agent_families[i]);
	client_quit(c);
	client_free(c);
}

int agent_cleanup(struct leftovers_remains *r)
{
	int lock, err = lock_file_take(AGENT_LOCK, &lock);

	*r = (struct leftovers_remains){.remaining = NULL};
	if (err)
		return err;
	end_tunnel_process();
	err = leftovers_clear(r);
	unlink(AGENT_LOCK);
	rmdir(AGENT_STATE_DIRECTORY); /* fails, as it should, if `podveil device` has files there */
	close(lock);
	return err;
}
