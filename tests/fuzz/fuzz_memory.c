/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which a node remembers its store: it is accepted completely or refused with a reason,
 * and what was accepted is the same after it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "store/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct memory_content *c)
{
	const struct memory_entry *e;
	size_t n = 0;

	TAILQ_FOREACH (e, &c->entries, in_list) {
		if (e->kind == MEMORY_NODES ? strcmp(e->name, e->record.name) != 0
					    : !e->source || (e->n && !e->all))
			abort();
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_content c, again;
	char problem[300] = "", *text, *twice;

	if (memory_parse((const char *)data, size, &c, problem, sizeof(problem))) {
		if (!*problem)
			abort();
		return 0;
	}
	text = memory_format(&c);
	if (!text || memory_parse(text, strlen(text), &again, problem, sizeof(problem)) ||
	    count(&c) != count(&again))
		abort();
	twice = memory_format(&again);
	if (!twice || strcmp(text, twice) != 0)
		abort();
	memory_content_fini(&c);
	memory_content_fini(&again);
	free(text);
	free(twice);
	return 0;
}
