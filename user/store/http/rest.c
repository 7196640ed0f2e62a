/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/files.h"
#include "store/http/connections.h"

#define IDLE_CHECK_S	3
#define BAD_ANSWER_MAX	(64u << 10) /* bytes kept of a body with a bad status */
#define TOKEN_MAX_BYTES (64u << 10)

struct rest_call {
	struct rest *rest;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *body;
	struct rest_request request;
	char *answer; /* the body, for done() */
	size_t len, room;
	uint64_t started_at,
		last_received; /* ms, monotonic; equal to started_at: nothing received yet */
	bool overflow, refused, lost;
	bool waiting;	/* started within a data() callback: given to libcurl after it */
	bool cancelled; /* cancelled within a data() callback: freed after it */
	char error[CURL_ERROR_SIZE];
	TAILQ_ENTRY(rest_call) in_list;
};

struct rest {
	struct event_base *base;
	struct credentials as;
	char *authorization;	       /* from rest_authorise(); NULL: none */
	struct curl_slist *connect_to; /* NULL: connect to the URL's host */
	char *probe;
	struct connections *connections;
	struct event *on_idle_check, *on_deferred;
	bool in_data; /* in a callback from libcurl, so we must not call it */
	TAILQ_HEAD(, rest_call) calls;
	struct rest_call *probing; /* the probe under way; NULL: none */
	long probed;		   /* the local port on which the last probe was answered */
	char peer[64];		   /* address that the last answer came from */
	uint64_t quiet_limit;	   /* ms without data before a probe is sent; random */
	unsigned int busy;	   /* number of done() callbacks that are running */
	bool closed; /* a done() freed the client: its memory is freed after the last of them */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- receiving --- */

static size_t on_data(char *bytes, size_t size, size_t n, void *context)
{
	struct rest_call *c = context;
	const size_t len = size * n;
	long status = 0;
	size_t limit;

	c->last_received = now_ms();
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->cancelled)
		return 0;
	if (status / 100 == 2 && c->request.data) {
		c->rest->in_data = true;
		c->refused = !c->request.data(c->request.context, bytes, len);
		c->rest->in_data = false;
		return c->refused ? 0 : len;
	}
	limit = status / 100 == 2 ? REST_ANSWER_BYTES : BAD_ANSWER_MAX;
	if (c->len + len > limit) {
		c->overflow = status / 100 == 2;
		return c->overflow ? 0 : len; /* of a bad answer, the beginning is enough */
	}
	if (c->len + len + 1 > c->room) {
		const size_t room = (c->len + len + 1) * 2;
		char *more = realloc(c->answer, room);

		if (!more)
			return 0;
		c->answer = more;
		c->room = room;
	}
	memcpy(c->answer + c->len, bytes, len);
	c->len += len;
	c->answer[c->len] = 0;
	return len;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *context)
{
	struct rest_call *c = context;
	long status = 0;

	c->last_received = now_ms();
	/* An empty line ends the headers. */
	if (*bytes != '\r' && *bytes != '\n')
		return size * n;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 == 2 && c->request.answered && !c->cancelled)
		c->request.answered(c->request.context);
	return size * n;
}

/* --- calls --- */

static void call_free(struct rest_call *c)
{
	struct rest *r = c->rest;

	TAILQ_REMOVE(&r->calls, c, in_list);
	if (r->probing == c)
		r->probing = NULL;
	if (c->easy) {
		if (r->connections)
			connections_remove(r->connections, c->easy);
		curl_easy_cleanup(c->easy);
	}
	for (struct curl_slist *h = c->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* a token may be in it */
	curl_slist_free_all(c->headers);
	free(c->url);
	credentials_wipe(&c->body); /* a password may be in it, and a token in the answer */
	if (c->answer)
		explicit_bzero(c->answer, c->len);
	free(c->answer);
	free(c);
}

static bool add_line(struct rest_call *c, const char *line)
{
	struct curl_slist *more = curl_slist_append(c->headers, line);

	if (more)
		c->headers = more;
	return more;
}

static bool add_header(struct rest_call *c, const char *name, const char *value)
{
	bool good;
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	good = add_line(c, line);
	credentials_wipe(&line);
	return good;
}

/* Adds the Authorization header. The token's file is read each time, because it is replaced before
 * the token expires. */
static bool authorise(struct rest_call *c)
{
	const struct credentials *as = &c->rest->as;
	char *value = NULL, *text = NULL;
	const char *token = as->token;
	size_t len;
	bool good;

	if (c->rest->authorization)
		return add_header(c, "Authorization", c->rest->authorization);
	if (as->token_file && !file_read(as->token_file, TOKEN_MAX_BYTES, &text, &len)) {
		text[strcspn(text, "\r\n")] = 0;
		token = text;
	}
	good = !token ||
	       (asprintf(&value, "Bearer %s", token) >= 0 && add_header(c, "Authorization", value));
	credentials_wipe(&value);
	credentials_wipe(&text);
	return good;
}

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

static int prepare(struct rest_call *c)
{
	const struct rest_request *q = &c->request;
	CURL *e = c->easy;

	if (!add_header(c, "Accept", "application/json") ||
	    (q->content_type && !add_header(c, "Content-Type", q->content_type)) ||
	    (q->header && !add_line(c, q->header)) || !authorise(c))
		return -ENOMEM;
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_URL, c->url);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "podveil");
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	if (c->body) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(c->body));
	}
	if (c->rest->connect_to)
		curl_easy_setopt(e, CURLOPT_CONNECT_TO, c->rest->connect_to);
	credentials_apply(&c->rest->as, e);
	return 0;
}

struct rest_call *rest_start(struct rest *r, const struct rest_request *q)
{
	struct rest_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->rest = r;
	c->request = *q;
	c->started_at = c->last_received = now_ms();
	TAILQ_INSERT_TAIL(&r->calls, c, in_list);
	c->easy = curl_easy_init();
	c->body = q->body ? strdup(q->body) : NULL;
	if (asprintf(&c->url, "%s%s", r->as.server, q->path) < 0)
		c->url = NULL;
	if (!c->easy || !c->url || (q->body && !c->body) || prepare(c) ||
	    (!r->in_data && connections_add(r->connections, c->easy))) {
		call_free(c);
		return NULL;
	}
	c->waiting = r->in_data;
	if (c->waiting)
		event_active(r->on_deferred, EV_TIMEOUT, 0);
	return c;
}

void rest_cancel(struct rest_call *c)
{
	if (!c)
		return;
	if (!c->rest->in_data) {
		call_free(c);
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
	call_free(c);
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
			call_free(c);
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

static const char *explain(const struct rest_call *c, CURLcode result, long status,
			   char room[CURL_ERROR_SIZE])
{
	if (c->overflow)
		return "the answer is larger than 4 MiB";
	if (c->refused)
		return "the answer is not valid";
	if (result != CURLE_OK)
		return *c->error ? c->error : curl_easy_strerror(result);
	if (status / 100 == 2)
		return "";
	snprintf(room, CURL_ERROR_SIZE, "HTTP status %ld", status);
	return room;
}

/* --- the end of calls and of connections --- */

const char *rest_peer(const struct rest *r)
{
	return r->peer;
}

static bool on_ended(void *context, CURL *easy, CURLcode result);

/* Closes all connections and ends all calls. Used when a connection is dead, because libcurl would
 * use it for the next call. False: no memory; the next check tries again. */
static bool reset(struct rest *r, const char *why)
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

static void probe(struct rest *r);

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
	probed = c == r->probing;
	snprintf(error, sizeof(error), "%s", explain(c, result, status, room));
	if (!end(c, result == CURLE_OK ? status : 0, error))
		return false;
	if (result != CURLE_OPERATION_TIMEDOUT)
		return true;
	if (probed)
		return !reset(r, "the server does not answer");
	probe(r);
	return true;
}

/* --- finding dead connections --- */

/* The probe was answered: all calls on its connection are alive. Calls on connections that cannot
 * be shared (HTTP/1) count as alive, too, because nothing more can be found out about them. */
static void on_probed(void *context, const struct rest_answer *a)
{
	struct rest *r = context;
	struct rest_call *c;

	if (!a->status)
		return; /* on_ended() or the kernel has handled it */
	TAILQ_FOREACH (c, &r->calls, in_list)
		if (!c->request.timeout_ms &&
		    (connections_port(c->easy) == r->probed || !connections_shared(c->easy)))
			c->last_received = now_ms();
}

/* When this call, or another one on its connection, received something last. In a busy cluster one
 * watch always receives something, so the others need no probe. */
static uint64_t last_received_on_connection(const struct rest *r, const struct rest_call *c)
{
	const long port = connections_port(c->easy);
	const struct rest_call *other;
	uint64_t last = c->last_received;

	TAILQ_FOREACH (other, &r->calls, in_list)
		if (port && other->last_received > other->started_at &&
		    other->last_received > last && connections_port(other->easy) == port)
			last = other->last_received;
	return last;
}

/* Random, so that thousands of nodes do not send their probes at the same moment. */
static uint64_t random_quiet_limit(void)
{
	return REST_QUIET_MS + randombytes_uniform(REST_QUIET_MS / 2);
}

static bool on_probe_data(void *context, const char *bytes, size_t n)
{
	struct rest *r = context;

	(void)bytes;
	(void)n;
	if (r->probing)
		r->probed = connections_port(r->probing->easy);
	return true;
}

static void probe(struct rest *r)
{
	const struct rest_request q = {
		.method = "GET",
		.path = r->probe,
		.timeout_ms = REST_PROBE_MS,
		.data = on_probe_data,
		.done = on_probed,
		.context = r,
	};

	if (!r->probing)
		r->probing = rest_start(r, &q);
}

static void on_idle_check(evutil_socket_t fd, short what, void *context)
{
	struct rest *r = context;
	const uint64_t now = now_ms();
	bool quiet = false, dead = false;
	struct rest_call *c;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (c, &r->calls, in_list) {
		uint64_t silence;

		if (c->request.timeout_ms)
			continue;
		silence = now - last_received_on_connection(r, c);
		quiet |= silence > r->quiet_limit;
		dead |= silence > r->quiet_limit + REST_PROBE_MS + 2000 * IDLE_CHECK_S;
	}
	if (quiet && !r->probing)
		r->quiet_limit = random_quiet_limit();
	if (dead)
		reset(r, "the connection is dead");
	else if (quiet)
		probe(r);
}

/* --- making and freeing --- */

int rest_new(struct event_base *base, struct credentials *as, const char *probe, struct rest **out)
{
	static bool initialised;
	const struct timeval often = {IDLE_CHECK_S, 0};
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
	r->probe = strdup(probe);
	r->quiet_limit = random_quiet_limit();
	r->on_idle_check = event_new(base, -1, EV_PERSIST, on_idle_check, r);
	r->on_deferred = evtimer_new(base, on_deferred, r);
	r->connections = connections_new(base, on_ended, r);
	if ((r->as.server_name && set_server_name(r)) || !r->probe || !r->connections ||
	    !r->on_idle_check || !r->on_deferred || event_add(r->on_idle_check, &often)) {
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
		call_free(c);
	connections_free(r->connections);
	if (r->on_idle_check)
		event_free(r->on_idle_check);
	if (r->on_deferred)
		event_free(r->on_deferred);
	curl_slist_free_all(r->connect_to);
	credentials_wipe(&r->authorization);
	free(r->probe);
	credentials_fini(&r->as);
	r->closed = true;
	if (!r->busy)
		free(r);
}
