/* SPDX-License-Identifier: Apache-2.0 */
/* The user of a process, and the files that earlier processes made as another one. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confine/parts.h"

#define USER "podveil"
#define PINS "/sys/fs/bpf/podveil"

/* Reads /etc/passwd alone: libc would load libraries and ask servers. */
static bool find_user(uid_t *user, gid_t *group)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd entry, *p;
	char line[1024];
	bool found = false;

	/* An error, such as a line that is too long, is the end: the process stays root. */
	while (f && !found && !fgetpwent_r(f, &entry, line, sizeof(line), &p)) {
		found = !strcmp(entry.pw_name, USER) && entry.pw_uid;
		*user = entry.pw_uid;
		*group = entry.pw_gid;
	}
	if (f)
		fclose(f);
	return found;
}

/* Capabilities stay: confine_capabilities_take() chooses among them. */
static int become(uid_t user, gid_t group)
{
	int err = 0;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) ||
	    setresgid(group, group, group) || setresuid(user, user, user))
		err = -errno;
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	/* The kernel may have changed it with the user. */
	if (!err && prctl(PR_SET_DUMPABLE, 0))
		err = -errno;
	return err;
}

int confine_user_take(enum confine_process process, const char *directory, char *missing)
{
	uid_t user;
	gid_t group;

	(void)directory;
	/* The agent reads files of root: kubeconfig, certificates. */
	if (process != CONFINE_DEVICE || geteuid() || !find_user(&user, &group))
		return 0;
	/* bpffs lets only the owner change the mode, or remove it. */
	if (chown(PINS, user, group) && errno != ENOENT)
		snprintf(missing, CONFINE_TEXT, "%s stays root's: it needs CAP_CHOWN", PINS);
	return become(user, group);
}
