/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists one collection of a Kubernetes API server once, then watches it for ever, and reports its
 * objects and their changes. Lists come in pages; each object is reported by itself. A watch
 * continues at the last version that was reported; bookmarks advance it. If the server does not
 * have that version any more (410), the collection is listed again. After a failure it tries again,
 * with random waits that double up to 10 s. An object that is too large is skipped; while there is
 * one, the collection is listed again each minute.
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_REFLECTOR_H
#define STORE_KUBERNETES_REFLECTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/http/rest.h"

struct reflector;

/* A list that is complete. */
struct reflector_list {
	bool there;	   /* false: there is no such collection */
	bool passed_over;  /* an object in it could not be read and was skipped */
	uint64_t revision; /* 0: the server's versions are no numbers */
};

struct reflector_problem {
	const char *what;
	bool blind;  /* changes are not seen */
	long status; /* HTTP status of the answer; 0: it is not about one */
};

struct reflector_params {
	struct event_base *base;
	struct rest *rest;
	const char *path; /* "/api/v1/nodes"; may end with "?" and parameters */
	/* The collection may be missing (its CRD is not installed). Then it is requested again
	 * about once a minute. */
	bool optional;
	bool once; /* do not watch, after one list that is complete */
	/* An object is new or has changed; `gone`: it was deleted. A list reports all objects. */
	void (*object)(void *context, const json_t *o, bool gone);
	/* A list begins. Objects that are not reported until listed() are not in it. */
	void (*listing)(void *context);
	void (*listed)(void *context, const struct reflector_list *l);
	/* Something went wrong; called each time. `p` NULL: everything works. */
	void (*problem)(void *context, const struct reflector_problem *p);
	void *context;
};

struct reflector *reflector_new(const struct reflector_params *p); /* NULL: no memory */
void reflector_free(struct reflector *r);
/* Requests a new list after `ms` milliseconds. */
void reflector_list_again(struct reflector *r, unsigned int ms);
/* Call this after each list. While lists have `lost` objects, it requests new ones, with growing
 * pauses. */
void reflector_lost(struct reflector *r, bool lost);

#endif
