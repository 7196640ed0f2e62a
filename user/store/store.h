/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: where nodes publish their keys and addresses and find each other's, and where the
 * settings of the cluster and of single nodes lie. This header is the seam; each kind of store is a
 * file beside it. May call: event loop, JSON, base/cidr.h, base/log.h. Knows nothing of
 * agents and devices.
 *
 * Thread: the control thread alone. Records and settings handed to a callback live for its
 * duration.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/health.h"
#include "store/record.h"

#define STORE_DEFAULT "dir:/var/lib/podveil/store"

struct event_base;
struct store;

/* Settings as somebody wrote them: names and values as text, not yet judged (plan/settings.h is the
 * judge). */
struct store_setting {
	const char *name;
	const char *value; /* JSON scalars as text: true, 51820, 25s; arrays joined by commas */
};

struct store_events {
	/* A node's record is there or has changed (r), or was deleted (r NULL): what is merely not
	 * to be seen any more is not told. Unchanged records may come again. */
	void (*node)(void *context, const char *name, const struct node_record *r);
	/* All settings that are written down for the cluster (node NULL) or for one node: they
	 * replace what was said before. n 0: none any more. `source` names file or resource. */
	void (*settings)(void *context, const char *node, const struct store_setting *all,
			 unsigned int n, const char *source);
	/* What the store holds has been told completely; may come again. */
	void (*synced)(void *context);
	void *context;
};

/* Where nobody names a store: PODVEIL_STORE of the environment, else STORE_DEFAULT. */
const char *store_default(void);
/* The store with the resource (NULL: PODVEIL_CONFIG_RESOURCE of the environment, else its own) that
 * holds the settings: "kubernetes:RESOURCE"; other stores have no such thing and stay as they are.
 * Allocated; NULL: no memory. */
char *store_with_resource(const char *url, const char *resource);

/* What a node says of itself for people to see. */
struct store_state {
	bool ready;
	const char *reason;  /* one word in CamelCase: "Encrypting" */
	const char *message; /* "IPv4: encrypts, superpackets"; nothing of other nodes */
};

struct store_params {
	/* "dir:PATH", "kubernetes", "kubernetes:RESOURCE" with the resource that holds the
	 * settings, "etcd:URL". */
	const char *url;
	struct event_base *base;
	struct store_events events;
	const char *node;   /* ours; NULL: nobody's */
	const char *memory; /* file in which what is known is kept; NULL: none */
};

/* -EINVAL with a line logged for what is no store. Begins to watch; callbacks come from the event
 * loop, the first ones within its first pass. */
int store_open(const struct store_params *p, struct store **out);
void store_close(struct store *s);
/* Tells at once what was known when the last agent ended, settings first: it stands until the store
 * says otherwise. How much it was. */
size_t store_replay_memory(struct store *s);

/* One of the settings that were told for a node, or the cluster (NULL), is refused: these stand in
 * their place, and do so after a restart. NULL: none is refused. */
void store_good_settings(struct store *s, const char *node, const struct store_setting *all,
			 unsigned int n);

/* Makes `r` the record of node r->name. Done when it returns 0 (directory), or tried until it
 * succeeds (stores over a network). The record comes back through `node`. */
int store_publish(struct store *s, const struct node_record *r);
/* Of these families another WireGuard on this node has a key there: it stays as it is. Where records
 * are ours alone, it is enough that the record says the same key. */
void store_foreign_keys(struct store *s, bool v4, bool v6);
/* Writes settings of the cluster (node NULL) or of a node; others in the document stay. NULL value:
 * removes it. */
int store_set(struct store *s, const char *node, const struct store_setting *changes,
	      unsigned int n);
/* Where the store has a place for it (Kubernetes: a condition of the Node), and when it gets to it.
 */
void store_set_state(struct store *s, const struct store_state *state);
/* Something happened that people should know (Kubernetes: an Event of the Node). The same thing is
 * told once in ten minutes. */
void store_event(struct store *s, const char *reason, const char *message);
/* Runs the event loop until what was published is there; at most so long. */
void store_flush(struct store *s, unsigned int ms);
/* It is reached over a network. */
bool store_is_remote(const struct store *s);
const struct store_health *store_health(const struct store *s);
/* The address at which it answered last; empty: at none. */
const char *store_peer(const struct store *s);
/* The store has the record of this node. */
bool store_has_record(const struct store *s, const char *node);
/* Each record (`settings` false; name: the node's) and document of settings (name NULL: the
 * cluster's) that the store does not show any more, but that stands, and why. */
void store_each_held(const struct store *s,
		     void (*held)(void *context, bool settings, const char *name, const char *why),
		     void *context);
/* As the user named it. */
const char *store_name(const struct store *s);

/* --- for the kinds of store --- */

struct memory;

/* What a kind of store works with; all outlives it. */
struct store_place {
	struct event_base *base;
	struct memory *memory; /* takes what the store says (store/memory.h) */
	struct store_health *health;
	const char *node; /* ours; NULL: nobody's */
	void (*synced)(void *context);
	void *context;
};

struct store_kind {
	bool remote;
	const char *prefix; /* "dir:"; without a colon: the name, and a colon before `where` */
	int (*open)(const char *where, const struct store_place *place, void **self);
	void (*close)(void *self);
	int (*publish)(void *self, const struct node_record *r);
	int (*set)(void *self, const char *node, const struct store_setting *changes,
		   unsigned int n);
	/* NULL: it has no place for it, or nothing to wait for. */
	void (*state)(void *self, const struct store_state *state);
	void (*event)(void *self, const char *reason, const char *message);
	void (*flush)(void *self, unsigned int ms);
	void (*foreign_keys)(void *self, bool v4, bool v6);
	const char *(*peer)(const void *self); /* NULL: it is on this machine */
};

extern const struct store_kind store_directory, store_kubernetes, store_etcd;

#endif
