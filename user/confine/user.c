/* SPDX-License-Identifier: Apache-2.0 */
/* The user of a process, and the files that earlier processes made as another one. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/parts.h"

#define USER  "podveil"
#define PINS  "/sys/fs/bpf/podveil"
#define STATE "/run/podveil"

/* --- which user --- */

/* Reads /etc/passwd alone: libc would load libraries and ask servers. */
static bool find_name(const char *name, struct confine_user *out)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd entry, *p;
	char line[1024];
	bool found = false;

	/* An error, such as a line that is too long, is the end of the file. */
	while (f && !found && !fgetpwent_r(f, &entry, line, sizeof(line), &p)) {
		found = !strcmp(entry.pw_name, name);
		*out = (struct confine_user){entry.pw_uid, entry.pw_gid};
	}
	if (f)
		fclose(f);
	return found;
}

int confine_user_find(const char *text, struct confine_user *out)
{
	const char *name = text ? text : USER;
	unsigned long number;
	char *end;

	if (*name >= '0' && *name <= '9') {
		number = strtoul(name, &end, 10);
		/* The last two mean "unchanged", in 32 bits and in 16. */
		if (*end || number >= UINT_MAX || number == UINT16_MAX)
			return -EINVAL;
		*out = (struct confine_user){(uid_t)number, (gid_t)number};
		return 0;
	}
	if (find_name(name, out) && (text || out->user))
		return 0;
	*out = (struct confine_user){CONFINE_USER_ID, CONFINE_USER_ID};
	return text ? -ENOENT : 0;
}

/* --- the change --- */

/* The files are reached by CAP_DAC_OVERRIDE, whoever made them: without it, root alone reaches
 * them. */
static int may_change(char *missing)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {{CAP_SETUID, "CAP_SETUID"},
		      {CAP_SETGID, "CAP_SETGID"},
		      {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}};

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		if (confine_capabilities_have(needed[i].number))
			continue;
		snprintf(missing, CONFINE_TEXT, "another user needs %s", needed[i].name);
		return -EPERM;
	}
	return 0;
}

/* Root's, and open to nobody else: so another process of our user does not get there. kubelet makes
 * the directory with other bits. */
static void close_state(void)
{
	const int fd = open(STATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat s;

	if (fd < 0)
		return;
	if (!fstat(fd, &s) &&
	    ((s.st_uid && fchown(fd, 0, 0)) || ((s.st_mode & 07777) != 0700 && fchmod(fd, 0700))))
		errno = 0; /* then it is as before: the files in it are 0600 */
	close(fd);
}

/* Capabilities stay: confine_capabilities_take() chooses among them. */
static int become(const struct confine_user *u)
{
	int err = 0;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) ||
	    setresgid(u->group, u->group, u->group) || setresuid(u->user, u->user, u->user))
		err = -errno;
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	/* The kernel may have changed it with the user. */
	if (!err && prctl(PR_SET_DUMPABLE, 0))
		err = -errno;
	return err;
}

int confine_user_take(const struct confine_params *p, char *missing)
{
	int err;

	if (geteuid())
		return 0;
	close_state();
	/* The agent reads files of root: kubeconfig, certificates. */
	if (p->process == CONFINE_AGENT)
		return 0;
	if (!p->user.user) {
		snprintf(missing, CONFINE_TEXT, "--user root, here or of the process before");
		return -EPERM;
	}
	err = may_change(missing);
	if (err)
		return err;
	/* bpffs lets only the owner change the mode, or remove it. */
	if (chown(PINS, p->user.user, p->user.group) && errno != ENOENT)
		snprintf(missing, CONFINE_TEXT, "%s stays root's: it needs CAP_CHOWN", PINS);
	return become(&p->user);
}

int confine_user_examine(char *missing)
{
	return geteuid() ? 0 : may_change(missing);
}
