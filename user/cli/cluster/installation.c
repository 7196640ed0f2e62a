/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cluster/installation.h"

#include <stdio.h>
#include <string.h>

#include "base/json_text.h"

static const char *from_environment(const json_t *container)
{
	const json_t *v;
	size_t i;

	json_array_foreach (json_object_get(container, "env"), i, v)
		if (!strcmp(json_text(v, "name"), "PODVEIL_CONFIG_RESOURCE"))
			return json_text(v, "value");
	return "";
}

/* An option comes before the environment, as in the agent: "--config-resource X", or with "=". */
static const char *from_arguments(const json_t *container)
{
	static const char option[] = "--config-resource";
	const size_t n = sizeof(option) - 1;
	const json_t *args = json_object_get(container, "args"), *v;
	const char *found = "";
	size_t i;

	json_array_foreach (args, i, v) {
		const char *text = json_string_value(v), *next;

		if (!text || strncmp(text, option, n) != 0)
			continue;
		next = json_string_value(json_array_get(args, i + 1));
		if (text[n] == '=')
			found = text + n + 1;
		else if (!text[n] && next)
			found = next;
	}
	return found;
}

void installation_daemon_set(struct installation *in, const json_t *daemon_set)
{
	const json_t *spec = json_object_get(daemon_set, "spec");
	const json_t *pod = json_object_get(json_object_get(spec, "template"), "spec"), *v;
	const char *resource = "";
	size_t i;

	json_array_foreach (json_object_get(pod, "containers"), i, v) {
		const char *named = from_arguments(v);

		if (!*named)
			named = from_environment(v);
		if (*named)
			resource = named;
	}
	if (in->found && strcmp(in->config_resource, resource) != 0)
		in->contradictory = true;
	in->found = true;
	snprintf(in->config_resource, sizeof(in->config_resource), "%s", resource);
}
