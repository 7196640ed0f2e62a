/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which node has which pod addresses, by all objects of one kind (assignments.h). Each object is
 * kept by its name; a new version of it replaces what the old one said.
 *
 * One address, several pods: the API server may show a pod's successor before the pod's own end. An
 * address of a pod that is being deleted gives way to a pod that is not; of several that are being
 * deleted, the youngest has it. If several pods that live have one address, each node gets it, and
 * plan/registry.h decides between the nodes: a node's pod may have been written by that node alone.
 *
 * Pure. Thread: control.
 */
#ifndef STORE_KUBERNETES_OWNERSHIP_H
#define STORE_KUBERNETES_OWNERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "store/kubernetes/addresses/assignments.h"

struct owner;
struct owned_by;

/* An address or range that an object gives to a node. */
struct share {
	struct owner *owner;
	struct cidr cidr;
	bool granted;
	bool yields; /* the owner does not have it (any more) */

	/* For ownership.c. */
	const struct owned_by *by;
	struct share *same; /* the next one with the same address */
};

/* What one node has. Part of the caller's struct. */
struct owner {
	struct share **all;
	size_t n, room;
	bool changed;
};

struct ownership_events {
	/* The owner of this name; NULL: no memory. It stays as long as it has shares. */
	struct owner *(*owner)(void *context, const char *node);
	/* What it has changed. Not called between an object's first and last change. */
	void (*changed)(void *context, struct owner *w);
	void *context;
};

struct ownership {
	struct ownership_events events;
	bool single; /* the objects are Pods: addresses that may be reused */
	void *by_name, *by_address;
	TAILQ_HEAD(owned_list, owned_by) objects;
	size_t n;	 /* objects */
	size_t n_going;	 /* of them: see ownership_expect_deletion() */
	size_t n_ranges; /* of all objects */
};

void ownership_init(struct ownership *o, bool single, const struct ownership_events *events);
void ownership_fini(struct ownership *o);

/* An object is new or has changed. */
void ownership_put(struct ownership *o, const char *name, const struct assignments *a);
/* An object is there, but cannot be read: what it said before stays. */
void ownership_keep(struct ownership *o, const char *name);
void ownership_delete(struct ownership *o, const char *name);
/* An event says that the object was deleted. What it said stays until ownership_confirm(). */
void ownership_expect_deletion(struct ownership *o, const char *name);
/* Deletes the objects that are expected to be gone, if other objects are still there. False: none
 * would be left, so the whole kind may be gone. Nothing has changed. */
bool ownership_confirm(struct ownership *o);

/* A list begins and ends. If it was `complete`, objects that were not put or kept in between are
 * gone. */
void ownership_list_begin(struct ownership *o);
void ownership_list_end(struct ownership *o, bool complete);

#endif
