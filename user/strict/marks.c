/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/marks.h"

#include <errno.h>
#include <stdlib.h>

int marks_add(struct marks *m, const struct cidr *range, unsigned int kind)
{
	if (m->n == m->room) {
		const size_t room = m->room ? m->room * 2 : 64;
		struct mark *more = realloc(m->all, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->all = more;
		m->room = room;
	}
	m->all[m->n++] = (struct mark){*range, kind};
	return 0;
}

static int by_range(const void *a, const void *b)
{
	return cidr_compare(&((const struct mark *)a)->range, &((const struct mark *)b)->range);
}

void marks_sort(struct marks *m, unsigned int first)
{
	size_t kept = 0;

	if (m->n)
		qsort(m->all, m->n, sizeof(*m->all), by_range);
	for (size_t i = 0; i < m->n; i++) {
		struct mark *last = kept ? &m->all[kept - 1] : NULL;

		if (!last || by_range(last, &m->all[i]))
			m->all[kept++] = m->all[i];
		else if (m->all[i].kind == first)
			last->kind = first;
	}
	m->n = kept;
}

struct mark *marks_find(const struct marks *m, const struct cidr *range)
{
	const struct mark key = {.range = *range};

	return m->n ? bsearch(&key, m->all, m->n, sizeof(key), by_range) : NULL;
}

bool marks_have(const struct marks *m, const struct mark *what)
{
	const struct mark *there = marks_find(m, &what->range);

	return there && there->kind == what->kind;
}

void marks_fini(struct marks *m)
{
	free(m->all);
	*m = (struct marks){.all = NULL};
}
