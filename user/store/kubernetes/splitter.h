/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON objects out of a stream that comes in pieces: of a list's answer each element of "items", of
 * a watch's each event. So a list of any length needs the memory of one element. Only brackets and
 * strings are looked at; whoever gets an object parses it. Pure.
 */
#ifndef STORE_KUBERNETES_SPLITTER_H
#define STORE_KUBERNETES_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

/* etcd takes 1.5 MiB; an object that is larger is passed over, and counted. */
#define SPLITTER_MAX_BYTES (2u << 20)

struct splitter {
	const char *member; /* "items"; NULL: the objects stand one behind the other */
	/* One object's text. */
	void (*object)(void *context, const char *text, size_t len);
	void *context;
	size_t too_large; /* objects passed over */

	char *text, *rest; /* the object that is being gathered; what is around the objects */
	size_t len, room, rest_len, rest_room;
	unsigned int depth; /* of brackets */
	size_t key_at;	    /* where in `rest` the last string began */
	bool in_string, escaped, in_items, skipping;
};

void splitter_init(struct splitter *s, const char *member,
		   void (*object)(void *context, const char *text, size_t len), void *context);
void splitter_fini(struct splitter *s);
/* 0; -EINVAL: this cannot be JSON; -EFBIG: what is around the objects is too large; -ENOMEM. */
int splitter_feed(struct splitter *s, const char *bytes, size_t n);
/* What was around the objects, with an empty list in their place, zero-terminated. Only with
 * `member`. */
const char *splitter_rest(const struct splitter *s);

#endif
