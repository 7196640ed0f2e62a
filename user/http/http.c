/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/address.h"
#include "http/clients.h"
#include "http/snapshots.h"

#define MAX_HEADERS    8192
#define MAX_BODY       1024 /* nobody has to send one */
#define CLIENT_TIMEOUT 10   /* s */
#define OWNER_TIMEOUT  10   /* s that a request waits for its document */
#define SWEEP_S	       1
/* The kernel's send buffer per connection; the kernel doubles the value. */
#define SEND_BUFFER (64 << 10)
/* A document may take at most one part in SHARE of its owner's time. */
#define SHARE 20
/* Bytes of large texts that clients have not read yet. Above this limit further requests get 503.
 * One text is always allowed: the metrics of 5,000 peers are 6 MiB. */
#define MAX_UNSENT (32u << 20)
#define SMALL	   (64u << 10)

/* The page loads nothing from other hosts, and cannot be framed. */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* A document as it was made; shared by all answers that carry it. */
struct text {
	char *bytes;
	size_t len;
	int status;
	unsigned int holders;
	size_t *unsent; /* the server's sum */
};

struct cached {
	struct text *text; /* NULL: none, or too old */
	uint64_t until;	   /* ns: requests before this time get this text */
	bool requested;	   /* the owner was asked */
};

/* A request whose document is being made. Its connection may have gone meanwhile: libevent keeps
 * the request until it is answered. */
struct waiting {
	struct evhttp_request *request;
	size_t document;
	uint64_t since; /* ns */
};

struct http {
	struct http_params params;
	bool full;
	struct snapshots *snapshots;
	pthread_t thread;
	bool started;
	int stop; /* eventfd */

	/* The server's thread's. */
	struct event_base *base;
	struct evhttp *server;
	struct clients *clients;
	struct event *on_made, *on_sweep, *on_stop;
	struct cached cached[SNAPSHOTS_MAX];
	struct waiting waiting[CLIENTS_MAX]; /* oldest first */
	size_t n_waiting;
	size_t unsent; /* bytes of texts that clients have not read yet */
};

/* --- texts --- */

/* Takes ownership of the bytes. The caller holds one reference. */
static struct text *text_new(struct http *h, char *bytes, int status)
{
	struct text *t = bytes ? malloc(sizeof(*t)) : NULL;

	if (!t) {
		free(bytes);
		return NULL;
	}
	*t = (struct text){bytes, strlen(bytes), status, 1, &h->unsent};
	h->unsent += t->len;
	return t;
}

static void text_put(struct text *t)
{
	if (!t || --t->holders)
		return;
	*t->unsent -= t->len;
	free(t->bytes);
	free(t);
}

static void on_sent(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	text_put(text);
}

static int text_append(struct text *t, struct evbuffer *to)
{
	if (!t->len)
		return 0;
	t->holders++;
	if (!evbuffer_add_reference(to, t->bytes, t->len, on_sent, t))
		return 0;
	t->holders--;
	return -ENOMEM;
}

/* --- answers --- */

static void answer(struct evhttp_request *request, const char *type, struct text *t)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	const bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
	struct evbuffer *body = evbuffer_new();
	char length[32];

	if (!body || (!head && text_append(t, body))) {
		if (body)
			evbuffer_free(body);
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	snprintf(length, sizeof(length), "%zu", t->len);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Content-Security-Policy", POLICY);
	evhttp_send_reply(request, t->status, NULL, body);
	evbuffer_free(body);
}

static void send_line(struct http *h, struct evhttp_request *request, int status, const char *line)
{
	struct text *t = text_new(h, strdup(line), status);

	if (t)
		answer(request, "text/plain", t);
	else
		evhttp_send_error(request, status, NULL);
	text_put(t);
}

static void answer_health(struct http *h, struct evhttp_request *request)
{
	const uint64_t silence = snapshots_silence_ms(h->snapshots);
	char line[80];

	if (silence <= h->params.hang_ms) {
		send_line(h, request, HTTP_OK, "ok\n");
		return;
	}
	snprintf(line, sizeof(line), "the control thread has not run for %llu s\n",
		 (unsigned long long)(silence / 1000));
	send_line(h, request, HTTP_SERVUNAVAIL, line);
}

/* --- documents --- */

/* Removes the first request that waits for document i; i = n: for any document. */
static struct evhttp_request *next_waiting(struct http *h, size_t i)
{
	for (size_t k = 0; k < h->n_waiting; k++) {
		struct evhttp_request *request = h->waiting[k].request;

		if (i != h->params.n && h->waiting[k].document != i)
			continue;
		h->n_waiting--;
		memmove(&h->waiting[k], &h->waiting[k + 1],
			(h->n_waiting - k) * sizeof(*h->waiting));
		return request;
	}
	return NULL;
}

static void enqueue(struct http *h, struct evhttp_request *request, size_t i)
{
	if (h->n_waiting == CLIENTS_MAX)
		send_line(h, next_waiting(h, h->params.n), HTTP_SERVUNAVAIL,
			  "too many requests at the same time\n");
	h->waiting[h->n_waiting++] = (struct waiting){request, i, clock_now()};
	if (!h->cached[i].requested)
		snapshots_request(h->snapshots, i);
	h->cached[i].requested = true;
}

static void on_request(struct evhttp_request *request, void *context)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	struct evhttp_connection *from = evhttp_request_get_connection(request);
	struct http *h = context;

	for (size_t i = 0; path && i < h->params.n; i++) {
		const struct http_document *d = &h->params.documents[i];
		const struct cached *s = &h->cached[i];

		if (strcmp(path, d->path))
			continue;
		if (d->local && !h->full &&
		    !clients_is_local(evhttp_connection_get_bufferevent(from)))
			send_line(
				h, request, 403,
				"only requests from this machine are answered: use localhost, kubectl port-forward, ssh -L or podveil status\n");
		else if (!d->make)
			answer_health(h, request);
		else if (s->text && (d->constant || clock_now() < s->until))
			answer(request, d->type, s->text);
		else
			enqueue(h, request, i);
		return;
	}
	evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

static void deliver(struct http *h, size_t i, struct snapshot *made)
{
	const size_t len = made->text ? strlen(made->text) : 0;
	struct cached *s = &h->cached[i];
	struct evhttp_request *request;

	s->requested = false;
	text_put(s->text);
	s->text = NULL;
	if (len > SMALL && h->unsent && h->unsent + len > MAX_UNSENT) {
		free(made->text);
		while ((request = next_waiting(h, i)))
			send_line(h, request, HTTP_SERVUNAVAIL,
				  "too many answers wait for slow clients\n");
		return;
	}
	s->text = text_new(h, made->text, made->status);
	s->until = clock_now() + made->cost_ns * SHARE;
	while ((request = next_waiting(h, i))) {
		if (s->text)
			answer(request, h->params.documents[i].type, s->text);
		else
			evhttp_send_error(request, HTTP_INTERNAL, NULL);
	}
}

static void on_made(evutil_socket_t fd, short what, void *context)
{
	struct http *h = context;
	struct snapshot made;

	(void)fd;
	(void)what;
	snapshots_drain(h->snapshots);
	for (size_t i = 0; i < h->params.n; i++)
		if (snapshots_take(h->snapshots, i, &made))
			deliver(h, i, &made);
}

/* Answers requests that waited too long with 503, and frees texts that are too old to be sent. */
static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	const uint64_t now = clock_now();
	struct http *h = context;

	(void)fd;
	(void)what;
	while (h->n_waiting && now - h->waiting[0].since > OWNER_TIMEOUT * 1000000000ull)
		send_line(h, next_waiting(h, h->params.n), HTTP_SERVUNAVAIL,
			  "the control thread does not answer\n");
	for (size_t i = 0; i < h->params.n; i++) {
		if (h->params.documents[i].constant || now < h->cached[i].until)
			continue;
		text_put(h->cached[i].text);
		h->cached[i].text = NULL;
	}
}

static char *make(void *context, size_t i, int *status)
{
	struct http *h = context;

	return h->params.documents[i].make(h->params.context, status);
}

/* --- listening --- */

static int listen_on(struct http *h, const char *address, unsigned short port)
{
	struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(h->server, address, port);
	const int one = 1, room = SEND_BUFFER;
	int fd;

	if (!s)
		return -1;
	/* Connections inherit both. Without the first the end of a long answer waits 40 ms for a
	 * client's ACK; without the second each slow client holds up to 4 MiB of the kernel's. */
	fd = evhttp_bound_socket_get_fd(s);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	clients_listener(h->clients, evhttp_bound_socket_get_listener(s));
	return 0;
}

static int listen_at(struct http *h)
{
	unsigned short port;
	char address[HTTP_ADDRESS];
	int err;

	if (!http_address_split(h->params.address, address, &port))
		return -EINVAL;
	errno = 0;
	/* IPv6 first: where the kernel has it, the same socket accepts IPv4, too, unless bindv6only
	 * is set. */
	if (*address)
		err = listen_on(h, address, port);
	else
		err = listen_on(h, "::", port) & listen_on(h, "0.0.0.0", port);
	return !err ? 0 : errno ? -errno : -EINVAL;
}

/* --- the thread --- */

static void on_stop(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(base);
}

static void *run(void *context)
{
	struct http *h = context;

	pthread_setname_np(pthread_self(), "podveil-http");
	event_base_dispatch(h->base);
	return NULL;
}

/* Signals are the owner's. */
static int start(struct http *h)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&h->thread, NULL, run, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->started = !err;
	return err;
}

/* --- making and freeing --- */

static int make_server(struct http *h)
{
	const struct timeval sweep = {SWEEP_S, 0};

	h->base = event_base_new();
	h->server = h->base ? evhttp_new(h->base) : NULL;
	h->clients = h->base ? clients_new(h->base) : NULL;
	if (!h->server || !h->clients)
		return -ENOMEM;
	h->on_made =
		event_new(h->base, snapshots_fd(h->snapshots), EV_READ | EV_PERSIST, on_made, h);
	h->on_sweep = event_new(h->base, -1, EV_PERSIST, on_sweep, h);
	h->on_stop = event_new(h->base, h->stop, EV_READ, on_stop, h->base);
	if (!h->on_made || !h->on_sweep || !h->on_stop || event_add(h->on_made, NULL) ||
	    event_add(h->on_sweep, &sweep) || event_add(h->on_stop, NULL))
		return -ENOMEM;
	evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->server, MAX_HEADERS);
	evhttp_set_max_body_size(h->server, MAX_BODY);
	evhttp_set_timeout(h->server, CLIENT_TIMEOUT);
	evhttp_set_gencb(h->server, on_request, h);
	evhttp_set_bevcb(h->server, clients_accept, h->clients);
	return 0;
}

static int make_constants(struct http *h)
{
	for (size_t i = 0; i < h->params.n; i++) {
		int status = HTTP_OK;

		if (!h->params.documents[i].constant)
			continue;
		h->cached[i].text = text_new(h, make(h, i, &status), status);
		if (!h->cached[i].text)
			return -ENOMEM;
	}
	return 0;
}

int http_new(const struct http_params *params, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->params = *params;
	h->full = http_address_full(params->address);
	h->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = h->stop < 0 ? -errno : snapshots_new(params->base, make, h, &h->snapshots);
	if (!err)
		err = make_server(h);
	if (!err)
		err = make_constants(h);
	if (!err)
		err = listen_at(h);
	if (!err)
		err = start(h);
	if (err)
		http_free(h);
	else
		*out = h;
	return err;
}

static void free_server(struct http *h)
{
	struct event *const events[] = {h->on_made, h->on_sweep, h->on_stop};

	while (h->n_waiting)
		send_line(h, next_waiting(h, h->params.n), HTTP_SERVUNAVAIL,
			  "the agent is stopping\n");
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (events[i])
			event_free(events[i]);
	if (h->server)
		evhttp_free(h->server);
	clients_free(h->clients);
	/* Connections free their memory in the next pass of the loop. */
	event_base_loop(h->base, EVLOOP_NONBLOCK);
	event_base_free(h->base);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	if (h->started) {
		eventfd_write(h->stop, 1);
		pthread_join(h->thread, NULL);
	}
	if (h->base)
		free_server(h);
	for (size_t i = 0; i < h->params.n; i++)
		text_put(h->cached[i].text);
	snapshots_free(h->snapshots);
	if (h->stop >= 0)
		close(h->stop);
	free(h);
}
