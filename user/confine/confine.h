/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least privilege: before a process reads its first message, it gives up every right that it will
 * not use. What each process keeps, and what for, is in tables (tables.c), from which
 * docs/security.md is made.
 *
 *   user           one that is nobody else's (the processes with keys; not the agent)
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
#include <sys/types.h>

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
	CONFINE_MAKER =
		1 << 3, /* the child of both that makes programs: programs/program_maker.h */
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

/* The user that a process becomes. Its files are its own, and it cannot signal, trace or configure
 * other processes as root could. 0 stands for root: the user does not change. */
struct confine_user {
	uid_t user;
	gid_t group;
};

/* Where /etc/passwd has no `podveil`. No distribution gives this number away: systemd lists it as
 * unused (https://systemd.io/UIDS-GIDS), and user namespaces and containers begin above it. */
#define CONFINE_USER_ID 60820

/* `text`: a name in /etc/passwd (its group, too) or a number (the group has the same one); NULL:
 * `podveil`, else CONFINE_USER_ID. 0, or -ENOENT: /etc/passwd has no such name; -EINVAL: it is no
 * number of a user. */
int confine_user_find(const char *text, struct confine_user *out);

struct confine_params {
	enum confine_process process;
	struct confine_user user;
	/* One more that the process may change, with all that is in the directory around it, so
	 * that it can be mounted anew; NULL: none. */
	const char *directory;
};

/* The name of a part, as status and doctor show it: "capabilities". */
const char *confine_part_name(enum confine_part part);

/* Confines this process. What the system refuses is logged and noted in *out, and the rest is done
 * all the same. 0; -EBUSY: there are threads already, and nothing was done. */
int confine(const struct confine_params *p, struct confinement *out);

/* What this machine would refuse of it: fills *out as confine() would, and changes nothing. */
void confine_examine(struct confinement *out);

#endif
