/* SPDX-License-Identifier: Apache-2.0 */
/* What each process keeps, and what for: the rows that confine() sets and docs/security.md shows. */
#ifndef CONFINE_TABLES_H
#define CONFINE_TABLES_H

#include <stddef.h>

/* `who` in the rows: enum confine_process, or'ed. */

/* In `who` of a capability: it is needed to give up the other rights, and given up with them. */
#define AT_START (1u << 8)

struct confine_capability {
	int number;
	const char *name; /* without CAP_ */
	unsigned int who;
	const char *purpose;
};
extern const struct confine_capability confine_capabilities[];
extern const size_t confine_capabilities_count;

/* Names of system calls, separated by spaces. A name that this architecture or libseccomp does not
 * know is left out. */
struct confine_calls {
	const char *names;
	unsigned int who;
	const char *purpose;
};
extern const struct confine_calls confine_calls[];
extern const size_t confine_calls_count;

enum {
	FILE_READ = 1 << 0,
	FILE_WRITE = 1 << 1, /* what is there */
	FILE_MAKE = 1 << 2,  /* files, sockets and directories; also rename and remove them */
	FILE_LIST = 1 << 3,  /* directories: the names in them, and opening them */
};
/* A file, or a directory with all that is in it. One that is not there is left out. */
struct confine_file {
	const char *path;
	unsigned int may; /* FILE_READ, ... */
	unsigned int who;
	const char *purpose;
};
extern const struct confine_file confine_files[];
extern const size_t confine_files_count;

#endif
