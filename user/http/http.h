/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server (libevent's) for documents that are made on request: GET and HEAD, short
 * requests. It has a thread and an event loop of its own, so that clients, however many, slow or
 * hostile, never hold up whose documents they ask for; and it says in his stead whether he lives.
 *
 * A document is made by its owner's loop when somebody asks (snapshots.h). Making it may take at most
 * a twentieth of the owner's time: who asks sooner gets what was made last. All who take the same
 * text share it. Bounded: connections (clients.h), texts that clients have not taken yet (beyond that
 * 503), and how long a request waits for the owner (503).
 *
 * Threads: http_new() and http_free() are the owner's, and documents are made in it; all else is the
 * server's own.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct http;

struct http_document {
	const char *path; /* "/metrics" */
	const char *type; /* "text/plain; version=0.0.4; charset=utf-8" */
	/* Owner. Allocated text; *status is 200 unless it sets another. NULL: no memory (500). No
	 * function at all: the document says "ok", or 503 where the owner's loop hangs. */
	char *(*make)(void *context, int *status);
	bool constant; /* is made once, by http_new() */
	bool local;    /* only for clients at a loopback address, unless the address says ",full" */
};

struct http_params {
	struct event_base *base;	       /* the owner's */
	const char *address;		       /* to listen at, in the form of http/address.h */
	const struct http_document *documents; /* at most SNAPSHOTS_MAX; they stay the owner's */
	size_t n;
	void *context;
	unsigned int hang_ms; /* without a sign of life the owner hangs */
};

/* Listens. -EINVAL: the address is not valid; -EADDRINUSE and others. */
int http_new(const struct http_params *params, struct http **out);
void http_free(struct http *h);

#endif
