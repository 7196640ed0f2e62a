/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is a Kubernetes API server. Nodes and Calico's IPAM blocks become records
 * (store/cluster.h), custom resources become settings; what is ours goes into annotations and a
 * condition of our own Node, and into Events.
 *
 *   kubernetes             settings in podveilconfigurations.podveil.io
 *   kubernetes:RESOURCE    settings there: felixconfigurations.crd.projectcalico.org, or
 *                          felixconfigurations.projectcalico.org (Calico's newer group)
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/log.h"
#include "store/cluster.h"
#include "store/document.h"
#include "store/kubeconfig.h"
#include "store/node_status.h"
#include "store/reflector.h"
#include "store/rest.h"
#include "store/status_object.h"
#include "store/store.h"

#define CALL_MS 10000

static const struct resource {
	const char *name; /* plural.group */
	const char *path; /* of the settings */
	const char *kind, *api_version;
	const char *blocks; /* path of Calico's IPAM blocks beside it */
} resources[] = {
	{"podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations",
	 "PodveilConfiguration", "podveil.io/v1", "/apis/crd.projectcalico.org/v1/ipamblocks"},
	{"felixconfigurations.crd.projectcalico.org",
	 "/apis/crd.projectcalico.org/v1/felixconfigurations", "FelixConfiguration",
	 "crd.projectcalico.org/v1", "/apis/crd.projectcalico.org/v1/ipamblocks"},
	{"felixconfigurations.projectcalico.org", "/apis/projectcalico.org/v3/felixconfigurations",
	 "FelixConfiguration", "projectcalico.org/v3", "/apis/projectcalico.org/v3/ipamblocks"},
};

enum { NODES, BLOCKS, CONFIG, N_COLLECTIONS };

struct kubernetes;

/* A collection that is watched. */
struct collection {
	struct kubernetes *k;
	const char *what;
	bool listed, missing;
	struct reflector *reflector;
};

/* A settings object that was told. */
struct told {
	char *name;
	bool seen;
	struct told *next;
};

struct kubernetes {
	struct event_base *base;
	struct store_events events;
	struct store_health health;
	const struct resource *resource;
	struct rest *rest;
	struct cluster *cluster;
	struct collection collections[N_COLLECTIONS];
	struct told *told;
	struct event *on_begin;
	bool foreign[2]; /* see store_foreign_keys() */
	struct node_status *own;
	bool synced;
};

static void complain(struct kubernetes *k, const char *what, const char *problem)
{
	k->health.errors++;
	snprintf(k->health.last_error, sizeof(k->health.last_error), "%.250s: %.250s", what,
		 problem);
}

/* --- nodes and blocks --- */

static void on_record(void *context, const char *name, const struct node_record *r)
{
	struct kubernetes *k = context;

	k->events.node(k->events.context, name, r);
	if (k->own)
		node_status_look(k->own, name);
}

static void on_problem(void *context, const char *object, const char *what)
{
	complain(context, object, what);
	log_warn("store: a part of an object is not used", "object=%s problem=\"%s\"", object,
		 what);
}

/* --- settings --- */

static void tell_settings(struct kubernetes *k, const char *name, const json_t *spec)
{
	char source[400];
	const char *node;

	snprintf(source, sizeof(source), "%s/%.253s", k->resource->name, name);
	if (document_node(name, &node))
		document_tell(&k->events, node, spec, source);
}

static void on_settings(struct kubernetes *k, const json_t *o, bool gone)
{
	const json_t *metadata = json_object_get(o, "metadata");
	const char *name = json_string_value(json_object_get(metadata, "name")), *node;
	struct told **at = &k->told, *t;

	if (!name || !document_node(name, &node))
		return;
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	t = *at;
	if (gone && t) {
		*at = t->next;
		free(t->name);
		free(t);
	} else if (!gone && !t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return;
		t->name = strdup(name);
		*at = t;
	}
	if (!gone)
		t->seen = true;
	tell_settings(k, name, gone ? NULL : json_object_get(o, "spec"));
}

static void forget_unseen_settings(struct kubernetes *k)
{
	struct told **at = &k->told;

	while (*at) {
		struct told *t = *at;

		if (t->seen) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		tell_settings(k, t->name, NULL);
		free(t->name);
		free(t);
	}
}

/* --- what the reflectors say --- */

static void on_object(void *context, const json_t *o, bool gone)
{
	const struct collection *c = context;
	struct kubernetes *k = c->k;

	k->health.last_sync = (uint64_t)time(NULL);
	if (c == &k->collections[NODES])
		cluster_node(k->cluster, o, gone);
	else if (c == &k->collections[BLOCKS])
		cluster_block(k->cluster, o, gone);
	else
		on_settings(k, o, gone);
}

static void on_listing(void *context)
{
	const struct collection *c = context;
	struct kubernetes *k = c->k;

	if (c == &k->collections[NODES])
		cluster_listing(k->cluster, CLUSTER_NODES);
	else if (c == &k->collections[BLOCKS])
		cluster_listing(k->cluster, CLUSTER_BLOCKS);
	else
		for (struct told *t = k->told; t; t = t->next)
			t->seen = false;
}

static void on_listed(void *context, bool there)
{
	struct collection *c = context;
	struct kubernetes *k = c->k;
	bool all = true;

	k->health.last_sync = (uint64_t)time(NULL);
	if (c == &k->collections[NODES])
		cluster_listed(k->cluster, CLUSTER_NODES);
	else if (c == &k->collections[BLOCKS])
		cluster_listed(k->cluster, CLUSTER_BLOCKS);
	else
		forget_unseen_settings(k);
	if (!there && !c->missing && c == &k->collections[CONFIG]) {
		complain(k, k->resource->name, "is not installed");
		log_warn("store: the resource with the settings is not installed",
			 "resource=%s needs=\"its CustomResourceDefinition\"", k->resource->name);
	}
	c->missing = !there;
	c->listed = true;
	for (int i = 0; i < N_COLLECTIONS; i++)
		all &= k->collections[i].listed;
	if (!all)
		return;
	k->synced = true;
	k->events.synced(k->events.context);
}

static void on_trouble(void *context, const char *what)
{
	const struct collection *c = context;

	if (!what) {
		log_info("store: in order again", "resource=%s", c->what);
		return;
	}
	complain(c->k, c->what, what);
	log_warn("store: the API server cannot be read", "resource=%s problem=\"%s\"", c->what,
		 what);
}

static int watch(struct kubernetes *k, int which, const char *what, const char *path)
{
	struct collection *c = &k->collections[which];
	const struct reflector_params p = {
		.base = k->base,
		.rest = k->rest,
		.path = path,
		.optional = which != NODES,
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.trouble = on_trouble,
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
	if (watch(k, CONFIG, k->resource->name, k->resource->path) ||
	    watch(k, BLOCKS, "ipamblocks", k->resource->blocks) ||
	    watch(k, NODES, "nodes", "/api/v1/nodes"))
		log_error("no memory to watch the API server", "store=kubernetes");
}

/* --- the seam --- */

static void close_kubernetes(void *self)
{
	struct kubernetes *k = self;
	struct told *next;

	if (!k)
		return;
	if (k->on_begin)
		event_free(k->on_begin);
	node_status_free(k->own);
	for (int i = 0; i < N_COLLECTIONS; i++)
		reflector_free(k->collections[i].reflector);
	rest_free(k->rest);
	cluster_free(k->cluster);
	for (struct told *t = k->told; t; t = next) {
		next = t->next;
		free(t->name);
		free(t);
	}
	free(k);
}

static const struct resource *resource_of(const char *where)
{
	const size_t n = sizeof(resources) / sizeof(*resources);

	if (!*where)
		return &resources[0];
	for (size_t i = 0; i < n && *where == ':'; i++)
		if (!strcmp(where + 1, resources[i].name))
			return &resources[i];
	log_error("no such resource for settings",
		  "store=kubernetes%s needs=\"kubernetes:%s, %s or %s\"", where, resources[0].name,
		  resources[1].name, resources[2].name);
	return NULL;
}

static int open_kubernetes(const char *where, struct event_base *base,
			   const struct store_events *events, void **self)
{
	const struct timeval now = {0, 0};
	struct kubernetes *k = calloc(1, sizeof(*k));
	struct cluster_events nodes = {.node = on_record, .problem = on_problem, .context = k};
	struct credentials as = {.insecure = false};
	char problem[500] = "";
	int err = -EINVAL;

	if (!k)
		return -ENOMEM;
	k->base = base;
	k->events = *events;
	k->resource = resource_of(where);
	if (!k->resource)
		goto fail;
	err = kubeconfig_find(SERVICE_ACCOUNT, &as, problem, sizeof(problem));
	if (err) {
		log_error("the API server's address and our credentials are not known",
			  "store=kubernetes problem=\"%s\"", problem);
		goto fail;
	}
	err = rest_new(base, &as, "/version", &k->rest);
	if (err)
		goto fail;
	err = -ENOMEM;
	k->cluster = cluster_new(&nodes);
	k->on_begin = evtimer_new(base, on_begin, k);
	if (!k->cluster || !k->on_begin || evtimer_add(k->on_begin, &now))
		goto fail;
	*self = k;
	return 0;
fail:
	close_kubernetes(k);
	return err;
}

static int own(struct kubernetes *k, const char *name)
{
	if (!k->own)
		k->own = node_status_new(k->base, k->rest, k->cluster, name);
	return k->own ? 0 : -ENOMEM;
}

static int publish(void *self, const struct node_record *r)
{
	struct kubernetes *k = self;
	int err = own(k, r->name);

	if (!err)
		node_status_foreign_keys(k->own, k->foreign[0], k->foreign[1]);
	if (!err)
		node_status_keys(k->own, r->key4, r->key6);
	return err;
}

/* The Node is not ours to delete: our part of it goes. */
static int withdraw(void *self, const char *name)
{
	static const uint8_t none[32];
	struct kubernetes *k = self;
	int err = own(k, name);

	if (!err)
		node_status_keys(k->own, none, none);
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

/* --- writing settings: what a person's command does, so it may wait --- */

struct outcome {
	bool done;
	long status;
	char error[STATUS_OBJECT_TEXT];
};

static void on_outcome(void *context, const struct rest_answer *a)
{
	struct outcome *to = context;

	to->done = true;
	to->status = a->status;
	status_object_explain(a, to->error);
}

static int call(struct kubernetes *k, const char *method, const char *path, const char *type,
		const char *body, struct outcome *out)
{
	const struct rest_request q = {
		.method = method,
		.path = path,
		.content_type = type,
		.body = body,
		.timeout_ms = CALL_MS,
		.done = on_outcome,
		.context = out,
	};

	*out = (struct outcome){.done = false};
	if (!rest_start(k->rest, &q))
		return -ENOMEM;
	while (!out->done)
		if (event_base_loop(k->base, EVLOOP_ONCE) < 0)
			return -EIO;
	return 0;
}

static int errno_of(const struct outcome *o)
{
	switch (o->status) {
	case 0:
		return -EHOSTUNREACH;
	case 401:
	case 403:
		return -EACCES;
	case 404:
		return -ENOENT;
	case 422:
		return -EINVAL;
	default:
		return o->status / 100 == 2 ? 0 : -EIO;
	}
}

/* An object with the changes, made new: those that remove something have nothing to do. */
static char *fresh_object(const struct kubernetes *k, const char *name, json_t *spec)
{
	json_t *o = json_pack("{s:s, s:s, s:{s:s}, s:O}", "apiVersion", k->resource->api_version,
			      "kind", k->resource->kind, "metadata", "name", name, "spec", spec);
	const char *member;
	char *text;
	json_t *v;
	void *next;

	json_object_foreach_safe(json_object_get(o, "spec"), next, member, v) if (json_is_null(v))
		json_object_del(json_object_get(o, "spec"), member);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	struct kubernetes *k = self;
	json_t *spec = json_object(), *patch;
	char *name = document_name(node), *path = NULL, *text = NULL;
	struct outcome o = {.status = 0};
	int err = -ENOMEM;

	evtimer_del(k->on_begin); /* nobody needs to know the nodes for this */
	for (unsigned int i = 0; i < n; i++)
		json_object_set_new(spec, changes[i].name,
				    changes[i].value ? document_value(&changes[i]) : json_null());
	patch = json_pack("{s:O}", "spec", spec);
	text = json_dumps(patch, JSON_COMPACT);
	json_decref(patch);
	if (name && text && asprintf(&path, "%s/%s", k->resource->path, name) >= 0)
		err = call(k, "PATCH", path, "application/merge-patch+json", text, &o);
	if (!err && o.status == 404) {
		free(text);
		text = fresh_object(k, name, spec);
		err = text ? call(k, "POST", k->resource->path, "application/json", text, &o)
			   : -ENOMEM;
	}
	if (!err && errno_of(&o)) {
		err = errno_of(&o);
		log_error("the settings were not changed", "resource=%s/%s problem=\"%s\"",
			  k->resource->name, name, o.error);
	}
	json_decref(spec);
	free(text);
	free(path);
	free(name);
	return err;
}

static const struct store_health *health(const void *self)
{
	return &((const struct kubernetes *)self)->health;
}

static void foreign_keys(void *self, bool v4, bool v6)
{
	struct kubernetes *k = self;

	k->foreign[0] = v4;
	k->foreign[1] = v6;
	if (k->own)
		node_status_foreign_keys(k->own, v4, v6);
}

static const char *peer(const void *self)
{
	return rest_peer(((const struct kubernetes *)self)->rest);
}

const struct store_kind store_kubernetes = {
	.foreign_keys = foreign_keys,
	.peer = peer,
	.remote = true,
	.prefix = "kubernetes",
	.open = open_kubernetes,
	.close = close_kubernetes,
	.publish = publish,
	.withdraw = withdraw,
	.set = set,
	.health = health,
	.state = state,
	.event = event,
	.flush = flush,
};
