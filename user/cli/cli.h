/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands (one file each) and the table of subcommands and options (commands.c). Parsing,
 * --help, the manual page and shell completion use this table. Exit codes: 0 done, 1 failed, 2
 * usage.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_id {
	OPT_HELP,
	OPT_AEAD,
	OPT_CLEANUP,
	OPT_CLEANUP_ON_EXIT,
	OPT_CONTEXT,
	OPT_FOREGROUND,
	OPT_GENERATE,
	OPT_HTTP,
	OPT_INSTANCE,
	OPT_IPV6,
	OPT_JSON,
	OPT_KUBECONFIG,
	OPT_LOG_FORMAT,
	OPT_LOG_LEVEL,
	OPT_MTU,
	OPT_NODE,
	OPT_NODE_IP,
	OPT_OUTPUT,
	OPT_PEER,
	OPT_PER_PACKET,
	OPT_POD_CIDR,
	OPT_PROBE,
	OPT_SECONDS,
	OPT_STORE,
	OPT_TUNNEL,
	OPT_TAKE_OVER,
	OPT_CONFIG_RESOURCE,
	OPT_UNCONFINED,
	OPT_UPLINK,
	OPT_USER,
	OPT_WATCH,
	OPT_WIRE,
	OPT_LOW_LATENCY,
	OPT_WORKERS,
	OPT_SETTING /* first of the settings, in the order of settings_table */
};

struct cli_option {
	enum option_id id;
	char letter;	      /* 0: none */
	const char *name;     /* without "--" */
	const char *argument; /* its name in --help; NULL: the option takes none */
	const char *meaning;
	/* For completion: words separated by spaces, "<interface>" or "<node>"; NULL: anything. */
	const char *choices;
};

struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name */
	const char *argument;		   /* the required argument; NULL: takes none */
	const char *choices;		   /* of the argument, as above */
	const char *summary;		   /* one line */
	const char *text;		   /* description */
	const struct cli_option *options;  /* all but --help, which each subcommand has */
	size_t n_options;
	bool settings;	    /* each setting is an option, too */
	const char *ending; /* exit codes and other notes */
};

extern const struct subcommand subcommands[]; /* ends with an entry without a name */

const struct subcommand *cli_find(const char *name);
/* Calls `apply` for each option, with its value or NULL. `apply` returns false if it refuses the
 * value, after printing why. Returns -1 to go on, with the subcommand's argument in *argument; else
 * the exit code. `argument` may be NULL if the subcommand takes none. */
int cli_parse(int argc, char **argv, bool (*apply)(void *context, int id, const char *value),
	      void *context, const char **argument);

int agent_main(int argc, char **argv);
int cluster_main(int argc, char **argv);
int completion_main(int argc, char **argv);
int device_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int enable_main(int argc, char **argv); /* also for disable */
int manual_main(int argc, char **argv);
int status_main(int argc, char **argv);
int tunnel_main(int argc, char **argv);
int verify_main(int argc, char **argv);

#endif
