/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of an HTTP server of libevent's, which itself neither counts nor limits them: at
 * most CLIENTS_MAX at a time, and what is too slow is closed. Where one more comes, the address that
 * has most of them loses its oldest: no single client keeps others out.
 *
 * Thread: the server's.
 */
#ifndef HTTP_CLIENTS_H
#define HTTP_CLIENTS_H

#include <stdbool.h>

#define CLIENTS_MAX 160

struct bufferevent;
struct clients;
struct evconnlistener;
struct event_base;

struct clients *clients_new(struct event_base *base); /* NULL: no memory */
/* After the server itself. */
void clients_free(struct clients *c);

/* One of the server's listeners, at most 2: it rests for a moment after many at once. */
void clients_listener(struct clients *c, struct evconnlistener *listener);
/* For evhttp_set_bevcb(), with the clients as its context. */
struct bufferevent *clients_accept(struct event_base *base, void *clients);

/* The other end is on this machine, by a loopback address. */
bool clients_is_local(struct bufferevent *connection);

#endif
