/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of one source of pod addresses: watches them, gives them to the cluster, and notices
 * when the server has lost them. That is no command: then what is known stays, and a problem is
 * reported. Internal to the folder.
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_SOURCE_OBJECTS_H
#define STORE_KUBERNETES_SOURCE_OBJECTS_H

#include "store/kubernetes/addresses/address_sources.h"
#include "store/kubernetes/definition.h"

struct source_objects_params {
	const struct address_sources_params *sources; /* outlives the objects */
	enum route_source source;
	const char *what, *path; /* "pods", and where they are */
	const char *title;	 /* of the problem that objects are gone */
	/* Objects came or went, or a list has ended. */
	void (*changed)(void *context);
	void *context;
};

struct source_objects {
	struct source_objects_params params;
	struct reflector *reflector; /* NULL: not watched */
	bool read;		     /* they were listed once, or found missing */
	bool expected;		     /* there were objects, and nobody ended the source */
	/* for the list and the deletions under way */
	size_t objects;
	uint64_t revision;
	struct event *on_quiet;
	struct definition definition;
	bool all_deleted;	 /* events said so; a list has to confirm it */
	uint64_t first_deletion; /* monotonic, ns; 0: none is expected */
};

/* 0 or -ENOMEM. */
int source_objects_init(struct source_objects *o, const struct source_objects_params *params);
void source_objects_fini(struct source_objects *o);

/* Both may be called again. Do not stop them in a callback of their own. */
void source_objects_start(struct source_objects *o);
/* Forgets them, too. */
void source_objects_stop(struct source_objects *o);

/* How many of them the cluster has. */
size_t source_objects_count(const struct source_objects *o);

#endif
