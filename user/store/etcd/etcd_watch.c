/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd/etcd_watch.h"

#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/backoff.h"
#include "store/kubernetes/splitter.h"

#define PAGE	512
#define LIST_MS 20000

struct etcd_watch {
	struct etcd_watch_params params;
	char *prefix;
	struct rest_call *call;
	struct event *on_retry;
	struct backoff backoff;
	struct splitter splitter;
	struct etcd_place at;
	char cluster[ETCD_CLUSTER]; /* of the list under way */
	int64_t listing;	    /* its revision; 0: no list is under way */
	char *last;		    /* its last key so far */
	size_t last_len;
	int page;	/* keys per page; fewer if they are large */
	bool key_alone; /* request the next key without its value, which is too large */
	enum etcd_watch_state state;
	bool received_any;
	char why[200]; /* why the watch has ended */
};

static void start(struct etcd_watch *w);

static void failed(struct etcd_watch *w, const char *what)
{
	struct timeval wait = backoff_next(&w->backoff, randombytes_random());

	if (*what)
		w->params.problem(w->params.context, what);
	evtimer_add(w->on_retry, &wait);
}

static void report_recovery(struct etcd_watch *w)
{
	backoff_reset(&w->backoff);
	w->params.problem(w->params.context, NULL);
}

static void deliver(const struct etcd_watch_params *p, const json_t *kv, bool gone)
{
	size_t key_len, len = 0;
	char *key = etcd_text(json_object_get(kv, "key"), &key_len);
	char *value = NULL;
	struct etcd_key k = {
		.key = key,
		.lease = etcd_number(kv, "lease"),
		.revision = etcd_number(kv, "mod_revision"),
	};

	if (!gone && json_object_get(kv, "value"))
		value = etcd_text(json_object_get(kv, "value"), &len);
	k.value = gone ? NULL : value ? value : "";
	k.len = len;
	if (key && strlen(key) == key_len)
		p->key(p->context, &k);
	free(value);
	free(key);
}

/* The cluster's id, kept as text: it uses all 64 bits. */
static void cluster_of(const json_t *header, char out[ETCD_CLUSTER])
{
	const char *id = json_string_value(json_object_get(header, "cluster_id"));

	snprintf(out, ETCD_CLUSTER, "%s", id ? id : "");
}

/* --- listing --- */

static void forget_list(struct etcd_watch *w)
{
	free(w->last);
	w->last = NULL;
	w->listing = 0;
}

/* Makes the next request smaller: fewer keys; if one key alone is too large, without its value. */
static bool ask_for_less(struct etcd_watch *w)
{
	if (w->key_alone)
		return false;
	if (w->page > 1)
		w->page /= 2;
	else
		w->key_alone = true;
	return true;
}

static void pass_over(struct etcd_watch *w, const json_t *kv)
{
	size_t len;
	char *key = etcd_text(json_object_get(kv, "key"), &len);

	if (key && strlen(key) == len)
		w->params.too_large(w->params.context, key);
	free(key);
}

static void list_begins(struct etcd_watch *w, const json_t *header)
{
	w->listing = etcd_number(header, "revision");
	cluster_of(header, w->cluster);
	w->params.listing(w->params.context);
}

static void list_ends(struct etcd_watch *w)
{
	w->at.revision = w->listing;
	memcpy(w->at.cluster, w->cluster, sizeof(w->at.cluster));
	w->listing = 0;
	w->params.listed(w->params.context, &w->at);
}

static void on_page(void *context, const struct rest_answer *a)
{
	struct etcd_watch *w = context;
	const bool first = !w->listing, key_alone = w->key_alone;
	char problem[200];
	json_t *o, *kvs, *kv;
	size_t i;

	w->call = NULL;
	if (a->too_large && ask_for_less(w)) {
		start(w);
		return;
	}
	o = etcd_answer(w->params.client, a, problem, sizeof(problem));
	w->key_alone = false;
	if (!o) {
		forget_list(w); /* its revision may be compacted away until the next try */
		failed(w, problem);
		return;
	}
	if (first)
		list_begins(w, json_object_get(o, "header"));
	if (key_alone && first) {
		/* The key may have got another value meanwhile. Request it again, now with this
		 * revision. */
		json_decref(o);
		start(w);
		return;
	}
	kvs = json_object_get(o, "kvs");
	json_array_foreach (kvs, i, kv)
		if (key_alone)
			pass_over(w, kv);
		else
			deliver(&w->params, kv, false);
	free(w->last);
	w->last = json_is_true(json_object_get(o, "more"))
			  ? etcd_text(json_object_get(json_array_get(kvs, json_array_size(kvs) - 1),
						      "key"),
				      &w->last_len)
			  : NULL;
	json_decref(o);
	w->page = w->page * 2 < PAGE ? w->page * 2 : PAGE;
	report_recovery(w);
	if (!w->last)
		list_ends(w);
	start(w);
}

static json_t *page_request(const struct etcd_watch *w)
{
	json_t *o = etcd_prefix(w->prefix);

	/* Keys come in order anyway. Do not request sorting: etcd 3.4 would then read all keys for
	 * each page. */
	json_object_set_new(o, "limit", json_integer(w->page));
	if (w->key_alone)
		json_object_set_new(o, "keys_only", json_true());
	if (w->listing)
		json_object_set_new(o, "revision", json_integer(w->listing));
	if (w->last) /* The next key in order is this one with a zero byte behind it. */
		json_object_set_new(o, "key", etcd_bytes(w->last, w->last_len + 1));
	return o;
}

/* --- watching --- */

/* The answer has an error instead of a result. 14 is gRPC's UNAVAILABLE. */
static enum etcd_watch_state on_error(const json_t *error, char *why, size_t room)
{
	const char *message = json_string_value(json_object_get(error, "message"));

	snprintf(why, room, "%.180s", message ? message : "the watch's answer is not valid");
	return etcd_number(error, "grpc_code") == 14 ? ETCD_WATCH_ISOLATED : ETCD_WATCH_ENDED;
}

enum etcd_watch_state etcd_watch_event(const struct etcd_watch_params *p, const char *text,
				       size_t len, struct etcd_place *at, char *why, size_t room)
{
	json_t *o = json_loadb(text, len, 0, NULL), *result = json_object_get(o, "result"), *e;
	const json_t *events = json_object_get(result, "events");
	const json_t *header = json_object_get(result, "header");
	const int64_t now = etcd_number(header, "revision");
	enum etcd_watch_state state = ETCD_WATCH_RUNNING;
	char cluster[ETCD_CLUSTER];
	size_t i;

	cluster_of(header, cluster);
	if (!json_is_object(result))
		state = on_error(json_object_get(o, "error"), why, room);
	if (*cluster && *at->cluster && strcmp(cluster, at->cluster) != 0) {
		snprintf(why, room, "another etcd cluster answers");
		json_decref(o);
		return ETCD_WATCH_COMPACTED;
	}
	json_array_foreach (events, i, e) {
		const char *type = json_string_value(json_object_get(e, "type"));

		const int64_t changed = etcd_number(json_object_get(e, "kv"), "mod_revision");

		deliver(p, json_object_get(e, "kv"), type && !strcmp(type, "DELETE"));
		/* While a watch catches up, the header's revision is ahead of its events. */
		if (changed > at->revision)
			at->revision = changed;
	}
	if (json_is_true(json_object_get(result, "canceled"))) {
		const char *reason = json_string_value(json_object_get(result, "cancel_reason"));

		state = etcd_number(result, "compact_revision") > 0 ? ETCD_WATCH_COMPACTED
								    : ETCD_WATCH_ENDED;
		snprintf(why, room, "the watch was cancelled: %.120s", reason ? reason : "");
	} else if (json_is_true(json_object_get(result, "created"))) {
		/* The changes that we missed follow. But if etcd's revision is behind ours, it was
		 * restored or is another one: everything we know may be wrong. */
		if (now < at->revision) {
			state = ETCD_WATCH_COMPACTED;
			snprintf(why, room, "etcd went back to an older revision");
		}
	} else if (!state && !json_array_size(events) && now > at->revision) {
		at->revision = now; /* a progress report: nothing has changed up to here */
	}
	json_decref(o);
	return state;
}

static void on_object(void *context, const char *text, size_t len)
{
	struct etcd_watch *w = context;

	w->received_any = true;
	if (w->state == ETCD_WATCH_RUNNING)
		w->state = etcd_watch_event(&w->params, text, len, &w->at, w->why, sizeof(w->why));
}

static bool on_piece(void *context, const char *bytes, size_t n)
{
	struct etcd_watch *w = context;

	if (splitter_feed(&w->splitter, bytes, n))
		w->state = ETCD_WATCH_ENDED;
	else if (w->splitter.too_large)
		w->state = ETCD_WATCH_COMPACTED; /* a new list is needed to see the change */
	else if (w->received_any && w->state == ETCD_WATCH_RUNNING)
		report_recovery(w);
	return w->state == ETCD_WATCH_RUNNING;
}

static void on_watch_ended(void *context, const struct rest_answer *a)
{
	struct etcd_watch *w = context;
	char problem[200] = "";

	w->call = NULL;
	switch (w->state) {
	case ETCD_WATCH_COMPACTED:
		w->at.revision = 0;
		backoff_reset(&w->backoff);
		break;
	case ETCD_WATCH_ENDED:
		/* An expired token is not reported. A failure that a new token does not cure is. */
		etcd_forget_token(w->params.client);
		if (w->backoff.failures)
			snprintf(problem, sizeof(problem), "%s", w->why);
		break;
	case ETCD_WATCH_ISOLATED:
		etcd_avoid_member(w->params.client, a);
		snprintf(problem, sizeof(problem), "%s", w->why);
		break;
	case ETCD_WATCH_RUNNING:
		/* A regular end is no error: the server shuts down, or closes idle watches. */
		if (a->status / 100 != 2 || *a->error)
			json_decref(etcd_answer(w->params.client, a, problem, sizeof(problem)));
	}
	failed(w, problem);
}

/* --- both --- */

static void start(struct etcd_watch *w)
{
	const bool watch = w->at.revision && !w->listing;
	struct rest_request q = {
		.timeout_ms = watch ? 0 : LIST_MS,
		.data = watch ? on_piece : NULL,
		.done = watch ? on_watch_ended : on_page,
		.context = w,
	};
	json_t *body;

	splitter_fini(&w->splitter);
	splitter_init(&w->splitter, NULL, on_object, w);
	w->state = ETCD_WATCH_RUNNING;
	w->received_any = false;
	*w->why = 0;
	if (watch) {
		body = etcd_prefix(w->prefix);
		json_object_set_new(body, "start_revision", json_integer(w->at.revision + 1));
		json_object_set_new(body, "progress_notify", json_true());
		body = json_pack("{s:o}", "create_request", body);
	} else {
		body = page_request(w);
	}
	w->call = etcd_start(w->params.client, watch ? "/v3/watch" : "/v3/kv/range", body, q);
	if (!w->call)
		failed(w, etcd_token_problem(w->params.client));
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	start(context);
}

struct etcd_watch *etcd_watch_new(const struct etcd_watch_params *p)
{
	const struct timeval now = {0, 0};
	struct etcd_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->params = *p;
	w->page = PAGE;
	w->backoff = (struct backoff){.first_ms = 100, .most_ms = 10000};
	w->prefix = strdup(p->prefix);
	w->on_retry = evtimer_new(p->base, on_retry, w);
	if (!w->prefix || !w->on_retry || evtimer_add(w->on_retry, &now)) {
		etcd_watch_free(w);
		return NULL;
	}
	return w;
}

void etcd_watch_free(struct etcd_watch *w)
{
	if (!w)
		return;
	rest_cancel(w->call);
	splitter_fini(&w->splitter);
	if (w->on_retry)
		event_free(w->on_retry);
	free(w->last);
	free(w->prefix);
	free(w);
}
