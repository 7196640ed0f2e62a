/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/cli.h"

static void usage(FILE *out)
{
	fprintf(out, "usage: podveil SUBCOMMAND [OPTIONS]\n"
		     "WireGuard for pod traffic, in userspace, over XDP and AF_XDP.\n\n");
	for (const struct subcommand *s = subcommands; s->name; s++)
		fprintf(out, "  %-10s %-7s %s\n", s->name, s->argument ? s->argument : "",
			s->summary);
	fprintf(out, "\n  --help     of each subcommand shows its options\n"
		     "  --version\n");
}

/* kubectl runs the program kubectl-NAME for `kubectl NAME`. */
static bool is_plugin(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, "kubectl-podveil");
}

static int run_plugin(int argc, char **argv)
{
	static char name[] = "cluster", help[] = "--help";
	char *only[] = {name, help, NULL};

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("podveil %s\n", PODVEIL_VERSION);
		return EXIT_DONE;
	}
	argv[0] = name;
	return argc > 1 ? cluster_main(argc, argv) : cluster_main(2, only);
}

int main(int argc, char **argv)
{
	if (argc > 0 && is_plugin(argv[0]))
		return run_plugin(argc, argv);
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
	if (cli_find(argv[1]))
		return cli_find(argv[1])->run(argc - 1, argv + 1);
	fprintf(stderr, "podveil: unknown subcommand \"%s\"; the subcommands are:", argv[1]);
	for (const struct subcommand *s = subcommands; s->name; s++)
		fprintf(stderr, " %s", s->name);
	fprintf(stderr, "\n");
	return EXIT_USAGE;
}
