/* SPDX-License-Identifier: Apache-2.0 */
/* The records of all nodes, in the order of their names. Not for several threads. */
#ifndef STORE_NODES_H
#define STORE_NODES_H

#include "store/record.h"

struct nodes {
	struct node_record **all;
	size_t n, room;
};

/* A copy of the record in place of the one that was there; NULL: it goes. 0 or -ENOMEM. */
int nodes_set(struct nodes *s, const char *name, const struct node_record *r);
const struct node_record *nodes_find(const struct nodes *s, const char *name);
void nodes_fini(struct nodes *s);

/* All records, with `self` in place of the one of its name: nodes_count_with() pointers, in order.
 * The caller frees the array. NULL: no memory. */
const struct node_record **nodes_with(const struct nodes *s, const struct node_record *self);
size_t nodes_count_with(const struct nodes *s, const char *self);

#endif
