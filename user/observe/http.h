/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server (libevent's) for documents that are made on request: GET and HEAD, short
 * requests, slow clients are sent away. Thread: control.
 */
#ifndef OBSERVE_HTTP_H
#define OBSERVE_HTTP_H

#include <stddef.h>

struct event_base;
struct http;

struct http_document {
	const char *path; /* "/metrics" */
	const char *type; /* "text/plain; version=0.0.4; charset=utf-8" */
	/* Allocated text; *status is 200 unless it sets another. NULL: no memory (500). */
	char *(*make)(void *context, int *status);
};

/* Listens on "ADDRESS:PORT" or "[ADDRESS]:PORT"; ":PORT": on all addresses. -EINVAL: neither;
 * -EADDRINUSE and others. `documents` stay the caller's, and stay. */
int http_new(struct event_base *base, const char *where, const struct http_document *documents,
	     size_t n, void *context, struct http **out);
void http_free(struct http *h);

#endif
