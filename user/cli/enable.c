/* SPDX-License-Identifier: Apache-2.0 */
/* podveil enable, podveil disable: the setting of the cluster, or of one node. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "store/store.h"

static const struct option long_options[] = {
	{"ipv6", no_argument, NULL, '6'},
	{"node", required_argument, NULL, 'n'},
	{"store", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *out, const char *verb)
{
	fprintf(out,
		"usage: podveil %s [OPTIONS]\n"
		"Switches encryption %s on all nodes of the cluster.\n\n"
		"      --ipv6         of IPv6 pods (wireguardEnabledV6; else wireguardEnabled)\n"
		"      --node NAME    on this node alone\n"
		"      --store STORE  dir:PATH (default: " STORE_DEFAULT ")\n"
		"  -h, --help\n",
		verb, !strcmp(verb, "enable") ? "on" : "off");
}

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
	const struct store_events nothing = {ignore_node, ignore_settings, ignore_sync, NULL};
	struct event_base *base = event_base_new();
	struct store *store = NULL;
	int err = base ? store_open(url, base, &nothing, &store) : -ENOMEM;

	if (!err)
		err = store_set(store, node, s, 1);
	store_close(store);
	if (base)
		event_base_free(base);
	return err;
}

int enable_main(int argc, char **argv)
{
	const char *url = store_default(), *node = NULL, *problem;
	struct store_setting s = {
		.name = "wireguardEnabled",
		.value = !strcmp(argv[0], "enable") ? "true" : "false",
	};
	int option, err;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (option) {
		case '6':
			s.name = "wireguardEnabledV6";
			break;
		case 'n':
			node = optarg;
			break;
		case 's':
			url = optarg;
			break;
		case 'h':
			usage(stdout, argv[0]);
			return EXIT_DONE;
		default:
			fprintf(stderr, "see: podveil %s --help\n", argv[0]);
			return EXIT_USAGE;
		}
	}
	problem = node ? node_name_problem(node) : NULL;
	if (problem || optind != argc) {
		if (problem)
			fprintf(stderr, "podveil %s: node name \"%s\" %s\n", argv[0], node,
				problem);
		else
			fprintf(stderr, "podveil %s: \"%s\" is no option\n", argv[0], argv[optind]);
		return EXIT_USAGE;
	}
	err = write_setting(url, node, &s);
	if (err) {
		fprintf(stderr, "podveil %s: store %s: %s\n", argv[0], url, strerror(-err));
		return EXIT_FAILED;
	}
	printf("%s: %s for %s%s\n", s.name, s.value, node ? "node " : "the cluster",
	       node ? node : "");
	return EXIT_DONE;
}
