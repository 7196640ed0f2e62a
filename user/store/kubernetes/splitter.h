/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes JSON objects out of a stream that arrives in pieces: each element of "items" of a list, or
 * each event of a watch. So a list of any length needs the memory of one element only. It looks
 * only at brackets and strings; the callback parses the object. Pure.
 */
#ifndef STORE_KUBERNETES_SPLITTER_H
#define STORE_KUBERNETES_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

/* Larger objects are skipped and counted. etcd allows 1.5 MiB. */
#define SPLITTER_MAX_BYTES (2u << 20)

struct splitter {
	const char *member; /* "items"; NULL: the objects follow each other in the stream */
	/* Called with the text of each object. */
	void (*object)(void *context, const char *text, size_t len);
	void *context;
	size_t too_large; /* objects that were skipped */

	char *text, *rest; /* the present object; the envelope: the text around the objects */
	size_t len, room, rest_len, rest_room;
	unsigned int depth; /* of brackets */
	size_t key_at;	    /* where in `rest` the last string began */
	bool in_string, escaped, in_items, skipping;
};

void splitter_init(struct splitter *s, const char *member,
		   void (*object)(void *context, const char *text, size_t len), void *context);
void splitter_fini(struct splitter *s);
/* 0; -EINVAL: this cannot be JSON; -EFBIG: the envelope is too large; -ENOMEM. */
int splitter_feed(struct splitter *s, const char *bytes, size_t n);
/* Has an object begun that has not ended? */
bool splitter_pending(const struct splitter *s);
/* The envelope, with an empty list in place of the objects, zero-terminated. Only with `member`. */
const char *splitter_rest(const struct splitter *s);

#endif
