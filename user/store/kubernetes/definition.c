/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/definition.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

#define CALL_MS 10000

/* What follows the last slash. */
static const char *resource_name(const struct definition *d)
{
	const char *slash = strrchr(d->path, '/');

	return slash ? slash + 1 : d->path;
}

static bool can_be_created(const json_t *resource)
{
	const json_t *verb;
	size_t i;

	json_array_foreach (json_object_get(resource, "verbs"), i, verb) {
		const char *text = json_string_value(verb);

		if (text && !strcmp(text, "create"))
			return true;
	}
	return false;
}

static enum definition_state state_of(const struct definition *d, const struct rest_answer *a)
{
	enum definition_state s = DEFINITION_GOES;
	const json_t *resources, *one;
	json_t *all;
	size_t i;

	if (a->status == 404)
		return DEFINITION_GOES;
	all = a->status == 200 ? json_loadb(a->body, a->len, 0, NULL) : NULL;
	resources = json_object_get(all, "resources");
	if (!json_is_array(resources))
		s = DEFINITION_UNKNOWN;
	json_array_foreach (resources, i, one) {
		if (!strcmp(json_text(one, "name"), resource_name(d)) && can_be_created(one))
			s = DEFINITION_STAYS;
	}
	json_decref(all);
	return s;
}

static void on_answer(void *context, const struct rest_answer *a)
{
	struct definition *d = context;

	d->call = NULL;
	d->told(d->context, state_of(d, a), a);
}

int definition_ask(struct definition *d)
{
	const int len = (int)(resource_name(d) - d->path) - 1;
	struct rest_request q = {
		.method = "GET", .timeout_ms = CALL_MS, .done = on_answer, .context = d};
	char *path = NULL;

	definition_cancel(d);
	if (asprintf(&path, "%.*s", len > 0 ? len : 0, d->path) < 0)
		return -ENOMEM;
	q.path = path;
	d->call = rest_start(d->rest, &q);
	free(path);
	return d->call ? 0 : -ENOMEM;
}

void definition_cancel(struct definition *d)
{
	rest_cancel(d->call);
	d->call = NULL;
}
