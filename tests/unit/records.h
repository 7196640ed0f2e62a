/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that make node records from text. */
#ifndef TESTS_RECORDS_H
#define TESTS_RECORDS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "store/record.h"

#define MAX_NODES 8

/* The records, in the order of names. */
struct world {
	struct node_record records[MAX_NODES];
	const struct node_record *nodes[MAX_NODES];
	size_t n;
};

static inline void set_ranges(struct node_record *r, const char *ranges)
{
	char *copy = strdup(ranges), *at = copy, *one;

	free(r->pod_cidrs);
	r->n_pod_cidrs = 0;
	r->pod_cidrs = calloc(8, sizeof(*r->pod_cidrs));
	while ((one = strsep(&at, ",")))
		if (*one)
			assert_int_equal(cidr_parse(one, &r->pod_cidrs[r->n_pod_cidrs++]), 0);
	free(copy);
	record_normalise(r);
}

static inline void set_address(struct cidr *a, const char *text)
{
	assert_int_equal(cidr_parse_address(text, a), 0);
}

static inline void set_key(struct node_record *r, uint8_t key)
{
	memset(r->key4, key, sizeof(r->key4));
	memset(r->key6, key, sizeof(r->key6));
}

/* `key` 0: no key. `ranges`: separated by commas. */
static inline struct node_record *add(struct world *w, const char *name, const char *address,
				      uint8_t key, const char *ranges)
{
	struct node_record *r = &w->records[w->n];
	struct cidr a;

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", name);
	if (*address) {
		set_address(&a, address);
		*(a.family == AF_INET ? &r->address4 : &r->address6) = a;
	}
	set_key(r, key);
	set_ranges(r, ranges);
	w->nodes[w->n++] = r;
	return r;
}

static inline void world_fini(struct world *w)
{
	while (w->n)
		record_fini(&w->records[--w->n]);
}

#endif
