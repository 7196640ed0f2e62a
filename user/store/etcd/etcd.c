/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in an etcd cluster (v3):
 *
 *   /podveil/nodes/NAME         the record of a node, on a lease that its agent keeps alive
 *   /podveil/config/default     settings of the cluster: one flat JSON object
 *   /podveil/config/node.NAME   settings of a node
 *
 * If a record disappears because its lease expired, nobody deleted it: the node may only be cut off
 * from etcd. If we forgot it, we would send to its pods in plain. So the record stays in force
 * until it comes back, or until another node publishes its ranges. A record or settings document
 * that somebody deletes is forgotten at once.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/event_wait.h"
#include "base/log.h"
#include "store/etcd/etcd_client.h"
#include "store/etcd/etcd_lease.h"
#include "store/etcd/etcd_records.h"
#include "store/etcd/etcd_set.h"
#include "store/etcd/etcd_watch.h"
#include "store/memory.h"
#include "store/settings_json.h"
#include "store/store.h"

#define PREFIX "/podveil/"
#define NODES  PREFIX "nodes/"
#define CONFIG PREFIX "config/"

struct etcd {
	const struct store_place *place;
	struct etcd_client *client;
	struct etcd_watch *watch;
	struct etcd_lease *own;
	char *own_key;
	bool own_seen; /* our own key is in the list under way */
	struct event *on_begin;
	struct etcd_records records;
};

/* --- callbacks of the watch --- */

static int put_settings(struct etcd *e, const struct etcd_key *at, char *problem, size_t room)
{
	json_error_t error;
	const char *node;
	json_t *o;

	if (!settings_json_node(at->key + strlen(CONFIG), &node)) {
		snprintf(problem, room, "the name is neither default nor node.NAME");
		return -EINVAL;
	}
	o = json_loadb(at->value, at->len, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(o)) {
		snprintf(problem, room, "line %d: %s", o ? 1 : error.line,
			 o ? "not a JSON object" : error.text);
		json_decref(o);
		return -EINVAL;
	}
	settings_json_remember(e->place->memory, node, o, at->key);
	json_decref(o);
	return 0;
}

/* The kind and name of a key: a node's record, or settings ("": the cluster's). False: neither. */
static bool name_of(const char *key, enum memory_kind *kind, const char **name)
{
	if (!strncmp(key, NODES, strlen(NODES))) {
		*kind = MEMORY_NODES;
		*name = key + strlen(NODES);
		return true;
	}
	*kind = MEMORY_SETTINGS;
	return !strncmp(key, CONFIG, strlen(CONFIG)) &&
	       settings_json_node(key + strlen(CONFIG), name);
}

/* Reports that a value is not used. The last valid one stays in force. */
static void report_unused(struct etcd *e, const char *key, const char *problem)
{
	enum memory_kind kind;
	const char *name;

	if (name_of(key, &kind, &name))
		memory_put_unusable(e->place->memory, kind, name);
	if (health_set_problem(e->place->health, HEALTH_PART, key, problem))
		log_warn("store: a key is not used", "key=%.200s problem=\"%s\"", key, problem);
}

static void key_gone(struct etcd *e, const char *key)
{
	enum memory_kind kind;
	const char *name;

	health_clear_problem(e->place->health, key);
	if (!name_of(key, &kind, &name))
		return;
	if (kind == MEMORY_NODES)
		etcd_records_gone(&e->records, name);
	else
		memory_delete(e->place->memory, kind, name);
}

static void on_key(void *context, const struct etcd_key *at)
{
	struct etcd *e = context;
	char problem[200] = "the key is not below nodes/ or config/";
	int err = -EINVAL;

	e->place->health->last_sync = (uint64_t)time(NULL);
	if (e->own && !strcmp(at->key, e->own_key)) {
		e->own_seen = true;
		etcd_lease_observed(e->own, at->value, at->lease);
	}
	if (!at->value) {
		key_gone(e, at->key);
		return;
	}
	if (!strncmp(at->key, NODES, strlen(NODES)))
		err = etcd_records_put(&e->records, at->key + strlen(NODES), at, problem,
				       sizeof(problem));
	else if (!strncmp(at->key, CONFIG, strlen(CONFIG)))
		err = put_settings(e, at, problem, sizeof(problem));
	if (err)
		report_unused(e, at->key, problem);
	else if (health_clear_problem(e->place->health, at->key))
		log_info("store: recovered", "key=%.200s", at->key);
}

static void on_too_large(void *context, const char *key)
{
	struct etcd *e = context;
	char problem[80];

	if (e->own && !strcmp(key, e->own_key))
		etcd_lease_observed(e->own, "", 0);
	snprintf(problem, sizeof(problem), "the value is larger than %u MiB",
		 ETCD_WATCH_MAX_BYTES >> 20);
	report_unused(e, key, problem);
}

static void on_listing(void *context)
{
	struct etcd *e = context;

	e->own_seen = e->records.older = false;
	memory_list_begin(e->place->memory, MEMORY_NODES);
	memory_list_begin(e->place->memory, MEMORY_SETTINGS);
}

static void on_listed(void *context, const struct etcd_place *at)
{
	struct etcd *e = context;
	struct memory_list l = {
		.identity = at->cluster,
		.revision = (uint64_t)at->revision,
		.doubt = e->records.older ? "etcd went back to an older state" : NULL,
		.ours_may_miss = true,
		.deleted = etcd_records_missing,
		.context = &e->records,
	};

	e->place->health->last_sync = (uint64_t)time(NULL);
	if (e->own && !e->own_seen)
		etcd_lease_observed(e->own, NULL, 0);
	memory_list_end(e->place->memory, MEMORY_NODES, &l);
	l.deleted = NULL;
	memory_list_end(e->place->memory, MEMORY_SETTINGS, &l);
	e->place->synced(e->place->context);
}

static void on_watch_problem(void *context, const char *what)
{
	struct etcd *e = context;

	if (!what) {
		if (health_clear_problem(e->place->health, "etcd"))
			log_info("store: recovered", "store=etcd");
	} else if (health_set_problem(e->place->health, HEALTH_BLIND, "etcd", what)) {
		log_warn("store: etcd cannot be read", "problem=\"%s\"", what);
	}
}

static void on_begin(evutil_socket_t fd, short what, void *context)
{
	struct etcd *e = context;
	const struct etcd_watch_params p = {
		.base = e->place->base,
		.client = e->client,
		.prefix = PREFIX,
		.key = on_key,
		.too_large = on_too_large,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_watch_problem,
		.context = e,
	};

	(void)fd;
	(void)what;
	e->watch = etcd_watch_new(&p);
	if (!e->watch)
		log_error("no memory to watch etcd", "store=etcd");
}

/* --- interface --- */

static void close_etcd(void *self)
{
	struct etcd *e = self;

	if (!e)
		return;
	if (e->on_begin)
		event_free(e->on_begin);
	etcd_watch_free(e->watch);
	etcd_lease_free(e->own);
	etcd_records_fini(&e->records);
	etcd_client_free(e->client);
	free(e->own_key);
	free(e);
}

static int open_etcd(const char *where, const struct store_place *place, void **self)
{
	const struct timeval now = {0, 0};
	struct etcd *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->place = place;
	err = etcd_client_new(place->base, where, &e->client);
	etcd_records_init(&e->records, place, e->client);
	if (!err) {
		e->on_begin = evtimer_new(place->base, on_begin, e);
		err = e->on_begin && !evtimer_add(e->on_begin, &now) ? 0 : -ENOMEM;
	}
	if (err)
		close_etcd(e);
	else
		*self = e;
	return err;
}

static int own(struct etcd *e, const char *name)
{
	if (!e->own_key && asprintf(&e->own_key, NODES "%s", name) < 0) {
		e->own_key = NULL;
		return -ENOMEM;
	}
	if (!e->own)
		e->own = etcd_lease_new(e->place->base, e->client, e->own_key);
	return e->own ? 0 : -ENOMEM;
}

static int publish(void *self, const struct node_record *r)
{
	struct etcd *e = self;
	char *text = record_format(r);
	int err = text ? own(e, r->name) : -ENOMEM;

	if (!err)
		err = etcd_lease_put(e->own, text);
	free(text);
	return err;
}

static bool is_written(void *context)
{
	const struct etcd *e = context;

	return !e->own || etcd_lease_is_written(e->own);
}

static void flush(void *self, unsigned int ms)
{
	struct etcd *e = self;

	event_wait(e->place->base, ms, is_written, e);
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	struct etcd *e = self;
	char *name = settings_json_name(node), *key = NULL;
	int err = -ENOMEM;

	evtimer_del(e->on_begin); /* do not watch nodes: a command that sets does not need them */
	if (name && asprintf(&key, CONFIG "%s", name) >= 0)
		err = etcd_set(e->place->base, e->client, key, changes, n);
	free(key);
	free(name);
	return err;
}

static const char *peer(const void *self)
{
	return etcd_peer(((const struct etcd *)self)->client);
}

const struct store_kind store_etcd = {
	.peer = peer,
	.remote = true,
	.prefix = "etcd:",
	.open = open_etcd,
	.close = close_etcd,
	.publish = publish,
	.set = set,
	.flush = flush,
};
