/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP calls to one server that do not block: libcurl driven by the event loop. Calls share one
 * HTTP/2 connection if the server speaks it. Calls without a time limit are watches: their answers
 * do not end.
 *
 * A connection that is dead without a notice (the server is gone, a proxy hangs) is found within 35
 * s. If no watch on it has received anything for REST_QUIET_MS and a random time of up to half of
 * that more, a small request is sent on the same connection: the probe. In a busy cluster a watch
 * receives something all the time, so there are no probes: n nodes whose kubelets write their Node
 * every 5 minutes send n / 17 * exp(-n / 20) probes a second together, which is never more than
 * 0.5. With HTTP/1 a connection with a watch takes no second request. So the probe uses another
 * connection, and the kernel's keepalive finds within 25 s whether the watch's own connection is
 * dead.
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
#define REST_ANSWER_BYTES (4u << 20) /* the longest answer that is kept for done() */

struct event_base;
struct rest;
struct rest_call;

struct rest_answer {
	long status;	   /* HTTP status; 0: there was no complete answer */
	const char *error; /* why there was none, or what the status means; empty: no error */
	const char *url;   /* of the request */
	const char *body;  /* zero-terminated; with a bad status only its beginning. Empty if data()
			     took it */
	size_t len;
	bool too_large;		  /* longer than REST_ANSWER_BYTES */
	unsigned int retry_after; /* seconds to wait, from the server; 0: not given */
};

struct rest_request {
	const char *method;	  /* "GET" */
	const char *path;	  /* "/api/v1/nodes?limit=500", appended to the server's URL */
	const char *content_type; /* of the body; NULL: none */
	const char *header;	  /* one more, "Name: value"; NULL: none */
	const char *body;	  /* copied; NULL: none */
	unsigned int timeout_ms;  /* for the whole call; 0: no limit */
	/* Called when a good answer (status 2xx) begins; may be NULL. Must not start or cancel
	 * calls. */
	void (*answered)(void *context);
	/* Takes the body of a good answer in pieces, as it arrives; NULL: the body is kept for
	 * done(). False: end the call. May start and cancel calls, also its own. */
	bool (*data)(void *context, const char *bytes, size_t n);
	/* Called once, unless the call was cancelled. May start and cancel calls, and free the
	 * client. */
	void (*done)(void *context, const struct rest_answer *a);
	void *context;
};

/* Takes ownership of the content of `c`, also on error. `probe`: a path that every server of this
 * kind answers quickly; any answer will do. 0 or -ENOMEM. */
int rest_new(struct event_base *base, struct credentials *c, const char *probe, struct rest **out);
/* Ends all calls without calling done(). */
void rest_free(struct rest *r);

/* Starts a call. The request is copied. NULL: no memory. */
struct rest_call *rest_start(struct rest *r, const struct rest_request *q);
/* Ends a call without calling done(). `c` may be NULL. */
void rest_cancel(struct rest_call *c);

/* The address that the last answer came from; empty: there was none yet. */
const char *rest_peer(const struct rest *r);

/* Sends new calls to this server from now on. 0, or -ENOMEM: no change. */
int rest_move(struct rest *r, const char *server);
/* Sends new calls with this Authorization header from now on; NULL: the credentials' own token, if
 * any. The value is copied, and wiped when it is replaced. 0 or -ENOMEM. */
int rest_authorise(struct rest *r, const char *value);

/* Escapes a text as the value of a query. Allocated; NULL: no memory. */
char *rest_escape(const char *text);

#endif
