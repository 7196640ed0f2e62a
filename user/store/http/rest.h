/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP calls to one server, without waiting: libcurl driven by the event loop. Calls share one
 * HTTP/2 connection where the server speaks it. Answers that go on for ever (watches) are told from
 * those that end by their having no time limit.
 *
 * A connection that died without saying so (a peer gone, a proxy that hangs) is noticed within 35
 * s: when nothing was heard on it, by whichever watch, for REST_QUIET_MS and a scattered half more, a
 * small request asks on the same connection whether anybody is there. In a busy cluster some watch
 * always speaks, and nobody asks: n nodes whose kubelets write their Node every 5 minutes ask n / 17 *
 * exp(-n / 20) times a second together, which is never more than 0.5.
 * HTTP/1 has no second request on a connection that a watch has: there it asks the server on
 * another one, and the kernel's keepalive says whether the watch's own is dead, within 25 s.
 *
 * Thread: control. Errors: negative errno. Nothing is logged here.
 */
#ifndef STORE_HTTP_REST_H
#define STORE_HTTP_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/http/credentials.h"

#define REST_QUIET_MS	  12000
#define REST_PROBE_MS	  10000
#define REST_ANSWER_BYTES (4u << 20) /* an answer that is kept whole may have */

struct event_base;
struct rest;
struct rest_call;

struct rest_answer {
	long status;	   /* of HTTP; 0: there was no complete answer */
	const char *error; /* why not, or what a bad status means; empty: nothing wrong */
	const char *url;   /* what was asked */
	const char *body; /* zero-terminated; of a bad status its beginning. Empty where data() took
			     it */
	size_t len;
	bool too_large;		  /* it would have been more than is kept */
	unsigned int retry_after; /* seconds that the server asked for; 0: it did not */
};

struct rest_request {
	const char *method;	  /* "GET" */
	const char *path;	  /* "/api/v1/nodes?limit=500", behind the server's */
	const char *content_type; /* of the body; NULL: none */
	const char *header;	  /* one more, "Name: value"; NULL: none */
	const char *body;	  /* copied; NULL: none */
	unsigned int timeout_ms;  /* for all of it; 0: as long as something comes or may come */
	/* A good answer has begun; NULL: nobody wants to know. May not start or cancel calls. */
	void (*answered)(void *context);
	/* Takes the body of a good answer in pieces, as it comes; NULL: it is kept for done().
	 * False: end the call. May start and cancel calls, itself too. */
	bool (*data)(void *context, const char *bytes, size_t n);
	/* Once, unless cancelled. May start and cancel calls, and free the client. */
	void (*done)(void *context, const struct rest_answer *a);
	void *context;
};

/* Takes over what is in `c`, also where it fails. `probe`: a path that every server of this kind
 * answers quickly, whatever it says. */
int rest_new(struct event_base *base, struct credentials *c, const char *probe, struct rest **out);
/* Without calling anybody's done(). */
void rest_free(struct rest *r);

/* The request is copied. NULL: no memory. */
struct rest_call *rest_start(struct rest *r, const struct rest_request *q);
/* done() will not be called. NULL: nothing. */
void rest_cancel(struct rest_call *c);

/* The address that the last answer came from; empty: there was none yet. */
const char *rest_peer(const struct rest *r);

/* Calls that are started from now on go to this server; -ENOMEM: they go where they went. */
int rest_move(struct rest *r, const char *server);
/* Calls that are started from now on have this Authorization; NULL: none. It is copied, and wiped
 * when it is replaced. */
int rest_authorise(struct rest *r, const char *value);

/* Text as a query's value has it. Allocated; NULL: no memory. */
char *rest_escape(const char *text);

#endif
