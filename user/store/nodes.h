/* SPDX-License-Identifier: Apache-2.0 */
/* The records of all nodes, in the order of their names. For one thread. */
#ifndef STORE_NODES_H
#define STORE_NODES_H

#include "store/record.h"

struct nodes {
	struct node_record **all;
	size_t n, room;
};

/* Puts a copy of the record in place of the old one; NULL: removes the old one. 0 or -ENOMEM. */
int nodes_set(struct nodes *s, const char *name, const struct node_record *r);
const struct node_record *nodes_find(const struct nodes *s, const char *name);
void nodes_fini(struct nodes *s);

/* All records, but with `self` in place of the record of the same name: nodes_count_with()
 * pointers, in order. The caller frees the array. NULL: no memory. */
const struct node_record **nodes_with(const struct nodes *s, const struct node_record *self);
size_t nodes_count_with(const struct nodes *s, const char *self);

#endif
