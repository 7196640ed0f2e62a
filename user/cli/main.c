/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#ifndef PODVEIL_VERSION
#define PODVEIL_VERSION "0.1.0"
#endif

const struct subcommand subcommands[] = {
	{"agent", agent_main, "", "Encrypt this node's pod traffic as the store says"},
	{"enable", enable_main, "", "Switch encryption on for the cluster"},
	{"disable", enable_main, "", "Switch encryption off for the cluster"},
	{"status", status_main, "", "Show what this node encrypts, and with whom"},
	{"doctor", doctor_main, "", "Say what this machine lacks, and what to do"},
	{"device", device_main, "IFNAME", "Create and serve a WireGuard device, driven by wg(8)"},
	{NULL, NULL, NULL, NULL},
};

static void usage(FILE *out)
{
	fprintf(out, "usage: podveil SUBCOMMAND [OPTIONS]\n"
		     "WireGuard for pod traffic, in userspace, over XDP and AF_XDP.\n\n");
	for (const struct subcommand *s = subcommands; s->name; s++)
		fprintf(out, "  %-8s %-10s %s\n", s->name, s->arguments, s->description);
	fprintf(out, "\n  --help     of each subcommand shows its options\n"
		     "  --version\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("podveil %s\n", PODVEIL_VERSION);
		return EXIT_DONE;
	}
	for (const struct subcommand *s = subcommands; s->name; s++)
		if (!strcmp(argv[1], s->name))
			return s->run(argc - 1, argv + 1);
	fprintf(stderr, "podveil: no subcommand \"%s\"; there are:", argv[1]);
	for (const struct subcommand *s = subcommands; s->name; s++)
		fprintf(stderr, " %s", s->name);
	fprintf(stderr, "\n");
	return EXIT_USAGE;
}
