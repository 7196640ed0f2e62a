/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one table, one file each. Exit codes: 0 done, 1 failed, 2 usage. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name */
	const char *arguments;
	const char *description;
};

extern const struct subcommand subcommands[];

int agent_main(int argc, char **argv);
int device_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int enable_main(int argc, char **argv); /* and disable */
int status_main(int argc, char **argv);

#endif
