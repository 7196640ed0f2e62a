/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges with a kind each (remote, local): the content of a map, or of a routing table.
 * Fill it, then sort it; after that each range is there once. Pure; one thread at a time.
 */
#ifndef STRICT_TAGGED_RANGES_H
#define STRICT_TAGGED_RANGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cidr.h"

struct tagged_range {
	struct cidr range;
	unsigned int kind; /* the owner's */
};

struct tagged_ranges {
	struct tagged_range *all; /* heap; zero is empty */
	size_t n, room;
};

/* Appends; the order is lost. 0 or -ENOMEM. */
int tagged_ranges_add(struct tagged_ranges *m, const struct cidr *range, unsigned int kind);
/* Sorts. If a range is there several times, one of the kind `first` stays, if there is one. */
void tagged_ranges_sort(struct tagged_ranges *m, unsigned int first);
/* Of sorted ones; NULL: not there. */
struct tagged_range *tagged_ranges_find(const struct tagged_ranges *m, const struct cidr *range);
/* Is it there, and of that kind? */
bool tagged_ranges_contain(const struct tagged_ranges *m, const struct tagged_range *what);
void tagged_ranges_fini(struct tagged_ranges *m);

#endif
