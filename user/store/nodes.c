/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* The index of the name, or where it would be inserted. */
static size_t position(const struct nodes *s, const char *name)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (strcmp(s->all[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct nodes *s, size_t at, const char *name)
{
	return at < s->n && !strcmp(s->all[at]->name, name);
}

static void drop(struct node_record *r)
{
	record_fini(r);
	free(r);
}

int nodes_set(struct nodes *s, const char *name, const struct node_record *r)
{
	const size_t at = position(s, name);
	const bool there = is_at(s, at, name);
	struct node_record *copy;

	if (!r) {
		if (!there)
			return 0;
		drop(s->all[at]);
		s->n--;
		memmove(&s->all[at], &s->all[at + 1], (s->n - at) * sizeof(*s->all));
		return 0;
	}
	if (ARRAY_GROW(s->all, s->n, s->room))
		return -ENOMEM;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	if (record_copy(copy, r)) {
		free(copy);
		return -ENOMEM;
	}
	if (there) {
		drop(s->all[at]);
	} else {
		memmove(&s->all[at + 1], &s->all[at], (s->n - at) * sizeof(*s->all));
		s->n++;
	}
	s->all[at] = copy;
	return 0;
}

const struct node_record *nodes_find(const struct nodes *s, const char *name)
{
	const size_t at = position(s, name);

	return is_at(s, at, name) ? s->all[at] : NULL;
}

void nodes_fini(struct nodes *s)
{
	for (size_t i = 0; i < s->n; i++)
		drop(s->all[i]);
	free(s->all);
	*s = (struct nodes){NULL, 0, 0};
}

size_t nodes_count_with(const struct nodes *s, const char *self)
{
	return s->n + !nodes_find(s, self);
}

const struct node_record **nodes_with(const struct nodes *s, const struct node_record *self)
{
	const size_t at = position(s, self->name);
	const size_t skip = is_at(s, at, self->name);
	const struct node_record **all = malloc((s->n + 1) * sizeof(*all));

	if (!all)
		return NULL;
	if (at)
		memcpy(all, s->all, at * sizeof(*all));
	all[at] = self;
	if (s->n > at + skip)
		memcpy(all + at + 1, s->all + at + skip, (s->n - at - skip) * sizeof(*all));
	return all;
}
