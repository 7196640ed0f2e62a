/* SPDX-License-Identifier: Apache-2.0 */
#include "store/reflector.h"

#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/backoff.h"
#include "store/splitter.h"
#include "store/status_object.h"
#include "store/trouble.h"

#define PAGE	      500
#define LIST_MS	      60000
#define MISSING_S     60
#define VERSION_BYTES 64
/* The server ends a watch after this; scattered, so that they do not all begin anew together. */
#define WATCH_MIN_S 1800

struct reflector {
	struct reflector_params params;
	char *path;
	struct rest_call *call;
	struct splitter splitter;
	struct event *on_again;
	struct backoff backoff;
	char version[VERSION_BYTES]; /* empty: a list is due */
	char *more;		     /* the next page */
	bool expired, heard;
	struct trouble trouble;
};

static void start(struct reflector *r);

static void well(struct reflector *r)
{
	backoff_reset(&r->backoff);
	trouble_ends(&r->trouble);
}

static void again(struct reflector *r, unsigned int at_least_s)
{
	struct timeval wait = backoff_next(&r->backoff, randombytes_random());

	if (wait.tv_sec < (time_t)at_least_s)
		wait.tv_sec += (time_t)at_least_s;
	evtimer_add(r->on_again, &wait);
}

static void forget_list(struct reflector *r)
{
	free(r->more);
	r->more = NULL;
	*r->version = 0;
}

static void failed(struct reflector *r, const struct rest_answer *a)
{
	char what[STATUS_OBJECT_TEXT];

	status_object_explain(a, what);
	trouble_begins(&r->trouble, what);
	again(r, a->retry_after);
}

static const char *version_of(const json_t *o)
{
	const json_t *metadata = json_object_get(o, "metadata");

	return json_string_value(json_object_get(metadata, "resourceVersion"));
}

static void advance(struct reflector *r, const char *version)
{
	if (version && strlen(version) < sizeof(r->version))
		strcpy(r->version, version);
}

/* --- listing --- */

static bool on_piece(void *context, const char *bytes, size_t n)
{
	struct reflector *r = context;

	return !splitter_feed(&r->splitter, bytes, n);
}

static void on_item(void *context, const char *text, size_t len)
{
	struct reflector *r = context;
	json_t *o = json_loadb(text, len, 0, NULL);

	if (json_is_object(o))
		r->params.object(r->params.context, o, false);
	else
		trouble_begins(&r->trouble, "an object in a list that is no JSON");
	json_decref(o);
}

static void missing(struct reflector *r)
{
	struct timeval wait = {MISSING_S / 2 + (time_t)randombytes_uniform(MISSING_S), 0};

	well(r);
	forget_list(r);
	r->params.listing(r->params.context);
	r->params.listed(r->params.context, false);
	evtimer_add(r->on_again, &wait);
}

/* The page's envelope says whether there are more, and which version it is. */
static int page_done(struct reflector *r, const char *envelope)
{
	json_t *o = json_loads(envelope, 0, NULL), *metadata = json_object_get(o, "metadata");
	const char *more = json_string_value(json_object_get(metadata, "continue"));
	const char *version = version_of(o);
	int err = version ? 0 : -EINVAL;

	free(r->more);
	r->more = !err && more && *more ? strdup(more) : NULL;
	if (!err && !r->more)
		advance(r, version);
	json_decref(o);
	return err;
}

static void on_listed(void *context, const struct rest_answer *a)
{
	struct reflector *r = context;
	int err;

	r->call = NULL;
	if (a->status == 404 && r->params.optional) {
		missing(r);
		return;
	}
	if (a->status / 100 != 2) {
		if (a->status == 410)
			forget_list(r);
		failed(r, a);
		return;
	}
	err = page_done(r, splitter_rest(&r->splitter));
	if (err) {
		trouble_begins(&r->trouble, "the list ended early or is no list");
		again(r, 0);
		return;
	}
	if (r->splitter.too_large)
		trouble_begins(&r->trouble, "an object of more than 2 MiB is passed over");
	else
		well(r);
	if (!r->more)
		r->params.listed(r->params.context, true);
	start(r);
}

static char *list_path(const struct reflector *r)
{
	char *path, *more;

	if (!r->more)
		return asprintf(&path, "%s?limit=%d", r->path, PAGE) < 0 ? NULL : path;
	more = rest_escape(r->more);
	if (!more || asprintf(&path, "%s?limit=%d&continue=%s", r->path, PAGE, more) < 0)
		path = NULL;
	free(more);
	return path;
}

/* --- watching --- */

static void on_event(void *context, const char *text, size_t len)
{
	struct reflector *r = context;
	json_t *e = json_loadb(text, len, 0, NULL);
	const char *type = json_string_value(json_object_get(e, "type"));
	const json_t *o = json_object_get(e, "object");

	if (!type || !o) {
		r->expired = true; /* garbage: what it was to say is lost, so list anew */
	} else if (!strcmp(type, "BOOKMARK")) {
		advance(r, version_of(o));
	} else if (!strcmp(type, "ERROR")) {
		r->expired = true;
	} else {
		r->params.object(r->params.context, o, !strcmp(type, "DELETED"));
		advance(r, version_of(o));
	}
	r->heard = true;
	json_decref(e);
}

static void on_watched(void *context, const struct rest_answer *a)
{
	struct reflector *r = context;
	const bool ended = a->status / 100 == 2 && !*a->error;

	r->call = NULL;
	if (r->expired || r->splitter.too_large || a->status == 410 || a->status == 404)
		forget_list(r);
	if (r->heard)
		backoff_reset(&r->backoff);
	/* A watch that ends in good order was ended by its time limit, or by a server that goes
	 * down. */
	if (ended && r->heard && !r->expired)
		start(r);
	else if (ended)
		again(r, 0);
	else
		failed(r, a);
}

static char *watch_path(const struct reflector *r)
{
	char *path;

	return asprintf(&path,
			"%s?watch=true&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%"
			"u",
			r->path, r->version, WATCH_MIN_S + randombytes_uniform(WATCH_MIN_S)) < 0
		       ? NULL
		       : path;
}

/* --- both --- */

static void start(struct reflector *r)
{
	const bool watch = *r->version && !r->more;
	char *path = watch ? watch_path(r) : list_path(r);
	const struct rest_request q = {
		.method = "GET",
		.path = path,
		.timeout_ms = watch ? 0 : LIST_MS,
		.data = on_piece,
		.done = watch ? on_watched : on_listed,
		.context = r,
	};

	if (!watch && !r->more)
		r->params.listing(r->params.context);
	splitter_fini(&r->splitter);
	splitter_init(&r->splitter, watch ? NULL : "items", watch ? on_event : on_item, r);
	r->expired = r->heard = false;
	r->call = path ? rest_start(r->params.rest, &q) : NULL;
	free(path);
	if (!r->call) {
		trouble_begins(&r->trouble, "no memory for a request");
		again(r, 0);
	}
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	start(context);
}

struct reflector *reflector_new(const struct reflector_params *p)
{
	const struct timeval now = {0, 0};
	struct reflector *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->params = *p;
	r->trouble = (struct trouble){.tell = p->trouble, .context = p->context};
	r->backoff = (struct backoff){.first_ms = 200, .most_ms = 10000};
	r->path = strdup(p->path);
	r->on_again = evtimer_new(p->base, on_again, r);
	if (!r->path || !r->on_again || evtimer_add(r->on_again, &now)) {
		reflector_free(r);
		return NULL;
	}
	return r;
}

void reflector_free(struct reflector *r)
{
	if (!r)
		return;
	rest_cancel(r->call);
	splitter_fini(&r->splitter);
	if (r->on_again)
		event_free(r->on_again);
	free(r->more);
	free(r->path);
	free(r);
}
