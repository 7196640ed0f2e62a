/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in a Kubernetes API server. Records come from Nodes and from the objects that say which
 * pod addresses a node has (store/kubernetes/addresses/address_sources.h), settings from custom
 * resources. We write only annotations and a condition of our own Node, and Events.
 *
 *   kubernetes             settings in podveilconfigurations.podveil.io
 *   kubernetes:RESOURCE    settings there: felixconfigurations.crd.projectcalico.org, or
 *                          felixconfigurations.projectcalico.org (Calico's newer group)
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_text.h"
#include "base/log.h"
#include "store/http/rest.h"
#include "store/kubernetes/addresses/address_sources.h"
#include "store/kubernetes/cluster.h"
#include "store/kubernetes/kubeconfig.h"
#include "store/kubernetes/kubernetes_resource.h"
#include "store/kubernetes/kubernetes_set.h"
#include "store/kubernetes/node_status.h"
#include "store/kubernetes/reflector.h"
#include "store/kubernetes/status_object.h"
#include "store/memory.h"
#include "store/settings_json.h"
#include "store/store.h"

/* When a CustomResourceDefinition is removed, its objects are reported as deleted first. So wait,
 * then list again to see whether the resource still exists. */
#define CONFIRM_MS 3000

enum { NODES, CONFIG, N_COLLECTIONS };

struct kubernetes;

/* A collection that is watched. */
struct collection {
	struct kubernetes *k;
	const char *what;
	bool listed; /* it was listed once, or found missing */
	struct reflector_list last;
	struct reflector *reflector;
};

struct kubernetes {
	const struct store_place *place;
	const struct kubernetes_resource *resource;
	struct rest *rest;
	struct cluster *cluster;
	struct address_sources *sources;
	struct collection collections[N_COLLECTIONS];
	struct event *on_begin;
	enum store_key owners[2]; /* see store_key_owners() */
	struct node_status *own;
	char uid[64];	   /* of our own Node */
	bool seen;	   /* our Node is in the list under way */
	bool there;	   /* our Node exists */
	size_t problems;   /* of the object that is being read */
	bool settings_due; /* judge_settings() has to handle a list */
	bool synced;
};

/* Sets a problem. True: it is new. */
static bool complain(struct kubernetes *k, enum health_extent extent, const char *what,
		     const char *problem)
{
	return health_set_problem(k->place->health, extent, what, problem);
}

/* --- nodes --- */

static void on_record(void *context, const char *name, const struct node_record *r)
{
	struct kubernetes *k = context;

	if (r)
		memory_put_node(k->place->memory, r);
	else
		memory_delete(k->place->memory, MEMORY_NODES, name);
	if (k->own)
		node_status_check(k->own, name);
}

/* A node that the memory knows stays, even if a list does not have it. */
static bool keep(void *context, const char *name)
{
	const struct kubernetes *k = context;

	return memory_find(k->place->memory, MEMORY_NODES, name);
}

static void on_problem(void *context, const char *object, const char *what)
{
	struct kubernetes *k = context;

	/* Report only the first problem of an object. The next one follows when that is
	 * repaired. */
	if (!k->problems++ && complain(k, HEALTH_PART, object, what))
		log_warn("store: a part of an object is not used", "object=%s problem=\"%s\"",
			 object, what);
}

static const char *metadata_text(const json_t *o, const char *member)
{
	return json_text(json_object_get(o, "metadata"), member);
}

static void on_node(struct kubernetes *k, const json_t *o, bool gone)
{
	const char *name = metadata_text(o, "name"), *uid = metadata_text(o, "uid");
	const bool ours = k->place->node && !strcmp(name, k->place->node);

	cluster_object(k->cluster, CLUSTER_NODES, o, gone);
	if (!*name)
		return;
	if (ours) {
		snprintf(k->uid, sizeof(k->uid), "%s", uid);
		k->seen = k->there = !gone;
	}
	if (gone)
		memory_delete(k->place->memory, MEMORY_NODES, name);
	else
		memory_put_unusable(k->place->memory, MEMORY_NODES, name);
}

static bool ours_missing(const struct kubernetes *k)
{
	return k->place->node && !k->there;
}

static void nodes_listed(struct kubernetes *k, const struct reflector_list *l)
{
	struct memory_list list = {.revision = l->revision};

	k->there = k->seen;
	if (k->there)
		list.identity = k->uid;
	if (l->passed_over)
		list.doubt = "an object in the list could not be read";
	else if (ours_missing(k))
		list.doubt = "our own Node is not in the list";
	memory_list_end(k->place->memory, MEMORY_NODES, &list);
	reflector_lost(k->collections[NODES].reflector,
		       memory_lost(k->place->memory, MEMORY_NODES));
	cluster_list_end(k->cluster, CLUSTER_NODES, true);
}

/* --- settings --- */

static void on_settings(struct kubernetes *k, const json_t *o, bool gone)
{
	struct collection *c = &k->collections[CONFIG];
	const char *name = metadata_text(o, "name"), *node;
	char source[400];

	if (!settings_json_node(name, &node))
		return;
	if (gone) {
		memory_expect_deletion(k->place->memory, MEMORY_SETTINGS, node);
		reflector_list_again(c->reflector, CONFIRM_MS);
		return;
	}
	snprintf(source, sizeof(source), "%s/%.253s", k->resource->name, name);
	settings_json_remember(k->place->memory, node, json_object_get(o, "spec"), source);
}

/* Our own Node identifies the server. So a list of settings is handled only when Nodes were
 * listed. */
static void judge_settings(struct kubernetes *k)
{
	const struct reflector_list *l = &k->collections[CONFIG].last;
	const struct memory_list list = {
		.identity = k->there ? k->uid : NULL,
		.revision = l->revision,
		.doubt = !l->there	   ? "the resource is not installed"
			 : l->passed_over  ? "an object in the list could not be read"
			 : ours_missing(k) ? "our own Node is missing"
					   : NULL,
	};

	if (!k->settings_due || !k->collections[NODES].listed)
		return;
	k->settings_due = false;
	memory_list_end(k->place->memory, MEMORY_SETTINGS, &list);
	reflector_lost(k->collections[CONFIG].reflector,
		       memory_lost(k->place->memory, MEMORY_SETTINGS));
}

static void settings_listed(struct kubernetes *k, const struct reflector_list *l)
{
	const bool known = memory_count(k->place->memory, MEMORY_SETTINGS) > 0;

	k->settings_due = true;
	if (l->there)
		health_clear_problem(k->place->health, k->resource->kind);
	else if (complain(k, known ? HEALTH_BLIND : HEALTH_PART, k->resource->kind,
			  "its resource is not installed"))
		log_warn("store: the resource with the settings is not installed",
			 "resource=%s needs=\"its CustomResourceDefinition\"%s", k->resource->name,
			 known ? " settings=unchanged" : "");
}

/* --- everything was read --- */

/* The source of pod addresses is a setting, and `auto` looks at Nodes. So both come first. */
static void progress(void *context)
{
	struct kubernetes *k = context;

	if (!k->collections[NODES].listed || !k->collections[CONFIG].listed ||
	    !address_sources_are_read(k->sources))
		return;
	k->synced = true;
	k->place->synced(k->place->context);
}

/* --- callbacks of the reflectors --- */

static void begin_object(void *context)
{
	struct kubernetes *k = context;

	k->problems = 0;
}

static void end_object(void *context, const char *what)
{
	struct kubernetes *k = context;

	if (!k->problems)
		health_clear_problem(k->place->health, what);
}

static void on_object(void *context, const json_t *o, bool gone)
{
	struct collection *c = context;
	struct kubernetes *k = c->k;
	const char *name = metadata_text(o, "name");
	char object[300];

	k->place->health->last_sync = (uint64_t)time(NULL);
	begin_object(k);
	if (c == &k->collections[NODES])
		on_node(k, o, gone);
	else
		on_settings(k, o, gone);
	snprintf(object, sizeof(object), "%s/%.253s", c->what, name);
	end_object(k, object);
	/* A list decides at its end. */
	if (c == &k->collections[NODES] && c->listed && k->collections[CONFIG].listed)
		address_sources_decide(k->sources);
}

static void on_listing(void *context)
{
	struct collection *c = context;
	struct kubernetes *k = c->k;

	if (c == &k->collections[NODES]) {
		k->seen = false;
		memory_list_begin(k->place->memory, MEMORY_NODES);
		cluster_list_begin(k->cluster, CLUSTER_NODES);
	} else {
		memory_list_begin(k->place->memory, MEMORY_SETTINGS);
	}
}

static void on_listed(void *context, const struct reflector_list *l)
{
	struct collection *c = context;
	struct kubernetes *k = c->k;

	k->place->health->last_sync = (uint64_t)time(NULL);
	if (c == &k->collections[NODES])
		nodes_listed(k, l);
	else
		settings_listed(k, l);
	c->last = *l;
	c->listed = true;
	judge_settings(k);
	if (!k->collections[NODES].listed || !k->collections[CONFIG].listed)
		return;
	address_sources_decide(k->sources);
	progress(k);
}

static void on_watch_problem(void *context, const struct reflector_problem *p)
{
	const struct collection *c = context;

	if (!p) {
		if (health_clear_problem(c->k->place->health, c->what))
			log_info("store: recovered", "resource=%s", c->what);
		return;
	}
	if (complain(c->k, p->blind ? HEALTH_BLIND : HEALTH_PART, c->what, p->what))
		log_warn("store: the API server cannot be read", "resource=%s problem=\"%s\"",
			 c->what, p->what);
}

static int watch(struct kubernetes *k, int which, const char *what, const char *path)
{
	struct collection *c = &k->collections[which];
	const struct reflector_params p = {
		.base = k->place->base,
		.rest = k->rest,
		.path = path,
		.optional = which != NODES,
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_watch_problem,
		.context = c,
	};

	c->k = k;
	c->what = what;
	c->reflector = reflector_new(&p);
	return c->reflector ? 0 : -ENOMEM;
}

static void on_begin(evutil_socket_t fd, short what, void *context)
{
	struct kubernetes *k = context;

	(void)fd;
	(void)what;
	address_sources_begin(k->sources);
	if (watch(k, CONFIG, k->resource->name, k->resource->path) ||
	    watch(k, NODES, "nodes", "/api/v1/nodes"))
		log_error("no memory to watch the API server", "store=kubernetes");
}

/* --- interface --- */

static void close_kubernetes(void *self)
{
	struct kubernetes *k = self;

	if (!k)
		return;
	if (k->on_begin)
		event_free(k->on_begin);
	node_status_free(k->own);
	for (int i = 0; i < N_COLLECTIONS; i++)
		reflector_free(k->collections[i].reflector);
	address_sources_free(k->sources);
	rest_free(k->rest);
	cluster_free(k->cluster);
	free(k);
}

static int own(struct kubernetes *k, const char *name)
{
	if (!k->own)
		k->own = node_status_new(k->place->base, k->rest, k->cluster, name);
	return k->own ? 0 : -ENOMEM;
}

static struct address_sources *make_sources(struct kubernetes *k)
{
	const struct address_sources_params p = {
		.place = k->place,
		.rest = k->rest,
		.cluster = k->cluster,
		.blocks_path = k->resource->blocks,
		.begin_object = begin_object,
		.end_object = end_object,
		.progress = progress,
		.context = k,
	};

	return address_sources_new(&p);
}

static int open_kubernetes(const char *where, const struct store_place *place, void **self)
{
	const struct timeval now = {0, 0};
	struct kubernetes *k = calloc(1, sizeof(*k));
	struct cluster_events nodes = {
		.node = on_record, .keep = keep, .problem = on_problem, .context = k};
	struct credentials as = {.insecure = false};
	char problem[500] = "";
	int err = -EINVAL;

	if (!k)
		return -ENOMEM;
	k->place = place;
	k->resource = kubernetes_resource_of_store(where);
	if (!k->resource)
		goto fail;
	err = kubeconfig_find(SERVICE_ACCOUNT, &as, problem, sizeof(problem));
	if (err) {
		log_error("the API server's address and our credentials are not known",
			  "store=kubernetes problem=\"%s\"", problem);
		goto fail;
	}
	err = rest_new(place->base, &as, "/version", &k->rest);
	if (err)
		goto fail;
	err = -ENOMEM;
	k->cluster = cluster_new(&nodes);
	k->on_begin = evtimer_new(place->base, on_begin, k);
	k->sources = k->cluster ? make_sources(k) : NULL;
	if (!k->sources || !k->on_begin || evtimer_add(k->on_begin, &now))
		goto fail;
	/* Made before the first record is published, so that earlier states and Events are not
	 * lost. */
	if (place->node && own(k, place->node))
		goto fail;
	*self = k;
	return 0;
fail:
	close_kubernetes(k);
	return err;
}

static int publish(void *self, const struct node_record *r)
{
	struct kubernetes *k = self;
	int err = own(k, r->name);

	if (!err)
		node_status_key_owners(k->own, k->owners[0], k->owners[1]);
	if (!err)
		node_status_keys(k->own, r->key4, r->key6);
	return err;
}

static void state(void *self, const struct store_state *s)
{
	struct kubernetes *k = self;

	if (k->own)
		node_status_condition(k->own, s);
}

static void event(void *self, const char *reason, const char *message)
{
	struct kubernetes *k = self;

	if (k->own)
		node_status_event(k->own, reason, message);
}

static void flush(void *self, unsigned int ms)
{
	struct kubernetes *k = self;

	if (k->own)
		node_status_flush(k->own, ms);
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	struct kubernetes *k = self;

	evtimer_del(k->on_begin); /* do not watch nodes: a command that sets does not need them */
	return kubernetes_set(k->place->base, k->rest, k->resource, node, changes, n);
}

static void key_owners(void *self, enum store_key v4, enum store_key v6)
{
	struct kubernetes *k = self;

	k->owners[0] = v4;
	k->owners[1] = v6;
	if (k->own)
		node_status_key_owners(k->own, v4, v6);
}

static void route_source(void *self, enum route_source wanted)
{
	address_sources_want(((struct kubernetes *)self)->sources, wanted);
}

static const char *peer(const void *self)
{
	return rest_peer(((const struct kubernetes *)self)->rest);
}

const struct store_kind store_kubernetes = {
	.key_owners = key_owners,
	.route_source = route_source,
	.peer = peer,
	.remote = true,
	.prefix = "kubernetes",
	.open = open_kubernetes,
	.close = close_kubernetes,
	.publish = publish,
	.set = set,
	.state = state,
	.event = event,
	.flush = flush,
};
