/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http/rest.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/http/rest_internal.h"

struct rest_call *rest_start(struct rest *r, const struct rest_request *q)
{
	struct rest_call *c = rest_call_new(r, q);

	if (!c)
		return NULL;
	if (r->in_data) {
		c->waiting = true;
		event_active(r->on_deferred, EV_TIMEOUT, 0);
	} else if (connections_add(r->connections, c->easy)) {
		rest_call_free(c);
		return NULL;
	}
	return c;
}

void rest_cancel(struct rest_call *c)
{
	if (!c)
		return;
	if (!c->rest->in_data) {
		rest_call_free(c);
		return;
	}
	/* libcurl still uses it: we may be in one of its callbacks. */
	c->cancelled = true;
	c->request.done = NULL;
	event_active(c->rest->on_deferred, EV_TIMEOUT, 0);
}

int rest_move(struct rest *r, const char *server)
{
	char *copy = strdup(server);

	if (!copy)
		return -ENOMEM;
	free(r->as.server);
	r->as.server = copy;
	return 0;
}

int rest_authorise(struct rest *r, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	credentials_wipe(&r->authorization);
	r->authorization = copy;
	return 0;
}

char *rest_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

/* Call this after a done(). False: the done() has freed the client. */
static bool stays(struct rest *r)
{
	const bool closed = r->closed;

	if (!--r->busy && closed)
		free(r);
	return !closed;
}

/* Ends a call and calls its done(). False: done() has freed the client. */
static bool end(struct rest_call *c, long status, const char *error)
{
	struct rest *r = c->rest;
	const struct rest_request q = c->request;
	struct rest_answer a = {.status = status,
				.error = error,
				.url = c->url,
				.body = "",
				.len = c->len,
				.too_large = c->overflow};
	curl_off_t wait = 0;
	char *body = c->answer, *url = c->url;

	if (body)
		a.body = body;
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &wait);
	a.retry_after = wait > 0 && wait < 3600 ? (unsigned int)wait : 0;
	c->answer = c->url = NULL;
	rest_call_free(c);
	r->busy++;
	if (q.done)
		q.done(q.context, &a);
	if (body)
		explicit_bzero(body, a.len);
	free(body);
	free(url);
	return stays(r);
}

/* Starts and frees the calls that were started and cancelled within a data() callback. */
static void on_deferred(evutil_socket_t fd, short what, void *context)
{
	struct rest *r = context;
	struct rest_call *c = TAILQ_FIRST(&r->calls);

	(void)fd;
	(void)what;
	while (c) {
		struct rest_call *next = TAILQ_NEXT(c, in_list);

		if (c->cancelled) {
			rest_call_free(c);
		} else if (c->waiting) {
			c->waiting = false;
			if (connections_add(r->connections, c->easy)) {
				if (!end(c, 0, "no memory for a request"))
					return;
				next = TAILQ_FIRST(&r->calls);
			}
		}
		c = next;
	}
}

/* --- the end of calls and of connections --- */

const char *rest_peer(const struct rest *r)
{
	return r->peer;
}

static bool on_ended(void *context, CURL *easy, CURLcode result);

bool rest_reset(struct rest *r, const char *why)
{
	struct connections *fresh = connections_new(r->base, on_ended, r);
	struct rest_call *c;

	if (!fresh)
		return false;
	TAILQ_FOREACH (c, &r->calls, in_list) {
		connections_remove(r->connections, c->easy);
		c->lost = true;
	}
	connections_free(r->connections);
	r->connections = fresh;
	/* Calls that a done() starts are added behind these, with `lost` false. */
	while ((c = TAILQ_FIRST(&r->calls)) && c->lost)
		if (!end(c, 0, why))
			break;
	return true;
}

/* A call that timed out says nothing about the other calls. So their connection is probed, and
 * reset only if the probe times out, too. */
static bool on_ended(void *context, CURL *easy, CURLcode result)
{
	char room[CURL_ERROR_SIZE], error[CURL_ERROR_SIZE];
	struct rest *r = context;
	struct rest_call *c;
	const char *peer;
	long status = 0;
	bool probed;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (result == CURLE_OK && !curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &peer) && peer)
		snprintf(r->peer, sizeof(r->peer), "%s", peer);
	probed = c == r->probe.call;
	snprintf(error, sizeof(error), "%s", rest_call_error(c, result, status, room));
	if (!end(c, result == CURLE_OK ? status : 0, error))
		return false;
	if (result != CURLE_OPERATION_TIMEDOUT)
		return true;
	if (probed)
		return !rest_reset(r, "the server does not answer");
	rest_probe_send(r);
	return true;
}

/* --- making and freeing --- */

/* Puts the certificate's name into the URL, so that TLS checks it, but connects to the real
 * host. */
static int set_server_name(struct rest *r)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *url = NULL, *to = NULL;
	int err = -ENOMEM;

	if (u && !curl_url_set(u, CURLUPART_URL, r->as.server, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
	    !curl_url_set(u, CURLUPART_HOST, r->as.server_name, 0) &&
	    !curl_url_get(u, CURLUPART_URL, &url, 0) && asprintf(&to, "::%s:%s", host, port) >= 0) {
		r->connect_to = curl_slist_append(NULL, to);
		free(r->as.server);
		r->as.server = strdup(url);
		if (r->connect_to && r->as.server) {
			size_t len = strlen(r->as.server);

			while (len && r->as.server[len - 1] == '/')
				r->as.server[--len] = 0;
			err = 0;
		}
	}
	free(to);
	curl_free(url);
	curl_free(port);
	curl_free(host);
	curl_url_cleanup(u);
	return err;
}

int rest_new(struct event_base *base, struct credentials *as, const char *probe, struct rest **out)
{
	static bool initialised;
	struct rest *r = calloc(1, sizeof(*r));

	if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(r);
		credentials_fini(as);
		return -ENOMEM;
	}
	initialised = true;
	if (!r) {
		credentials_fini(as);
		return -ENOMEM;
	}
	r->base = base;
	r->as = *as;
	memset(as, 0, sizeof(*as));
	TAILQ_INIT(&r->calls);
	r->on_deferred = evtimer_new(base, on_deferred, r);
	r->connections = connections_new(base, on_ended, r);
	if (rest_probe_init(r, probe) || (r->as.server_name && set_server_name(r)) ||
	    !r->connections || !r->on_deferred) {
		rest_free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void rest_free(struct rest *r)
{
	struct rest_call *c;

	if (!r)
		return;
	while ((c = TAILQ_FIRST(&r->calls)))
		rest_call_free(c);
	connections_free(r->connections);
	rest_probe_fini(r);
	if (r->on_deferred)
		event_free(r->on_deferred);
	curl_slist_free_all(r->connect_to);
	credentials_wipe(&r->authorization);
	credentials_fini(&r->as);
	r->closed = true;
	if (!r->busy)
		free(r);
}
