/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges, each marked with what it is: what a map of the programs has, or shall have.
 * Sorted once all are there; then each range is there once. Pure; one thread at a time.
 */
#ifndef STRICT_MARKS_H
#define STRICT_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cidr.h"

struct mark {
	struct cidr range;
	unsigned int kind; /* the owner's */
};

struct marks {
	struct mark *all; /* heap; zero is empty */
	size_t n, room;
};

/* Appends; the order is lost. 0 or -ENOMEM. */
int marks_add(struct marks *m, const struct cidr *range, unsigned int kind);
/* Sorts. Of several that mark the same range, one of the kind `first` counts, if there is one. */
void marks_sort(struct marks *m, unsigned int first);
/* Of sorted ones; NULL: not there. */
struct mark *marks_find(const struct marks *m, const struct cidr *range);
/* Is it there, and of that kind? */
bool marks_have(const struct marks *m, const struct mark *what);
void marks_fini(struct marks *m);

#endif
