/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_HEADERS	8192
#define MAX_BODY	1024 /* nobody has to send one */
#define CLIENT_PATIENCE 10   /* s */
/* So many connections at a time; the next one costs the oldest its own. */
#define MAX_CONNECTIONS 64
/* After so many the listeners rest for a moment: what was closed is freed when the loop comes
 * round, and others on it want their turn. */
#define MAX_BURST 32
#define REST_MS	  5
#define SWEEP_S	  1 /* so often it is looked whose connections ended */

/* Of answers that clients have not taken yet; beyond that they are told to come again (503). One
 * answer is always given: of 5,000 peers the metrics are 6 MiB. */
#define MAX_UNTAKEN (32u << 20)

/* Nothing on the page comes from elsewhere, and nobody shows it inside another. */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct http {
	struct evhttp *server;
	const struct http_document *documents;
	size_t n;
	void *context;
	/* libevent's server neither counts nor limits connections. Each one's bufferevent is made
	 * by us and bears a reference of ours; when the server has let go of it, it has no
	 * callbacks any more, and its socket closes with our reference. Oldest first. */
	struct bufferevent *open[MAX_CONNECTIONS];
	unsigned int n_open;
	struct evconnlistener *listeners[2];
	unsigned int n_listeners, burst;
	struct event *on_rest, *on_sweep;
	struct tally *tally;
};

/* libevent frees what connections held when its loop comes round, which may be after us. */
struct tally {
	size_t untaken; /* bytes of answers */
	bool orphaned;	/* the server is gone: the last answer frees this */
};

struct answer {
	struct tally *tally;
	char *text;
};

static void answer_taken(const void *data, size_t len, void *context)
{
	struct answer *a = context;

	(void)data;
	a->tally->untaken -= len;
	if (a->tally->orphaned && !a->tally->untaken)
		free(a->tally);
	free(a->text);
	free(a);
}

/* Takes the text over. */
static int put_text(struct http *h, struct evbuffer *body, char *text, size_t len)
{
	struct answer *a = malloc(sizeof(*a));

	if (!a) {
		free(text);
		return -ENOMEM;
	}
	*a = (struct answer){h->tally, text};
	h->tally->untaken += len;
	/* Of nothing there is no reference, and nobody would be told. */
	if (!len || evbuffer_add_reference(body, text, len, answer_taken, a)) {
		answer_taken(text, len, a);
		return len ? -ENOMEM : 0;
	}
	return 0;
}

static void reply(struct http *h, struct evhttp_request *request, int status, const char *type,
		  char *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	const bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
	const size_t size = strlen(text);
	struct evbuffer *body;
	char length[32];

	if (!head && h->tally->untaken && h->tally->untaken + size > MAX_UNTAKEN) {
		free(text);
		evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
		return;
	}
	body = evbuffer_new();
	if (head || !body)
		free(text);
	if (!body || (!head && put_text(h, body, text, size))) {
		if (body)
			evbuffer_free(body);
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	snprintf(length, sizeof(length), "%zu", size);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Content-Security-Policy", POLICY);
	evhttp_send_reply(request, status, NULL, body);
	evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *context)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	struct http *h = context;

	for (size_t i = 0; path && i < h->n; i++) {
		const struct http_document *d = &h->documents[i];
		int status = HTTP_OK;
		char *text;

		if (strcmp(path, d->path))
			continue;
		text = d->make(h->context, &status);
		if (text)
			reply(h, request, status, d->type, text);
		else
			evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

static void drop_closed(struct http *h)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < h->n_open; i++) {
		bufferevent_data_cb on_data;
		bufferevent_event_cb on_event;

		bufferevent_getcb(h->open[i], &on_data, NULL, &on_event, NULL);
		if (on_data || on_event)
			h->open[kept++] = h->open[i];
		else
			bufferevent_decref(h->open[i]);
	}
	h->n_open = kept;
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	drop_closed(context);
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
	struct http *h = context;

	(void)fd;
	(void)what;
	h->burst = 0;
	for (unsigned int i = 0; i < h->n_listeners; i++)
		evconnlistener_enable(h->listeners[i]);
}

static void rest(struct http *h)
{
	const struct timeval moment = {0, REST_MS * 1000};

	for (unsigned int i = 0; i < h->n_listeners; i++)
		evconnlistener_disable(h->listeners[i]);
	evtimer_add(h->on_rest, &moment);
}

/* A connection was accepted: the server wants a bufferevent for it. */
static struct bufferevent *on_connection(struct event_base *base, void *context)
{
	struct http *h = context;
	struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (!b)
		return NULL;
	if (++h->burst >= MAX_BURST)
		rest(h);
	drop_closed(h);
	if (h->n_open == MAX_CONNECTIONS) {
		/* As if its client had been too slow. */
		bufferevent_trigger_event(h->open[0], BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
		bufferevent_decref(h->open[0]);
		h->n_open--;
		memmove(h->open, h->open + 1, h->n_open * sizeof(*h->open));
	}
	bufferevent_incref(b);
	h->open[h->n_open++] = b;
	return b;
}

/* "192.0.2.1:9586" into its parts; the address is empty for ":9586". */
static bool split(const char *where, char address[64], unsigned short *port)
{
	const char *colon = strrchr(where, ':');
	unsigned long n;
	char *end;

	if (!colon || (size_t)(colon - where) >= 64)
		return false;
	n = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || !n || n > 65535)
		return false;
	*port = (unsigned short)n;
	memcpy(address, where, (size_t)(colon - where));
	address[colon - where] = 0;
	if (*address == '[') {
		const size_t len = strlen(address);

		if (len < 3 || address[len - 1] != ']')
			return false;
		memmove(address, address + 1, len);
		address[len - 2] = 0;
	}
	return true;
}

static int listen_on(struct http *h, const char *address, unsigned short port)
{
	struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(h->server, address, port);
	const int one = 1;

	if (!s)
		return -1;
	/* Connections inherit it: else the end of a long answer waits 40 ms for a client's ACK. */
	h->listeners[h->n_listeners++] = evhttp_bound_socket_get_listener(s);
	setsockopt(evhttp_bound_socket_get_fd(s), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

int http_new(struct event_base *base, const char *where, const struct http_document *documents,
	     size_t n, void *context, struct http **out)
{
	const struct timeval sweep = {SWEEP_S, 0};
	unsigned short port;
	char address[64];
	struct http *h;
	int err;

	if (!split(where, address, &port))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->documents = documents;
	h->n = n;
	h->context = context;
	h->tally = calloc(1, sizeof(*h->tally));
	h->server = h->tally ? evhttp_new(base) : NULL;
	if (!h->server) {
		free(h->tally);
		free(h);
		return -ENOMEM;
	}
	h->on_rest = evtimer_new(base, on_rested, h);
	h->on_sweep = event_new(base, -1, EV_PERSIST, on_sweep, h);
	if (!h->on_rest || !h->on_sweep || event_add(h->on_sweep, &sweep)) {
		http_free(h);
		return -ENOMEM;
	}
	evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->server, MAX_HEADERS);
	evhttp_set_max_body_size(h->server, MAX_BODY);
	evhttp_set_timeout(h->server, CLIENT_PATIENCE);
	evhttp_set_gencb(h->server, on_request, h);
	evhttp_set_bevcb(h->server, on_connection, h);
	errno = 0;
	/* IPv6 first: where it is there, its socket hears IPv4, too, unless it was told not to. */
	if (*address)
		err = listen_on(h, address, port);
	else
		err = listen_on(h, "::", port) & listen_on(h, "0.0.0.0", port);
	if (err) {
		err = errno ? -errno : -EINVAL;
		http_free(h);
		return err;
	}
	*out = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	if (h->on_rest)
		event_free(h->on_rest);
	if (h->on_sweep)
		event_free(h->on_sweep);
	evhttp_free(h->server);
	for (unsigned int i = 0; i < h->n_open; i++)
		bufferevent_decref(h->open[i]);
	h->tally->orphaned = true;
	if (!h->tally->untaken)
		free(h->tally);
	free(h);
}
