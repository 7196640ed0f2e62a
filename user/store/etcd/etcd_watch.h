/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All keys below a prefix of etcd, listed once and then watched, for ever: store/kubernetes/reflector.h for
 * etcd. A list is of one revision, in pages; a watch goes on where the list or the last event was;
 * where that was compacted away, a new list. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_WATCH_H
#define STORE_ETCD_ETCD_WATCH_H

#include "store/etcd/etcd_client.h"

#define ETCD_WATCH_MAX_BYTES                                                                       \
	(REST_ANSWER_BYTES / 4 * 3) /* of a value; base64 makes four of three */

struct etcd_watch;

#define ETCD_CLUSTER 24

/* Where in which etcd a list or a watch is. */
struct etcd_place {
	char cluster[ETCD_CLUSTER]; /* its id; empty: not known */
	int64_t revision;	    /* told up to here; 0: a list is due */
};

/* A key as it was told. */
struct etcd_key {
	const char *key;
	const char *value; /* NULL: it is gone */
	size_t len;
	int64_t lease;	  /* that it hangs on; 0: none */
	int64_t revision; /* of its last change */
};

struct etcd_watch_params {
	struct event_base *base;
	struct etcd_client *client;
	const char *prefix; /* "/podveil/" */
	/* A key has a value, or is gone. */
	void (*key)(void *context, const struct etcd_key *k);
	/* Its value is larger than ETCD_WATCH_MAX_BYTES and was not read. `again`: as an earlier
	 * list has told. */
	void (*too_large)(void *context, const char *key, bool again);
	/* A list begins: what is not told until listed() is not in it. */
	void (*listing)(void *context);
	void (*listed)(void *context, const struct etcd_place *at);
	/* Something goes wrong, said each time; NULL: all is well. */
	void (*problem)(void *context, const char *what);
	void *context;
};

struct etcd_watch *etcd_watch_new(const struct etcd_watch_params *p); /* NULL: no memory */
void etcd_watch_free(struct etcd_watch *w);

/* --- for fuzzers --- */

enum etcd_watch_state {
	ETCD_WATCH_STANDS,
	ETCD_WATCH_OVER,      /* cancelled, or what came is no answer */
	ETCD_WATCH_AWAY,      /* the member is cut off from the others */
	ETCD_WATCH_FORGOTTEN, /* what it was at was compacted away, or never was: a new list is due
			       */
};

/* What an answer of the watch, one JSON object, says: keys are told; the revision moves on. Where
 * it does not stand any more, `why` is what etcd says, if it says something. */
enum etcd_watch_state etcd_watch_event(const struct etcd_watch_params *p, const char *text,
				       size_t len, struct etcd_place *at, char *why, size_t room);

#endif
