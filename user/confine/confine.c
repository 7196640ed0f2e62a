/* SPDX-License-Identifier: Apache-2.0 */
#include "confine/confine.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "confine/parts.h"

static const struct {
	const char *name, *consequence;
	int (*take)(const struct confine_params *p, char *missing);
	int (*examine)(char *missing);
} parts[CONFINE_PARTS] = {
	[CONFINE_USER] = {"user", "it runs as root", confine_user_take, confine_user_examine},
	[CONFINE_MEMORY] = {"memory", "a process with CAP_SYS_PTRACE or of this user can read keys",
			    NULL, NULL},
	[CONFINE_FILES] = {"files", "it may change every file that its user may change",
			   confine_files_take, confine_files_examine},
	[CONFINE_CAPABILITIES] = {"capabilities", "it has more of them than it uses",
				  confine_capabilities_take, NULL},
	[CONFINE_NO_NEW_PRIVILEGES] = {"no new privileges", "a program with set-user-ID gives them",
				       confine_no_new_privileges_take, NULL},
	[CONFINE_CALLS] = {"system calls", "it may make every system call", confine_calls_take,
			   confine_calls_examine},
};

/* Landlock and seccomp need no_new_privs. The filter of calls comes last: the others make calls
 * that it forbids. */
static const enum confine_part order[] = {
	CONFINE_USER, CONFINE_NO_NEW_PRIVILEGES, CONFINE_FILES, CONFINE_CAPABILITIES, CONFINE_CALLS,
};

const char *confine_part_name(enum confine_part part)
{
	return parts[part].name;
}

/* The number of threads, or -errno. */
static int count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	const struct dirent *entry;
	int n = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

static void note(struct confinement *out, enum confine_part part, int err)
{
	char *missing = out->parts[part].missing;

	if (err && !*missing)
		snprintf(missing, CONFINE_TEXT, "%s", strerror(-err));
	out->parts[part].in_force = !err;
}

static void note_memory(struct confinement *out)
{
	note(out, CONFINE_MEMORY, prctl(PR_GET_DUMPABLE) == 0 ? 0 : -EPERM);
}

int confine(const struct confine_params *p, struct confinement *out)
{
	const int threads = count_threads();

	memset(out, 0, sizeof(*out));
	if (threads > 1) {
		for (int i = 0; i < CONFINE_PARTS; i++)
			note(out, i, -EBUSY);
		return -EBUSY;
	}
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
		note(out, order[i], parts[order[i]].take(p, out->parts[order[i]].missing));
	note_memory(out);
	confine_capabilities_show(out->capabilities, sizeof(out->capabilities));
	for (int i = 0; i < CONFINE_PARTS; i++)
		if (*out->parts[i].missing)
			log_warn("a right could not be given up",
				 "of=\"%s\" problem=\"%s\" consequence=\"%s\"", parts[i].name,
				 out->parts[i].missing, parts[i].consequence);
	log_info("rights that are not used were given up", "uid=%u capabilities=\"%s\"", geteuid(),
		 out->capabilities);
	return 0;
}

void confine_examine(struct confinement *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < CONFINE_PARTS; i++)
		note(out, i, parts[i].examine ? parts[i].examine(out->parts[i].missing) : 0);
	confine_capabilities_show(out->capabilities, sizeof(out->capabilities));
}
