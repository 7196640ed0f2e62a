/* SPDX-License-Identifier: Apache-2.0 */
/* A server in the test's own event loop that plays the API server, and the client that is tested
 * against it. The test answers the requests. */
#ifndef UNIT_API_SERVER_H
#define UNIT_API_SERVER_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>

#include "base/event_wait.h"
#include "check.h"
#include "store/http/rest.h"

struct api_server {
	struct event_base *base;
	struct evhttp *http;
	struct rest *rest;		 /* the client */
	struct evhttp_request *open[64]; /* begun, not ended: libevent does not free them */
	size_t n_open;
};

static inline void api_server_run(struct api_server *s, unsigned int ms)
{
	event_pause(s->base, ms);
}

static inline void api_server_keep_open(struct api_server *s, struct evhttp_request *q)
{
	assert_true(s->n_open < COUNT_OF(s->open));
	s->open[s->n_open++] = q;
}

/* `alive`: the path by which the client asks whether the server lives. */
static inline void api_server_begin(struct api_server *s, const char *alive,
				    void (*serve)(struct evhttp_request *q, void *context),
				    void *context)
{
	struct credentials as = {.insecure = false};
	struct evhttp_bound_socket *socket;
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	signal(SIGPIPE, SIG_IGN);
	*s = (struct api_server){.base = event_base_new()};
	s->http = evhttp_new(s->base);
	evhttp_set_gencb(s->http, serve, context);
	socket = evhttp_bind_socket_with_handle(s->http, "127.0.0.1", 0);
	assert_non_null(socket);
	getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&at, &len);
	assert_true(asprintf(&as.server, "http://127.0.0.1:%u", ntohs(at.sin_port)) > 0);
	assert_int_equal(rest_new(s->base, &as, alive, &s->rest), 0);
}

/* What used the client was freed before. */
static inline void api_server_end(struct api_server *s)
{
	rest_free(s->rest);
	api_server_run(s, 50); /* so that the server sees the connections close */
	while (s->n_open)
		evhttp_send_reply_end(s->open[--s->n_open]);
	evhttp_free(s->http);
	event_base_free(s->base);
}

#endif
