/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One collection of a Kubernetes API server, listed once and then watched, for ever: what is in it
 * is told as it changes, and what is known stays in force while the server is away. Lists come in
 * pages and are told an object at a time; watches go on at the last version that was told,
 * bookmarks advance it; a version that the server has forgotten (410) leads to a new list. Failures
 * are repeated after a wait that doubles up to 10 s, scattered. An object that is too large to be
 * read is passed over; while there is one, a list is made anew each minute.
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
	bool there;	   /* false: the collection is missing */
	bool passed_over;  /* an object in it could not be read */
	uint64_t revision; /* 0: the server does not count */
};

struct reflector_params {
	struct event_base *base;
	struct rest *rest;
	const char *path; /* "/api/v1/nodes" */
	/* The collection may be missing (its CRD is not installed): it is asked for again once a
	 * minute. */
	bool optional;
	/* An object is there or has changed; `gone`: it was deleted. During a list each is told. */
	void (*object)(void *context, const json_t *o, bool gone);
	/* A list begins: what is not told until listed() is not in it. */
	void (*listing)(void *context);
	void (*listed)(void *context, const struct reflector_list *l);
	/* Something goes wrong, said each time; NULL: all is well. `blind`: what changes is not
	 * seen. */
	void (*problem)(void *context, bool blind, const char *what);
	void *context;
};

struct reflector *reflector_new(const struct reflector_params *p); /* NULL: no memory */
void reflector_free(struct reflector *r);
/* A new list, a while later. */
void reflector_list_again(struct reflector *r, unsigned int ms);

#endif
