/* SPDX-License-Identifier: Apache-2.0 */
#include "store/route_source.h"

#include <errno.h>
#include <string.h>

static const char *const names[ROUTE_SOURCE_COUNT] = {
#define NAME(identifier, name) name,
	ROUTE_SOURCES(NAME)
#undef NAME
};

const char *route_source_name(enum route_source s)
{
	return names[s];
}

int route_source_parse(const char *text, enum route_source *out)
{
	for (int i = 0; i < ROUTE_SOURCE_COUNT; i++)
		if (!strcmp(text, names[i])) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}
