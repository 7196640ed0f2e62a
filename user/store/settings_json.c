/* SPDX-License-Identifier: Apache-2.0 */
#include "store/settings_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/memory.h"

#define CLUSTER "default"
#define PREFIX	"node."

/* A scalar as text; a list of scalars joined by commas. Allocated; NULL: neither. */
static char *scalar(const json_t *v)
{
	char *text = NULL;
	size_t len;
	FILE *f;

	if (json_is_string(v))
		return strdup(json_string_value(v));
	if (json_is_boolean(v))
		return strdup(json_is_true(v) ? "true" : "false");
	if (json_is_number(v))
		return json_dumps(v, JSON_ENCODE_ANY);
	if (!json_is_array(v))
		return NULL;
	f = open_memstream(&text, &len);
	for (size_t i = 0; f && i < json_array_size(v); i++) {
		char *one = scalar(json_array_get(v, i));

		fprintf(f, "%s%s", i ? "," : "", one ? one : "?");
		free(one);
	}
	if (f)
		fclose(f);
	return text;
}

void settings_json_remember(struct memory *m, const char *node, const json_t *o, const char *source)
{
	const size_t n = json_object_size(o);
	struct store_setting *all = calloc(n ? n : 1, sizeof(*all));
	const char *name;
	unsigned int k = 0;
	json_t *v;

	if (!all)
		return;
	json_object_foreach ((json_t *)(uintptr_t)o, name, v) {
		char *text = json_is_null(v) ? NULL : scalar(v);

		if (!text && !json_is_null(v))
			text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text)
			all[k++] = (struct store_setting){name, text};
	}
	memory_put_settings(m, node, all, k, source);
	while (k)
		free((char *)(uintptr_t)all[--k].value);
	free(all);
}

bool settings_json_node(const char *name, const char **node)
{
	*node = NULL;
	if (!strcmp(name, CLUSTER))
		return true;
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !name[strlen(PREFIX)])
		return false;
	*node = name + strlen(PREFIX);
	return true;
}

char *settings_json_name(const char *node)
{
	char *name;

	if (!node)
		return strdup(CLUSTER);
	return asprintf(&name, PREFIX "%s", node) < 0 ? NULL : name;
}

json_t *settings_json_value(const struct store_setting *s)
{
	json_t *v = json_loads(s->value, JSON_DECODE_ANY, NULL);

	if (json_is_boolean(v) || json_is_integer(v))
		return v;
	json_decref(v);
	return json_string(s->value);
}

void settings_json_change(json_t *o, const struct store_setting *changes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (changes[i].value)
			json_object_set_new(o, changes[i].name, settings_json_value(&changes[i]));
		else
			json_object_del(o, changes[i].name);
	}
}
