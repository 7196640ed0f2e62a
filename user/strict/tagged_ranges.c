/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/tagged_ranges.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"

int tagged_ranges_add(struct tagged_ranges *m, const struct cidr *range, unsigned int kind)
{
	if (ARRAY_GROW(m->all, m->n, m->room))
		return -ENOMEM;
	m->all[m->n++] = (struct tagged_range){*range, kind};
	return 0;
}

static int by_range(const void *a, const void *b)
{
	return cidr_compare(&((const struct tagged_range *)a)->range,
			    &((const struct tagged_range *)b)->range);
}

void tagged_ranges_sort(struct tagged_ranges *m, unsigned int first)
{
	size_t kept = 0;

	if (m->n)
		qsort(m->all, m->n, sizeof(*m->all), by_range);
	for (size_t i = 0; i < m->n; i++) {
		struct tagged_range *last = kept ? &m->all[kept - 1] : NULL;

		if (!last || by_range(last, &m->all[i]))
			m->all[kept++] = m->all[i];
		else if (m->all[i].kind == first)
			last->kind = first;
	}
	m->n = kept;
}

struct tagged_range *tagged_ranges_find(const struct tagged_ranges *m, const struct cidr *range)
{
	const struct tagged_range key = {.range = *range};

	return m->n ? bsearch(&key, m->all, m->n, sizeof(key), by_range) : NULL;
}

bool tagged_ranges_contain(const struct tagged_ranges *m, const struct tagged_range *what)
{
	const struct tagged_range *there = tagged_ranges_find(m, &what->range);

	return there && there->kind == what->kind;
}

void tagged_ranges_fini(struct tagged_ranges *m)
{
	free(m->all);
	*m = (struct tagged_ranges){.all = NULL};
}
