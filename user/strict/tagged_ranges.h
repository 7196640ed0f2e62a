/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges with a kind each (such as remote, local): the content of a map or a routing table.
 * Fill it, then sort it; sorting removes duplicates. Pure; one thread at a time.
 */
#ifndef STRICT_TAGGED_RANGES_H
#define STRICT_TAGGED_RANGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cidr.h"

struct tagged_range {
	struct cidr range;
	unsigned int kind; /* the owner defines its values */
};

struct tagged_ranges {
	struct tagged_range *all; /* heap; all zero: empty */
	size_t n, room;
};

/* Appends a range; sort again afterwards. 0 or -ENOMEM. */
int tagged_ranges_add(struct tagged_ranges *m, const struct cidr *range, unsigned int kind);
/* Sorts and removes duplicates. Of equal ranges, one of the kind `first` is kept, if there is
 * one. */
void tagged_ranges_sort(struct tagged_ranges *m, unsigned int first);
/* Searches sorted ranges. NULL: not found. */
struct tagged_range *tagged_ranges_find(const struct tagged_ranges *m, const struct cidr *range);
/* Is this range there, with the same kind? */
bool tagged_ranges_contain(const struct tagged_ranges *m, const struct tagged_range *what);
void tagged_ranges_fini(struct tagged_ranges *m);

#endif
