/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is an etcd cluster (v3):
 *
 *   /podveil/nodes/NAME         the record of a node, on a lease that its agent keeps alive
 *   /podveil/config/default     settings of the cluster: one flat JSON object
 *   /podveil/config/node.NAME   settings of a node
 *
 * A record that goes because its lease ran out is not told as gone at once: a node that is cut off
 * from etcd may be well otherwise, and to forget it would be to talk to its pods in plain. It
 * counts for HOLD_S more, unless it comes back, or somebody else publishes one of its ranges. A
 * record that somebody deletes is gone in that moment.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "observe/log.h"
#include "store/document.h"
#include "store/etcd_client.h"
#include "store/etcd_lease.h"
#include "store/etcd_set.h"
#include "store/etcd_watch.h"
#include "store/patience.h"
#include "store/store.h"

#define PREFIX	     "/podveil/"
#define NODES	     PREFIX "nodes/"
#define CONFIG	     PREFIX "config/"
#define CALL_MS	     5000
#define HOLD_S	     3600
#define ASK_AGAIN_MS 300
#define ASK_TRIES    20

struct etcd;

/* A key that was told. */
struct known {
	char *key;
	int64_t lease;
	bool seen;		   /* in the list under way */
	bool has_key;		   /* the record has one for WireGuard */
	struct node_record record; /* of a node */
	struct rest_call *asking;  /* whether its lease ran out */
	struct event *ask_again;   /* NULL: nobody asks */
	unsigned int tries;
	struct event *held; /* it did: until then it counts */
	struct etcd *e;
	TAILQ_ENTRY(known) in_list;
};

struct etcd {
	struct event_base *base;
	struct store_events events;
	struct store_health health;
	struct etcd_client *client;
	struct etcd_watch *watch;
	struct etcd_lease *own;
	char *own_key;
	struct event *on_begin;
	TAILQ_HEAD(, known) known;
};

static void complain(struct etcd *e, const char *what, const char *problem)
{
	e->health.errors++;
	snprintf(e->health.last_error, sizeof(e->health.last_error), "%.200s: %.300s", what,
		 problem);
}

static struct known *find(struct etcd *e, const char *key)
{
	struct known *k;

	TAILQ_FOREACH (k, &e->known, in_list)
		if (!strcmp(k->key, key))
			return k;
	return NULL;
}

static bool is_node(const struct known *k)
{
	return !strncmp(k->key, NODES, strlen(NODES));
}

/* Its record is there, or it is forgotten. */
static void stop_asking(struct known *k)
{
	rest_cancel(k->asking);
	k->asking = NULL;
	if (k->ask_again)
		event_free(k->ask_again);
	k->ask_again = NULL;
	if (k->held)
		event_free(k->held);
	k->held = NULL;
	k->tries = 0;
}

static void forget(struct known *k)
{
	TAILQ_REMOVE(&k->e->known, k, in_list);
	stop_asking(k);
	record_fini(&k->record);
	free(k->key);
	free(k);
}

static void tell_gone(struct known *k)
{
	struct etcd *e = k->e;
	const char *node;

	if (is_node(k))
		e->events.node(e->events.context, k->record.name, NULL);
	else if (document_node(k->key + strlen(CONFIG), &node))
		e->events.settings(e->events.context, node, NULL, 0, k->key);
	forget(k);
}

/* --- leases that ran out --- */

static void on_held_long_enough(evutil_socket_t fd, short what, void *context)
{
	struct known *k = context;

	(void)fd;
	(void)what;
	log_info("a node is forgotten", "node=%s silent=%ds", k->record.name, HOLD_S);
	tell_gone(k);
}

static void hold(struct known *k)
{
	const struct timeval so_long = {HOLD_S, 0};

	if (k->held)
		return;
	k->held = evtimer_new(k->e->base, on_held_long_enough, k);
	if (!k->held || evtimer_add(k->held, &so_long)) {
		tell_gone(k);
		return;
	}
	log_warn("a node's record has run out: its agent does not reach etcd, and counts for an "
		 "hour more",
		 "node=%s", k->record.name);
}

static void ask_about_lease(struct known *k);

static void ask_later(struct known *k)
{
	const struct timeval wait = {0, ASK_AGAIN_MS * 1000};

	/* Who cannot be asked is away; then holding is what leaks nothing. */
	if (++k->tries >= ASK_TRIES || evtimer_add(k->ask_again, &wait))
		hold(k);
}

static void on_ask_again(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ask_about_lease(context);
}

/* TTL -1: it ran out, or its node took it back. */
static void on_lease_asked(void *context, const struct rest_answer *a)
{
	struct known *k = context;
	char problem[200];
	json_t *o = etcd_answer(k->e->client, a, problem, sizeof(problem));

	k->asking = NULL;
	if (!o)
		ask_later(k);
	else if (etcd_number(o, "TTL") <= 0)
		hold(k);
	else
		tell_gone(k);
	json_decref(o);
}

static void ask_about_lease(struct known *k)
{
	const struct rest_request q = {.timeout_ms = CALL_MS, .done = on_lease_asked, .context = k};
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)k->lease);
	k->asking =
		etcd_start(k->e->client, "/v3/lease/timetolive", json_pack("{s:s}", "ID", id), q);
	if (!k->asking)
		ask_later(k);
}

/* A record went. One without a key is no peer: nothing can be lost by forgetting it. */
static void went(struct known *k)
{
	if (!is_node(k) || !k->has_key || !k->lease) {
		tell_gone(k);
		return;
	}
	if (k->held || k->ask_again)
		return;
	k->ask_again = evtimer_new(k->e->base, on_ask_again, k);
	if (k->ask_again)
		ask_about_lease(k);
	else
		hold(k);
}

/* Somebody has the ranges of a node that is only held: it is not coming back. */
static void release_claims(struct etcd *e, const struct known *of)
{
	struct known *k, *next;

	for (k = TAILQ_FIRST(&e->known); k; k = next) {
		bool claimed = false;

		next = TAILQ_NEXT(k, in_list);
		if (!k->held || k == of)
			continue;
		for (size_t i = 0; i < k->record.n_pod_cidrs; i++)
			for (size_t j = 0; j < of->record.n_pod_cidrs; j++)
				claimed |= cidr_contains(&k->record.pod_cidrs[i],
							 &of->record.pod_cidrs[j]) ||
					   cidr_contains(&of->record.pod_cidrs[j],
							 &k->record.pod_cidrs[i]);
		if (claimed)
			tell_gone(k);
	}
}

/* --- what the watch says --- */

static struct known *know(struct etcd *e, const char *key)
{
	struct known *k = find(e, key);

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->key = strdup(key);
	if (!k->key) {
		free(k);
		return NULL;
	}
	k->e = e;
	TAILQ_INSERT_TAIL(&e->known, k, in_list);
	return k;
}

static int tell_record(struct etcd *e, const char *key, const char *value, size_t len,
		       int64_t lease, char *problem, size_t room)
{
	static const uint8_t none[32];
	struct node_record r;
	struct known *k;
	int err = record_parse(value, len, &r, problem, room);

	if (err)
		return err;
	if (strcmp(r.name, key + strlen(NODES)) != 0) {
		snprintf(problem, room, "name: \"%.80s\" is not that of the key", r.name);
		record_fini(&r);
		return -EINVAL;
	}
	k = know(e, key);
	if (!k) {
		record_fini(&r);
		return -ENOMEM;
	}
	record_fini(&k->record);
	k->record = r;
	k->lease = lease;
	k->has_key = memcmp(r.key4, none, 32) != 0 || memcmp(r.key6, none, 32) != 0;
	k->seen = true;
	stop_asking(k);
	release_claims(e, k);
	e->events.node(e->events.context, r.name, &k->record);
	return 0;
}

static int tell_settings(struct etcd *e, const char *key, const char *value, size_t len,
			 char *problem, size_t room)
{
	json_error_t error;
	const char *node;
	struct known *k;
	json_t *o;

	if (!document_node(key + strlen(CONFIG), &node)) {
		snprintf(problem, room, "the name is neither default nor node.NAME");
		return -EINVAL;
	}
	o = json_loadb(value, len, JSON_REJECT_DUPLICATES, &error);
	k = json_is_object(o) ? know(e, key) : NULL;
	if (!k) {
		snprintf(problem, room, "line %d: %s", o ? 1 : error.line,
			 o ? "not a JSON object" : error.text);
		json_decref(o);
		return -EINVAL;
	}
	k->seen = true;
	document_tell(&e->events, node, o, key);
	json_decref(o);
	return 0;
}

/* What was good before stays in force. */
static void not_used(struct etcd *e, const char *key, const char *problem)
{
	struct known *k = find(e, key);

	if (k)
		k->seen = true;
	if (!problem)
		return;
	complain(e, key, problem);
	log_warn("store: a key is not used", "key=%.200s problem=\"%s\"", key, problem);
}

static void on_key(void *context, const char *key, const char *value, size_t len, int64_t lease)
{
	struct etcd *e = context;
	char problem[200] = "it is not below nodes/ or config/";
	struct known *k = find(e, key);
	int err = -EINVAL;

	e->health.last_sync = (uint64_t)time(NULL);
	if (e->own && !strcmp(key, e->own_key))
		etcd_lease_look(e->own, value, lease);
	if (!value) {
		if (k)
			went(k);
		return;
	}
	if (!strncmp(key, NODES, strlen(NODES)))
		err = tell_record(e, key, value, len, lease, problem, sizeof(problem));
	else if (!strncmp(key, CONFIG, strlen(CONFIG)))
		err = tell_settings(e, key, value, len, problem, sizeof(problem));
	if (err)
		not_used(e, key, problem);
}

static void on_too_large(void *context, const char *key, bool again)
{
	struct etcd *e = context;
	char problem[80];

	if (e->own && !strcmp(key, e->own_key))
		etcd_lease_look(e->own, "", 0);
	snprintf(problem, sizeof(problem), "its value is larger than %u MiB",
		 ETCD_WATCH_MAX_BYTES >> 20);
	not_used(e, key, again ? NULL : problem);
}

static void on_listing(void *context)
{
	struct etcd *e = context;
	struct known *k;

	TAILQ_FOREACH (k, &e->known, in_list)
		k->seen = false;
}

static void on_listed(void *context)
{
	struct etcd *e = context;
	struct known *k, *next;

	e->health.last_sync = (uint64_t)time(NULL);
	for (k = TAILQ_FIRST(&e->known); k; k = next) {
		next = TAILQ_NEXT(k, in_list);
		if (k->seen)
			continue;
		if (e->own && !strcmp(k->key, e->own_key))
			etcd_lease_look(e->own, NULL, 0);
		went(k);
	}
	e->events.synced(e->events.context);
}

static void on_trouble(void *context, const char *what)
{
	if (!what) {
		log_info("store: in order again", "store=etcd");
		return;
	}
	complain(context, "etcd", what);
	log_warn("store: etcd cannot be read", "problem=\"%s\"", what);
}

static void on_begin(evutil_socket_t fd, short what, void *context)
{
	struct etcd *e = context;
	const struct etcd_watch_params p = {
		.base = e->base,
		.client = e->client,
		.prefix = PREFIX,
		.key = on_key,
		.too_large = on_too_large,
		.listing = on_listing,
		.listed = on_listed,
		.trouble = on_trouble,
		.context = e,
	};

	(void)fd;
	(void)what;
	e->watch = etcd_watch_new(&p);
	if (!e->watch)
		log_error("no memory to watch etcd", "store=etcd");
}

/* --- the seam --- */

static void close_etcd(void *self)
{
	struct etcd *e = self;
	struct known *k;

	if (!e)
		return;
	if (e->on_begin)
		event_free(e->on_begin);
	etcd_watch_free(e->watch);
	etcd_lease_free(e->own);
	while ((k = TAILQ_FIRST(&e->known)))
		forget(k);
	etcd_client_free(e->client);
	free(e->own_key);
	free(e);
}

static int open_etcd(const char *where, struct event_base *base, const struct store_events *events,
		     void **self)
{
	const struct timeval now = {0, 0};
	struct etcd *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->base = base;
	e->events = *events;
	TAILQ_INIT(&e->known);
	err = etcd_client_new(base, where, &e->client);
	if (!err) {
		e->on_begin = evtimer_new(base, on_begin, e);
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
		e->own = etcd_lease_new(e->base, e->client, e->own_key);
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

static int withdraw(void *self, const char *name)
{
	struct etcd *e = self;
	int err = own(e, name);

	return err ? err : etcd_lease_put(e->own, NULL);
}

static bool is_settled(void *context)
{
	const struct etcd *e = context;

	return !e->own || etcd_lease_settled(e->own);
}

static void flush(void *self, unsigned int ms)
{
	struct etcd *e = self;

	patience_wait(e->base, ms, is_settled, e);
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	struct etcd *e = self;
	char *name = document_name(node), *key = NULL;
	int err = -ENOMEM;

	evtimer_del(e->on_begin); /* nobody needs to know the nodes for this */
	if (name && asprintf(&key, CONFIG "%s", name) >= 0)
		err = etcd_set(e->base, e->client, key, changes, n);
	free(key);
	free(name);
	return err;
}

static const struct store_health *health(const void *self)
{
	return &((const struct etcd *)self)->health;
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
	.withdraw = withdraw,
	.set = set,
	.health = health,
	.flush = flush,
};
