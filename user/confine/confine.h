/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least privilege: before a process reads its first message, it gives up every right that it will
 * not use. What each process keeps, and what for, is in tables (tables.c), from which
 * docs/security.md is made.
 *
 *   user           `podveil`, where /etc/passwd has one (podveil device alone)
 *   capabilities   all others leave also the bounding set (capabilities(7))
 *   new privileges none by programs with set-user-ID bits or file capabilities (no_new_privs)
 *   system calls   seccomp: any other call ends the process (seccomp(2))
 *   files          Landlock: no other directory can be changed (landlock(7))
 *   memory         no dump, no tracer, no /proc/PID/mem (PR_SET_DUMPABLE)
 *
 * The kernel sets most of this for one thread, and new threads inherit it. So confine() must be
 * called before there are threads; it refuses if there are. Nothing of it can be undone.
 *
 * A process that was confined starts no program and mounts nothing.
 */
#ifndef CONFINE_CONFINE_H
#define CONFINE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

enum confine_part {
	CONFINE_USER,
	CONFINE_CAPABILITIES,
	CONFINE_NO_NEW_PRIVILEGES,
	CONFINE_CALLS,
	CONFINE_FILES,
	CONFINE_MEMORY,
	CONFINE_PARTS,
};

/* Which process a row of the tables is for. */
enum confine_process {
	CONFINE_DEVICE = 1 << 0, /* podveil device */
	CONFINE_AGENT = 1 << 1,	 /* podveil agent */
	CONFINE_TUNNEL = 1 << 2, /* podveil tunnel */
};

#define CONFINE_TEXT  96
#define CONFINE_NAMES 512

/* What is in force. */
struct confinement {
	struct {
		bool in_force;
		char missing[CONFINE_TEXT]; /* why it is not, or not wholly; "": it is */
	} parts[CONFINE_PARTS];
	char capabilities[CONFINE_NAMES]; /* that the process has now, such as "NET_ADMIN BPF" */
};

/* The name of a part, as status and doctor show it: "capabilities". */
const char *confine_part_name(enum confine_part part);

/* Confines this process. What the system refuses is logged and noted in *out, and the rest is done
 * all the same. `directory`: one more that the process may change, with all that is in the
 * directory around it, so that it can be mounted anew; NULL: none. 0; -EBUSY: there are threads
 * already, and nothing was done. */
int confine(enum confine_process process, const char *directory, struct confinement *out);

/* What this machine would refuse of it: fills *out as confine() would, and changes nothing. */
void confine_examine(struct confinement *out);

#endif
