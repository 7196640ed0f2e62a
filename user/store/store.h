/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: nodes publish their keys and addresses there and find each other's. It also holds the
 * settings of the cluster and of single nodes. This header is the interface to all kinds of store;
 * each kind has a folder below. May call: event loop, JSON, base/. Knows nothing of agents and
 * devices.
 *
 * Thread: control only. Records and settings that a callback gets are valid during the call only.
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

/* A setting as it is in the store: name and value as text. plan/settings.h checks whether it is
 * valid. */
struct store_setting {
	const char *name;
	const char *value; /* JSON scalars as text: true, 51820, 25s; arrays joined by commas */
};

struct store_events {
	/* A node's record is new or has changed (r), or was deleted (r NULL). A record that the
	 * store has only lost is not reported as deleted. Unchanged records may come again. */
	void (*node)(void *context, const char *name, const struct node_record *r);
	/* All settings of the cluster (node NULL) or of one node. They replace the ones before. n
	 * 0: there are none any more. `source` names the file or resource. */
	void (*settings)(void *context, const char *node, const struct store_setting *all,
			 unsigned int n, const char *source);
	/* Everything in the store has been reported. May come again. */
	void (*synced)(void *context);
	void *context;
};

/* The store to use if the user names none: PODVEIL_STORE of the environment, else STORE_DEFAULT. */
const char *store_default(void);
/* Adds to "kubernetes" the resource that holds the settings: "kubernetes:RESOURCE". `resource`
 * NULL: PODVEIL_CONFIG_RESOURCE of the environment, else no change. Other stores are not changed.
 * Allocated; NULL: no memory. */
char *store_with_resource(const char *url, const char *resource);

/* Whose key of our node is in the store. */
enum store_key {
	STORE_KEY_OURS,
	STORE_KEY_FOREIGN,   /* of another WireGuard on this node (Felix's): it is not changed */
	STORE_KEY_INHERITED, /* the same, but we go on with it when Felix lets go of it. So if it is
				removed, it is put back. */
};

/* The state of a node, for people. */
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
	const char *node;   /* our node; NULL: we are no node */
	const char *memory; /* file that keeps everything known of the store; NULL: none */
};

/* Opens a store and begins to watch it. Callbacks come from the event loop. 0 or -errno; -EINVAL,
 * logged: the URL names no store. */
int store_open(const struct store_params *p, struct store **out);
void store_close(struct store *s);
/* Calls back at once with everything that the last agent knew, settings first. It stays in force
 * until the store gives other data. The number of records and settings documents. */
size_t store_replay_memory(struct store *s);

/* Remembers the settings in force for a node, or the cluster (NULL), when one that the store gave
 * is refused. They are used again after a restart. `all` NULL: none is refused. */
void store_good_settings(struct store *s, const char *node, const struct store_setting *all,
			 unsigned int n);

/* Makes `r` the record of node r->name. 0 or -errno. A directory has it when this returns 0; stores
 * over a network try until it succeeds. The record comes back through the callback `node`. */
int store_publish(struct store *s, const struct node_record *r);
/* Says whose keys of our node are in the store. Stores that keep a record of our own do not need
 * this. Call it before store_publish(). */
void store_key_owners(struct store *s, enum store_key v4, enum store_key v6);
/* Sets where the addresses of pods are read from (routeSource). Only for stores that are a cluster's;
 * others have one source. Before the first call: auto. */
void store_set_route_source(struct store *s, enum route_source wanted);
/* Writes settings of the cluster (node NULL) or of a node; other settings in the document stay.
 * Value NULL: removes the setting. 0 or -errno. */
int store_set(struct store *s, const char *node, const struct store_setting *changes,
	      unsigned int n);
/* Publishes the state, if the store has a place for it (Kubernetes: a condition of the Node). It
 * may take a while. */
void store_set_state(struct store *s, const struct store_state *state);
/* Reports an event to people (Kubernetes: an Event of the Node). The same text is reported once in
 * ten minutes. */
void store_event(struct store *s, const char *reason, const char *message);
/* Runs the event loop until everything published is in the store, at most `ms` milliseconds. */
void store_flush(struct store *s, unsigned int ms);
/* Is it reached over a network? */
bool store_is_remote(const struct store *s);
const struct store_health *store_health(const struct store *s);
/* The address that answered last. Empty: none. */
const char *store_peer(const struct store *s);
/* Does the store itself have the record of this node? */
bool store_has_record(const struct store *s, const char *node);
/* Calls `held` for each record (`settings` false, name: the node's) and each settings document
 * (name NULL: the cluster's) that is in force although the store does not show it any more; `why`
 * is the reason. */
void store_each_held(const struct store *s,
		     void (*held)(void *context, bool settings, const char *name, const char *why),
		     void *context);
/* Its URL, as the user wrote it. */
const char *store_name(const struct store *s);

/* --- interface of the kinds of store --- */

struct memory;

/* What a kind of store gets from store.c. All of it outlives the store. */
struct store_place {
	struct event_base *base;
	struct memory *memory; /* the store reports everything here (store/memory.h) */
	struct store_health *health;
	const char *node; /* our node; NULL: we are no node */
	void (*synced)(void *context);
	void *context;
};

struct store_kind {
	bool remote;
	const char *prefix; /* of the URL; the rest of the URL is `where`: "dir:", "kubernetes" */
	int (*open)(const char *where, const struct store_place *place, void **self);
	void (*close)(void *self);
	int (*publish)(void *self, const struct node_record *r);
	int (*set)(void *self, const char *node, const struct store_setting *changes,
		   unsigned int n);
	/* NULL: this kind has no such thing, or nothing to wait for. */
	void (*state)(void *self, const struct store_state *state);
	void (*event)(void *self, const char *reason, const char *message);
	void (*flush)(void *self, unsigned int ms);
	void (*key_owners)(void *self, enum store_key v4, enum store_key v6);
	void (*route_source)(void *self, enum route_source wanted);
	const char *(*peer)(const void *self); /* NULL: it is on this machine */
};

extern const struct store_kind store_directory, store_kubernetes, store_etcd;

#endif
