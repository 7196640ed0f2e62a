/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of include/podveil/counters.h as tables: what the metrics, the status and the page
 * have in common. Pure.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "podveil/counters.h"

struct counter_field {
	const char *name, *help;
	size_t offset; /* of a __u64 in struct pv_counters */
};

const struct counter_field *counters_traffic(size_t *n);
const struct counter_field *counters_worker(size_t *n);
const struct counter_field *counters_drops(size_t *n); /* names begin with "drop_" */
const struct counter_field *counters_seen(size_t *n);

uint64_t counter_read(const struct pv_counters *c, const struct counter_field *f);
/* The reason of a drop: its name without "drop_". */
const char *counter_reason(const struct counter_field *f);

/* Adds all members of a slot, which others may be raising meanwhile, to a sum of our own. */
void counters_add(struct pv_counters *sum, const struct pv_counters *slot);

/* Each number of struct pv_counters by name, for a text: a counter is called as its member, and of a
 * histogram NAME there are NAME.sum, NAME.0, NAME.1 and so on. */
#define COUNTERS_NUMBERS  (offsetof(struct pv_counters, layout) / sizeof(__u64))
#define COUNTER_NAME_ROOM 64
void counters_name(size_t number, char out[COUNTER_NAME_ROOM]);
/* COUNTERS_NUMBERS: this version has no such number. */
size_t counters_find(const char *name);

/* Which members struct pv_counters has, in which order; never 0. Those of another version may differ
 * although the size is the same. */
uint64_t counters_layout(void);

#endif
