/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/reflector.h"

#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/backoff.h"
#include "store/kubernetes/splitter.h"
#include "store/kubernetes/status_object.h"

#define PAGE	      500
#define LIST_MS	      60000
#define MISSING_S     60
#define VERSION_BYTES 64
/* The server ends a watch after this time and a random part, so that they do not all end
 * together. */
#define WATCH_MIN_S 1800
/* A watch that lasts this long counts as working. */
#define ESTABLISHED_S 2
/* If a list has lost objects, list again, with growing pauses. */
#define LOST_FIRST_MS 4000
#define LOST_MOST_MS  (30 * 60 * 1000)

struct reflector {
	struct reflector_params params;
	char *path;
	struct rest_call *call;
	struct splitter splitter;
	struct event *on_retry, *on_established, *on_relist;
	struct backoff backoff;
	struct backoff lost;	     /* for new lists after one that lost objects */
	char version[VERSION_BYTES]; /* empty: a list is due */
	char *more;		     /* the next page */
	bool expired, received_any, watching;
	bool passed_over; /* an object of the last list, or of the one under way, was skipped */
};

static void start(struct reflector *r);

static void report_problem(const struct reflector *r, bool blind, const char *what, long status)
{
	const struct reflector_problem p = {what, blind, status};

	r->params.problem(r->params.context, &p);
}

static void pass_over(struct reflector *r, const char *what)
{
	r->passed_over = true;
	report_problem(r, false, what, 0);
}

/* The watch works. Only this proves that the list was complete. */
static void report_recovery(struct reflector *r)
{
	backoff_reset(&r->backoff);
	if (!r->passed_over)
		r->params.problem(r->params.context, NULL);
}

static void retry_later(struct reflector *r, unsigned int at_least_s)
{
	struct timeval wait = backoff_next(&r->backoff, randombytes_random());

	if (wait.tv_sec < (time_t)at_least_s)
		wait.tv_sec += (time_t)at_least_s;
	evtimer_add(r->on_retry, &wait);
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
	report_problem(r, true, what, a->status);
	retry_later(r, a->retry_after);
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
		pass_over(
			r,
			"an object in the list is not JSON: its last known content stays in force");
	json_decref(o);
}

static void missing(struct reflector *r)
{
	struct timeval wait = {MISSING_S / 2 + (time_t)randombytes_uniform(MISSING_S), 0};
	const struct reflector_list l = {.there = false};

	r->passed_over = false;
	report_recovery(r);
	forget_list(r);
	r->params.listing(r->params.context);
	r->params.listed(r->params.context, &l);
	if (!r->params.once)
		evtimer_add(r->on_retry, &wait);
}

/* Reads from the page's envelope whether there are more pages, and the list's version. */
static int page_done(struct reflector *r, const char *envelope)
{
	json_t *o = json_loads(envelope, 0, NULL), *metadata = json_object_get(o, "metadata");
	const char *more = json_string_value(json_object_get(metadata, "continue"));
	const char *version = version_of(o);
	int err = version && *version && strlen(version) < sizeof(r->version) ? 0 : -EINVAL;

	free(r->more);
	r->more = !err && more && *more ? strdup(more) : NULL;
	if (!err && !r->more)
		advance(r, version);
	json_decref(o);
	return err;
}

static uint64_t revision_of(const char *version)
{
	return strspn(version, "0123456789") == strlen(version) ? strtoull(version, NULL, 10) : 0;
}

static void list_ends(struct reflector *r)
{
	const struct reflector_list l = {
		.there = true,
		.passed_over = r->passed_over,
		.revision = revision_of(r->version),
	};

	r->params.listed(r->params.context, &l);
}

static void on_listed(void *context, const struct rest_answer *a)
{
	struct reflector *r = context;

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
	if (page_done(r, splitter_rest(&r->splitter))) {
		/* Without a version there is nothing to watch from. */
		forget_list(r);
		report_problem(r, true, "the list ended early, or has no resourceVersion", 0);
		retry_later(r, 0);
		return;
	}
	if (r->splitter.too_large)
		pass_over(
			r,
			"an object of more than 2 MiB is ignored: its last known content stays in force");
	if (!r->more)
		list_ends(r);
	if (r->more || !r->params.once)
		start(r);
}

/* What separates the first parameter from the path, which may have parameters of its own. */
static char separator(const struct reflector *r)
{
	return strchr(r->path, '?') ? '&' : '?';
}

static char *list_path(const struct reflector *r)
{
	char *more = r->more ? rest_escape(r->more) : NULL, *path;

	if (r->more && !more)
		return NULL;
	if (asprintf(&path, "%s%climit=%d%s%s", r->path, separator(r), PAGE,
		     more ? "&continue=" : "", more ? more : "") < 0)
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
		r->expired = true; /* not an event: something is lost, so list again */
	} else if (!strcmp(type, "BOOKMARK")) {
		advance(r, version_of(o));
	} else if (!strcmp(type, "ERROR")) {
		r->expired = true;
	} else {
		r->params.object(r->params.context, o, !strcmp(type, "DELETED"));
		advance(r, version_of(o));
	}
	r->received_any = true;
	json_decref(e);
}

static bool on_news(void *context, const char *bytes, size_t n)
{
	struct reflector *r = context;
	const int err = splitter_feed(&r->splitter, bytes, n);

	/* An event was too large to read. A new list is needed to see the change. */
	if (r->splitter.too_large)
		r->expired = true;
	if (r->received_any && !r->expired)
		report_recovery(r);
	return !err && !r->expired;
}

static void on_answered(void *context)
{
	struct reflector *r = context;

	event_add(r->on_established, &(struct timeval){ESTABLISHED_S, 0});
}

static void on_established(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	report_recovery(context);
}

static void on_watched(void *context, const struct rest_answer *a)
{
	struct reflector *r = context;
	const bool ended = a->status / 100 == 2 && !*a->error;

	r->call = NULL;
	evtimer_del(r->on_established);
	if (r->expired || r->passed_over || a->status == 410 || a->status == 404)
		forget_list(r);
	/* A watch that ends without an error was ended by its time limit, or the server shuts
	 * down. */
	if (ended && r->received_any && !r->expired)
		start(r);
	else if (ended || r->expired)
		retry_later(r, 0);
	else
		failed(r, a);
}

static char *watch_path(const struct reflector *r)
{
	const unsigned int seconds =
		r->passed_over ? MISSING_S : WATCH_MIN_S + randombytes_uniform(WATCH_MIN_S);
	char *path;

	return asprintf(&path,
			"%s%cwatch=true&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds="
			"%u",
			r->path, separator(r), r->version, seconds) < 0
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
		.data = watch ? on_news : on_piece,
		.answered = watch ? on_answered : NULL,
		.done = watch ? on_watched : on_listed,
		.context = r,
	};

	r->watching = watch;
	if (!watch && !r->more) {
		r->passed_over = false;
		r->params.listing(r->params.context);
	}
	splitter_fini(&r->splitter);
	splitter_init(&r->splitter, watch ? NULL : "items", watch ? on_event : on_item, r);
	r->expired = r->received_any = false;
	r->call = path ? rest_start(r->params.rest, &q) : NULL;
	free(path);
	if (!r->call) {
		report_problem(r, true, "no memory for a request", 0);
		retry_later(r, 0);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	start(context);
}

static void on_relist(evutil_socket_t fd, short what, void *context)
{
	struct reflector *r = context;

	(void)fd;
	(void)what;
	if (r->call && !r->watching)
		return; /* a list is under way */
	forget_list(r);
	rest_cancel(r->call);
	r->call = NULL;
	evtimer_del(r->on_retry);
	evtimer_del(r->on_established);
	start(r);
}

void reflector_list_again(struct reflector *r, unsigned int ms)
{
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(r->on_relist, &wait);
}

void reflector_lost(struct reflector *r, bool lost)
{
	struct timeval wait;

	if (!lost) {
		backoff_reset(&r->lost);
		return;
	}
	wait = backoff_next(&r->lost, randombytes_random());
	evtimer_add(r->on_relist, &wait);
}

struct reflector *reflector_new(const struct reflector_params *p)
{
	const struct timeval now = {0, 0};
	struct reflector *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->params = *p;
	r->backoff = (struct backoff){.first_ms = 200, .most_ms = 10000};
	r->lost = (struct backoff){.first_ms = LOST_FIRST_MS, .most_ms = LOST_MOST_MS};
	r->path = strdup(p->path);
	r->on_retry = evtimer_new(p->base, on_retry, r);
	r->on_established = evtimer_new(p->base, on_established, r);
	r->on_relist = evtimer_new(p->base, on_relist, r);
	if (!r->path || !r->on_retry || !r->on_established || !r->on_relist ||
	    evtimer_add(r->on_retry, &now)) {
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
	if (r->on_retry)
		event_free(r->on_retry);
	if (r->on_established)
		event_free(r->on_established);
	if (r->on_relist)
		event_free(r->on_relist);
	free(r->more);
	free(r->path);
	free(r);
}
