/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All keys below a prefix of etcd, listed once and then watched, for ever: store/reflector.h for
 * etcd. A list is of one revision, in pages; a watch goes on where the list or the last event was;
 * where that was compacted away, a new list. Thread: control.
 */
#ifndef STORE_ETCD_WATCH_H
#define STORE_ETCD_WATCH_H

#include "store/etcd_client.h"

#define ETCD_WATCH_MAX_BYTES                                                                       \
	(REST_ANSWER_BYTES / 4 * 3) /* of a value; base64 makes four of three */

struct etcd_watch;

struct etcd_watch_params {
	struct event_base *base;
	struct etcd_client *client;
	const char *prefix; /* "/podveil/" */
	/* A key has a value; NULL: it is gone. `lease`: that it hangs on, 0: none. */
	void (*key)(void *context, const char *key, const char *value, size_t len, int64_t lease);
	/* Its value is larger than ETCD_WATCH_MAX_BYTES and was not read. `again`: as an earlier
	 * list has told. */
	void (*too_large)(void *context, const char *key, bool again);
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
				       size_t len, int64_t *revision, char *why, size_t room);

#endif
