/* SPDX-License-Identifier: Apache-2.0 */
/* podveil enable, podveil disable: change the setting of the cluster or of one node. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/store.h"

static void ignore_node(void *context, const char *name, const struct node_record *r)
{
	(void)context;
	(void)name;
	(void)r;
}

static void ignore_settings(void *context, const char *node, const struct store_setting *all,
			    unsigned int n, const char *source)
{
	(void)context;
	(void)node;
	(void)all;
	(void)n;
	(void)source;
}

static void ignore_sync(void *context)
{
	(void)context;
}

static int write_setting(const char *url, const char *node, const struct store_setting *s)
{
	struct event_base *base = event_base_new();
	const struct store_params p = {
		.url = url,
		.base = base,
		.events = {ignore_node, ignore_settings, ignore_sync, NULL},
	};
	struct store *store = NULL;
	int err = base ? store_open(&p, &store) : -ENOMEM;

	if (!err)
		err = store_set(store, node, s, 1);
	store_close(store);
	if (base)
		event_base_free(base);
	return err;
}

struct options {
	const char *store, *resource, *node;
	struct store_setting setting;
};

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;
	const char *problem;

	switch (option) {
	case OPT_IPV6:
		o->setting.name = "wireguardEnabledV6";
		return true;
	case OPT_STORE:
		o->store = value;
		return true;
	case OPT_CONFIG_RESOURCE:
		o->resource = value;
		return true;
	case OPT_NODE:
		o->node = value;
		problem = node_name_problem(value);
		if (problem)
			fprintf(stderr, "podveil: node name \"%s\" %s\n", value, problem);
		return !problem;
	default:
		return false;
	}
}

int enable_main(int argc, char **argv)
{
	struct options o = {
		.store = store_default(),
		.setting = {.name = "wireguardEnabled",
			    .value = !strcmp(argv[0], "enable") ? "true" : "false"},
	};
	int err, result = cli_parse(argc, argv, apply, &o, NULL);
	bool is_new;
	char *url;

	if (result >= 0)
		return result;
	is_new = !strncmp(o.store, "dir:", 4) && access(o.store + 4, F_OK);
	url = store_with_resource(o.store, o.resource);
	err = url ? write_setting(url, o.node, &o.setting) : -ENOMEM;
	free(url);
	if (err) {
		fprintf(stderr, "podveil %s: store %s: %s\n", argv[0], o.store, strerror(-err));
		return EXIT_FAILED;
	}
	printf("%s: %s for %s%s\n", o.setting.name, o.setting.value,
	       o.node ? "node " : "the cluster", o.node ? o.node : "");
	if (is_new)
		fprintf(stderr,
			"podveil %s: %s did not exist and was created: is it the store that the agents use?\n",
			argv[0], o.store);
	return EXIT_DONE;
}
