/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
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
	 * callbacks any more. Oldest first. */
	struct bufferevent *open[MAX_CONNECTIONS];
	unsigned int n_open;
};

static void free_text(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	free(text);
}

static void reply(struct evhttp_request *request, int status, const char *type, char *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evbuffer_new();
	char length[32];

	if (!body) {
		free(text);
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	snprintf(length, sizeof(length), "%zu", strlen(text));
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Content-Security-Policy", POLICY);
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
		free(text);
	else
		evbuffer_add_reference(body, text, strlen(text), free_text, text);
	evhttp_send_reply(request, status, NULL, body);
	evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *context)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	const struct http *h = context;

	for (size_t i = 0; path && i < h->n; i++) {
		const struct http_document *d = &h->documents[i];
		int status = HTTP_OK;
		char *text;

		if (strcmp(path, d->path))
			continue;
		text = d->make(h->context, &status);
		if (text)
			reply(request, status, d->type, text);
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

/* A connection was accepted: the server wants a bufferevent for it. */
static struct bufferevent *on_connection(struct event_base *base, void *context)
{
	struct http *h = context;
	struct bufferevent *b = bufferevent_socket_new(base, -1, 0);

	if (!b)
		return NULL;
	drop_closed(h);
	if (h->n_open == MAX_CONNECTIONS) {
		/* As if its client had been too slow: the server closes it here and now. */
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
	setsockopt(evhttp_bound_socket_get_fd(s), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

int http_new(struct event_base *base, const char *where, const struct http_document *documents,
	     size_t n, void *context, struct http **out)
{
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
	h->server = evhttp_new(base);
	if (!h->server) {
		free(h);
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
	evhttp_free(h->server);
	for (unsigned int i = 0; i < h->n_open; i++)
		bufferevent_decref(h->open[i]);
	free(h);
}
