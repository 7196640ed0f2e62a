/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd_watch.h"

#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/backoff.h"
#include "store/splitter.h"

#define PAGE	512
#define LIST_MS 20000

struct etcd_watch {
	struct etcd_watch_params params;
	char *prefix;
	struct rest_call *call;
	struct event *on_again;
	struct backoff backoff;
	struct splitter splitter;
	int64_t revision; /* told up to here; 0: a list is due */
	int64_t listing;  /* the revision of the list under way; 0: none */
	char *last;	  /* its last key so far */
	int page;	  /* keys at a time; fewer where they are large */
	bool over, compacted, heard, troubled;
	char why[200]; /* it is over */
	char problem[200];
};

static void start(struct etcd_watch *w);

static void failed(struct etcd_watch *w, const char *what)
{
	struct timeval wait = backoff_next(&w->backoff, randombytes_random());

	if (*what && (!w->troubled || strcmp(w->problem, what) != 0)) {
		snprintf(w->problem, sizeof(w->problem), "%s", what);
		w->troubled = true;
		w->params.trouble(w->params.context, what);
	}
	evtimer_add(w->on_again, &wait);
}

static void well(struct etcd_watch *w)
{
	backoff_reset(&w->backoff);
	if (w->troubled)
		w->params.trouble(w->params.context, NULL);
	w->troubled = false;
}

static void tell(const struct etcd_watch_params *p, const json_t *kv, bool gone)
{
	size_t key_len, len = 0;
	char *key = etcd_text(json_object_get(kv, "key"), &key_len);
	char *value = NULL;

	if (!gone && json_object_get(kv, "value"))
		value = etcd_text(json_object_get(kv, "value"), &len);
	if (key && strlen(key) == key_len)
		p->key(p->context, key,
		       gone    ? NULL
		       : value ? value
			       : "",
		       len, etcd_number(kv, "lease"));
	free(value);
	free(key);
}

/* --- listing --- */

static void forget_list(struct etcd_watch *w)
{
	free(w->last);
	w->last = NULL;
	w->listing = 0;
}

static void on_page(void *context, const struct rest_answer *a)
{
	struct etcd_watch *w = context;
	char problem[200];
	json_t *o, *kvs, *kv;
	size_t i, len;

	w->call = NULL;
	o = etcd_answer(w->params.client, a, problem, sizeof(problem));
	if (!o) {
		if (a->too_large && w->page > 1)
			w->page /= 2;
		forget_list(w); /* its revision may be compacted away meanwhile */
		failed(w, problem);
		return;
	}
	if (!w->listing) {
		w->listing = etcd_number(json_object_get(o, "header"), "revision");
		w->params.listing(w->params.context);
	}
	kvs = json_object_get(o, "kvs");
	json_array_foreach (kvs, i, kv)
		tell(&w->params, kv, false);
	free(w->last);
	w->last = json_is_true(json_object_get(o, "more"))
			  ? etcd_text(json_object_get(json_array_get(kvs, json_array_size(kvs) - 1),
						      "key"),
				      &len)
			  : NULL;
	json_decref(o);
	well(w);
	if (!w->last) {
		w->revision = w->listing;
		w->listing = 0;
		w->params.listed(w->params.context);
	}
	start(w);
}

static json_t *page_request(const struct etcd_watch *w)
{
	json_t *o = etcd_prefix(w->prefix);

	/* They come in the order of their keys; asked to sort, etcd 3.4 reads all for each page. */
	json_object_set_new(o, "limit", json_integer(w->page));
	if (w->listing)
		json_object_set_new(o, "revision", json_integer(w->listing));
	if (w->last) {
		/* The next key in order is this one with a zero byte behind it. */
		const size_t len = strlen(w->last) + 1;
		char encoded[8192];

		if (sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL) <=
		    sizeof(encoded))
			json_object_set_new(
				o, "key",
				json_string(sodium_bin2base64(encoded, sizeof(encoded),
							      (const unsigned char *)w->last, len,
							      sodium_base64_VARIANT_ORIGINAL)));
	}
	return o;
}

/* --- watching --- */

bool etcd_watch_event(const struct etcd_watch_params *p, const char *text, size_t len,
		      int64_t *revision, bool *compacted, char *why, size_t room)
{
	json_t *o = json_loadb(text, len, 0, NULL), *result = json_object_get(o, "result"), *e;
	const json_t *events = json_object_get(result, "events");
	const int64_t at = etcd_number(json_object_get(result, "header"), "revision");
	bool good = json_is_object(result);
	size_t i;

	json_array_foreach (events, i, e) {
		const char *type = json_string_value(json_object_get(e, "type"));

		const int64_t changed = etcd_number(json_object_get(e, "kv"), "mod_revision");

		tell(p, json_object_get(e, "kv"), type && !strcmp(type, "DELETE"));
		/* The header is ahead of what was told where a watch catches up. */
		if (changed > *revision)
			*revision = changed;
	}
	if (good && json_is_true(json_object_get(result, "canceled"))) {
		const char *reason = json_string_value(json_object_get(result, "cancel_reason"));

		*compacted = etcd_number(result, "compact_revision") > 0;
		snprintf(why, room, "the watch was cancelled: %.120s", reason ? reason : "");
		good = false;
	}
	if (good && json_is_true(json_object_get(result, "created"))) {
		/* What was between comes after this. One that is behind us has been restored, or
		 * is another one: all we know may be wrong. */
		*compacted = at < *revision;
		snprintf(why, room, "%s", *compacted ? "etcd has gone back in time" : "");
		good = !*compacted;
	} else if (good && !json_array_size(events) && at > *revision) {
		*revision = at; /* progress: until there, nothing happened */
	}
	json_decref(o);
	return good;
}

static void on_object(void *context, const char *text, size_t len)
{
	struct etcd_watch *w = context;

	w->heard = true;
	if (!w->over)
		w->over = !etcd_watch_event(&w->params, text, len, &w->revision, &w->compacted,
					    w->why, sizeof(w->why));
}

static bool on_piece(void *context, const char *bytes, size_t n)
{
	struct etcd_watch *w = context;

	if (splitter_feed(&w->splitter, bytes, n))
		w->over = true;
	else if (w->splitter.too_large)
		w->over = w->compacted = true; /* what it said is found by a new list */
	else if (w->heard && !w->over)
		well(w);
	return !w->over;
}

static void on_watch_ended(void *context, const struct rest_answer *a)
{
	struct etcd_watch *w = context;
	char problem[200] = "";

	w->call = NULL;
	if (w->compacted)
		w->revision = 0;
	if (w->over && !w->compacted) {
		/* A token that ran out is worth no word; what a new one does not cure is. */
		etcd_forget_token(w->params.client);
		if (w->backoff.failures)
			snprintf(problem, sizeof(problem), "%s", w->why);
	}
	if (w->over && w->compacted)
		backoff_reset(&w->backoff);
	/* An end in good order is none of anybody's fault: the server goes down, or is asked
	 * elsewhere. */
	if (!w->over && (a->status / 100 != 2 || *a->error))
		json_decref(etcd_answer(w->params.client, a, problem, sizeof(problem)));
	failed(w, problem);
}

/* --- both --- */

static void start(struct etcd_watch *w)
{
	const bool watch = w->revision && !w->listing;
	struct rest_request q = {
		.timeout_ms = watch ? 0 : LIST_MS,
		.data = watch ? on_piece : NULL,
		.done = watch ? on_watch_ended : on_page,
		.context = w,
	};
	json_t *body;

	splitter_fini(&w->splitter);
	splitter_init(&w->splitter, NULL, on_object, w);
	w->over = w->compacted = w->heard = false;
	*w->why = 0;
	if (watch) {
		body = etcd_prefix(w->prefix);
		json_object_set_new(body, "start_revision", json_integer(w->revision + 1));
		json_object_set_new(body, "progress_notify", json_true());
		body = json_pack("{s:o}", "create_request", body);
	} else {
		body = page_request(w);
	}
	w->call = etcd_start(w->params.client, watch ? "/v3/watch" : "/v3/kv/range", body, q);
	if (!w->call)
		failed(w, etcd_trouble(w->params.client));
}

static void on_again(evutil_socket_t fd, short what, void *context)
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
	w->on_again = evtimer_new(p->base, on_again, w);
	if (!w->prefix || !w->on_again || evtimer_add(w->on_again, &now)) {
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
	if (w->on_again)
		event_free(w->on_again);
	free(w->last);
	free(w->prefix);
	free(w);
}
