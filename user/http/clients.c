/* SPDX-License-Identifier: Apache-2.0 */
#include "http/clients.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* After this many new connections the listeners pause briefly. Closed connections are freed in the
 * next pass of the event loop, and other events get their turn. */
#define MAX_BURST 32
#define REST_MS	  5
#define SWEEP_S	  1 /* how often ended connections are looked for */
/* A connection that has not taken its answer within this time is closed, even if it reads slowly. */
#define MAX_AGE_S 60

/* We make each connection's bufferevent and hold a reference to it. When the server releases it, it
 * has no callbacks any more; dropping our reference then closes the socket. */
struct client {
	struct bufferevent *connection;
	time_t since; /* monotonic */
};

struct clients {
	struct client open[CLIENTS_MAX]; /* oldest first */
	unsigned int n_open;
	struct evconnlistener *listeners[2];
	unsigned int n_listeners, burst;
	struct event *on_rest, *on_sweep;
};

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* The other end's address, IPv4 mapped into IPv6; all zero: not connected any more, or not yet. */
static struct in6_addr address_of(struct bufferevent *connection)
{
	struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&from;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&from;
	struct in6_addr out = IN6ADDR_ANY_INIT;
	socklen_t len = sizeof(from);

	if (getpeername(bufferevent_getfd(connection), (struct sockaddr *)&from, &len))
		return out;
	if (from.ss_family == AF_INET6) {
		out = v6->sin6_addr;
	} else if (from.ss_family == AF_INET) {
		out.s6_addr[10] = out.s6_addr[11] = 0xff;
		memcpy(&out.s6_addr[12], &v4->sin_addr, 4);
	}
	return out;
}

bool clients_is_local(struct bufferevent *connection)
{
	const struct in6_addr from = address_of(connection);

	return IN6_IS_ADDR_LOOPBACK(&from) ||
	       (IN6_IS_ADDR_V4MAPPED(&from) && from.s6_addr[12] == 127);
}

/* --- closing --- */

static void drop(struct clients *c, unsigned int i)
{
	struct bufferevent *b = c->open[i].connection;

	c->n_open--;
	memmove(&c->open[i], &c->open[i + 1], (c->n_open - i) * sizeof(*c->open));
	/* The same path as for a client that is too slow. */
	bufferevent_trigger_event(b, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
	bufferevent_decref(b);
}

/* The oldest connection of the address that has the most connections. */
static unsigned int first_to_go(const struct clients *c)
{
	struct in6_addr from[CLIENTS_MAX];
	unsigned int chosen = 0, most = 0;

	for (unsigned int i = 0; i < c->n_open; i++)
		from[i] = address_of(c->open[i].connection);
	for (unsigned int i = 0; i < c->n_open; i++) {
		unsigned int n = 0;

		for (unsigned int k = i; k < c->n_open; k++)
			n += !memcmp(&from[k], &from[i], sizeof(from[i]));
		if (n > most) {
			most = n;
			chosen = i;
		}
	}
	return chosen;
}

static void forget_closed(struct clients *c)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < c->n_open; i++) {
		bufferevent_data_cb on_data;
		bufferevent_event_cb on_event;

		bufferevent_getcb(c->open[i].connection, &on_data, NULL, &on_event, NULL);
		if (on_data || on_event)
			c->open[kept++] = c->open[i];
		else
			bufferevent_decref(c->open[i].connection);
	}
	c->n_open = kept;
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct clients *c = context;
	const time_t now = now_s();

	(void)fd;
	(void)what;
	forget_closed(c);
	for (unsigned int i = c->n_open; i--;) {
		struct bufferevent *b = c->open[i].connection;

		if (now - c->open[i].since >= MAX_AGE_S &&
		    evbuffer_get_length(bufferevent_get_output(b)))
			drop(c, i);
	}
}

/* --- accepting --- */

static void on_rested(evutil_socket_t fd, short what, void *context)
{
	struct clients *c = context;

	(void)fd;
	(void)what;
	c->burst = 0;
	for (unsigned int i = 0; i < c->n_listeners; i++)
		evconnlistener_enable(c->listeners[i]);
}

static void rest(struct clients *c)
{
	const struct timeval moment = {0, REST_MS * 1000};

	for (unsigned int i = 0; i < c->n_listeners; i++)
		evconnlistener_disable(c->listeners[i]);
	evtimer_add(c->on_rest, &moment);
}

void clients_listener(struct clients *c, struct evconnlistener *listener)
{
	c->listeners[c->n_listeners++] = listener;
}

struct bufferevent *clients_accept(struct event_base *base, void *clients)
{
	struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct clients *c = clients;

	if (!b)
		return NULL;
	if (++c->burst >= MAX_BURST)
		rest(c);
	forget_closed(c);
	if (c->n_open == CLIENTS_MAX)
		drop(c, first_to_go(c));
	bufferevent_incref(b);
	c->open[c->n_open++] = (struct client){b, now_s()};
	return b;
}

/* --- making and freeing --- */

struct clients *clients_new(struct event_base *base)
{
	const struct timeval sweep = {SWEEP_S, 0};
	struct clients *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->on_rest = evtimer_new(base, on_rested, c);
	c->on_sweep = event_new(base, -1, EV_PERSIST, on_sweep, c);
	if (!c->on_rest || !c->on_sweep || event_add(c->on_sweep, &sweep)) {
		clients_free(c);
		return NULL;
	}
	return c;
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	if (c->on_rest)
		event_free(c->on_rest);
	if (c->on_sweep)
		event_free(c->on_sweep);
	for (unsigned int i = 0; i < c->n_open; i++)
		bufferevent_decref(c->open[i].connection);
	free(c);
}
