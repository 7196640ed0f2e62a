/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All keys below a prefix of etcd, listed once and then watched, for ever: store/reflector.h for
 * etcd. A list is of one revision, in pages; a watch goes on where the list or the last event was;
 * where that was compacted away, a new list. Thread: control.
 */
#ifndef STORE_ETCD_WATCH_H
#define STORE_ETCD_WATCH_H

#include "store/etcd_client.h"

struct etcd_watch;

struct etcd_watch_params {
	struct event_base *base;
	struct etcd_client *client;
	const char *prefix; /* "/podveil/" */
	/* A key has a value; NULL: it is gone. `lease`: that it hangs on, 0: none. */
	void (*key)(void *context, const char *key, const char *value, size_t len, int64_t lease);
	/* A list begins: what is not told until listed() is gone. */
	void (*listing)(void *context);
	void (*listed)(void *context);
	/* Something went wrong, said once until it is well again; NULL: it is. */
	void (*trouble)(void *context, const char *what);
	void *context;
};

struct etcd_watch *etcd_watch_new(const struct etcd_watch_params *p); /* NULL: no memory */
void etcd_watch_free(struct etcd_watch *w);

/* --- for fuzzers --- */

/* What an answer of the watch, one JSON object, says: keys are told; the revision moves on. False:
 * the watch is over; with *compacted what it was at is forgotten, else `why` says what etcd says.
 */
bool etcd_watch_event(const struct etcd_watch_params *p, const char *text, size_t len,
		      int64_t *revision, bool *compacted, char *why, size_t room);

#endif
