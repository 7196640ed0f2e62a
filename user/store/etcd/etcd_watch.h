/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists all keys below a prefix of etcd once, then watches them for ever, as
 * store/kubernetes/reflector.h does for Kubernetes. All pages of a list have the same revision. A
 * watch continues after the list or the last event. If that revision was compacted away, the keys
 * are listed again. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_WATCH_H
#define STORE_ETCD_ETCD_WATCH_H

#include "store/etcd/etcd_client.h"

#define ETCD_WATCH_MAX_BYTES                                                                       \
	(REST_ANSWER_BYTES / 4 * 3) /* of a value; in base64 three bytes become four */

struct etcd_watch;

#define ETCD_CLUSTER 24

/* Which etcd cluster, and up to which revision it was read. */
struct etcd_place {
	char cluster[ETCD_CLUSTER]; /* its id; empty: not known */
	int64_t revision;	    /* reported up to here; 0: a list is due */
};

/* A key as it is reported. */
struct etcd_key {
	const char *key;
	const char *value; /* NULL: it is gone */
	size_t len;
	int64_t lease;	  /* that it is bound to; 0: none */
	int64_t revision; /* of its last change */
};

struct etcd_watch_params {
	struct event_base *base;
	struct etcd_client *client;
	const char *prefix; /* "/podveil/" */
	/* A key has a value, or is gone. */
	void (*key)(void *context, const struct etcd_key *k);
	/* A key's value is larger than ETCD_WATCH_MAX_BYTES and was not read. Called in each list. */
	void (*too_large)(void *context, const char *key);
	/* A list begins. Keys that are not reported until listed() are not in it. */
	void (*listing)(void *context);
	void (*listed)(void *context, const struct etcd_place *at);
	/* Something went wrong; called each time. `what` NULL: everything works. */
	void (*problem)(void *context, const char *what);
	void *context;
};

struct etcd_watch *etcd_watch_new(const struct etcd_watch_params *p); /* NULL: no memory */
void etcd_watch_free(struct etcd_watch *w);

/* --- for fuzzers --- */

enum etcd_watch_state {
	ETCD_WATCH_RUNNING,
	ETCD_WATCH_ENDED,     /* it was cancelled, or the answer was not valid */
	ETCD_WATCH_ISOLATED,  /* the member is cut off from the others */
	ETCD_WATCH_COMPACTED, /* its revision was compacted away or never existed: list again */
};

/* Handles one answer of the watch, a JSON object: reports its keys, and advances the revision. If
 * the watch has ended, `why` is etcd's reason, if it gives one. */
enum etcd_watch_state etcd_watch_event(const struct etcd_watch_params *p, const char *text,
				       size_t len, struct etcd_place *at, char *why, size_t room);

#endif
