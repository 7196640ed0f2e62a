/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whole collections of a Kubernetes API server, once, all at the same time. Thread: the only
 * one. */
#ifndef CLI_CLUSTER_COLLECT_H
#define CLI_CLUSTER_COLLECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/http/rest.h"

struct collection {
	const char *path; /* may end with "?" and parameters */
	bool optional;	  /* it may be missing */
	void (*object)(void *context, const json_t *o);
	void *context;
	/* The result. */
	bool done, there;  /* there: the collection exists */
	char problem[400]; /* empty: all of it was read. With what to do about it */
};

/* Returns when all are read or cannot be read, at the latest after `ms` milliseconds. It does not
 * try again. 0 or -ENOMEM; each collection says what became of it. */
int collect(struct event_base *base, struct rest *rest, struct collection *all, size_t n,
	    unsigned int ms);

#endif
