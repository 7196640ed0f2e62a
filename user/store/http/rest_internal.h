/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP client share: rest.c (the client: its calls, and how they end),
 * rest_call.c (one call: made, received, freed), rest_probe.c (dead connections). Thread: control.
 */
#ifndef STORE_HTTP_REST_INTERNAL_H
#define STORE_HTTP_REST_INTERNAL_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "store/http/connections.h"
#include "store/http/rest.h"

struct event;

struct rest_call {
	struct rest *rest;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *body;
	struct rest_request request;
	char *answer; /* the body, for done() */
	size_t len, room;
	uint64_t started_at,
		last_received; /* ms, monotonic; equal to started_at: nothing received yet */
	bool overflow, refused, lost;
	bool waiting;	/* started within a data() callback: given to libcurl after it */
	bool cancelled; /* cancelled within a data() callback: freed after it */
	char error[CURL_ERROR_SIZE];
	TAILQ_ENTRY(rest_call) in_list;
};

/* Finds dead connections (rest_probe.c). */
struct rest_probe {
	char *path;
	struct event *on_check;
	struct rest_call *call; /* under way; NULL: none */
	long port;		/* local port on which the last one was answered */
	uint64_t quiet_limit;	/* ms without data before one is sent; random */
};

struct rest {
	struct event_base *base;
	struct credentials as;
	char *authorization;	       /* from rest_authorise(); NULL: none */
	struct curl_slist *connect_to; /* NULL: connect to the URL's host */
	struct rest_probe probe;
	struct connections *connections;
	struct event *on_deferred;
	bool in_data; /* in a callback from libcurl, so we must not call it */
	TAILQ_HEAD(, rest_call) calls;
	char peer[64];	   /* address that the last answer came from */
	unsigned int busy; /* number of done() callbacks that are running */
	bool closed; /* a done() freed the client: its memory is freed after the last of them */
};

/* Closes all connections and ends all calls with the error `why`. Used when a connection is dead,
 * because libcurl would use it for the next call. False: no memory, nothing was done. */
bool rest_reset(struct rest *r, const char *why);

/* --- rest_call.c --- */

/* Makes a call and adds it to the client's calls, but does not start it. NULL: no memory. */
struct rest_call *rest_call_new(struct rest *r, const struct rest_request *q);
/* Ends the transfer, and wipes what may be secret. */
void rest_call_free(struct rest_call *c);
/* Why the call failed; empty: it did not. `room`: of CURL_ERROR_SIZE bytes, for the text. */
const char *rest_call_error(const struct rest_call *c, CURLcode result, long status, char *room);

/* --- rest_probe.c --- */

/* Starts to look for dead connections. 0 or -ENOMEM; in both cases rest_probe_fini() must be
 * called. */
int rest_probe_init(struct rest *r, const char *path);
void rest_probe_fini(struct rest *r);
/* Sends a probe, if none is under way. */
void rest_probe_send(struct rest *r);

#endif
