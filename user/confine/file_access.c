/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: which files the process may reach. Linux 5.13; Debian and most others switch it on. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/parts.h"
#include "confine/tables.h"

/* From linux/landlock.h of Linux 6.12; Debian 12 has the header of 6.1. */
#define CREATE_RULESET 444
#define ADD_RULE       445
#define RESTRICT_SELF  446
#define VERSION	       1u
#define PATH_BENEATH   1

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
};
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0 };

struct ruleset {
	uint64_t files, network, scopes;
};
struct path_rule {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

/* What a version of Landlock (its ABI) knows. */
static const struct {
	int since;
	struct ruleset adds;
	size_t size; /* of struct ruleset in the kernel */
} versions[] = {
	{1, {(1 << 13) - 1, 0, 0}, 8}, {2, {FS_REFER, 0, 0}, 8},
	{3, {FS_TRUNCATE, 0, 0}, 8},   {4, {0, NET_BIND_TCP | NET_CONNECT_TCP, 0}, 16},
	{5, {FS_IOCTL_DEV, 0, 0}, 16}, {6, {0, 0, SCOPE_ABSTRACT_UNIX_SOCKET}, 24},
};

static int version(void)
{
	const long v = syscall(CREATE_RULESET, NULL, 0, VERSION);

	return v < 0 ? -errno : (int)v;
}

/* The rights that a row allows; a file that is no directory has no others. */
static uint64_t rights(unsigned int may, bool directory)
{
	uint64_t all = 0;

	if (may & FILE_LIST)
		all |= directory ? FS_READ_DIR : 0;
	if (may & FILE_READ)
		all |= FS_READ_FILE | (directory ? FS_READ_DIR : 0);
	if (may & FILE_WRITE)
		all |= FS_WRITE_FILE | FS_TRUNCATE;
	if ((may & FILE_MAKE) && directory)
		all |= FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_REMOVE_DIR | FS_REMOVE_FILE |
		       FS_REFER;
	return all;
}

/* A path that is not there is left out: 0. */
static int add_rule(int ruleset, const struct ruleset *handled, const char *path, unsigned int may)
{
	struct path_rule rule = {.parent = open(path, O_PATH | O_CLOEXEC)};
	struct stat s;
	int err = 0;

	if (rule.parent < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(rule.parent, &s))
		err = -errno;
	else
		rule.allowed = rights(may, S_ISDIR(s.st_mode)) & handled->files;
	if (!err && rule.allowed && syscall(ADD_RULE, ruleset, PATH_BENEATH, &rule, 0))
		err = -errno;
	close(rule.parent);
	return err;
}

/* The directory around `path`, or `path` itself where that would be all files. */
static const char *around(const char *path, char out[PATH_MAX])
{
	char *last;

	snprintf(out, PATH_MAX, "%s", path);
	while ((last = strrchr(out, '/')) && last > out && !last[1])
		*last = 0;
	if (last && last > out)
		*last = 0;
	else
		snprintf(out, PATH_MAX, "%s", path);
	return out;
}

static int add_rules(int ruleset, const struct ruleset *handled, enum confine_process process,
		     const char *directory)
{
	char parent[PATH_MAX];
	int err = 0;

	for (size_t i = 0; i < confine_files_count && !err; i++)
		if (confine_files[i].who & process)
			err = add_rule(ruleset, handled, confine_files[i].path,
				       confine_files[i].may);
	if (!err && directory)
		err = add_rule(ruleset, handled, around(directory, parent),
			       FILE_READ | FILE_WRITE | FILE_MAKE);
	return err;
}

int confine_files_take(const struct confine_params *p, char *missing)
{
	struct ruleset handled = {0};
	const int v = version();
	size_t size = 0;
	int ruleset, err;

	if (v < 0)
		return confine_files_examine(missing);
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		if (versions[i].since > v)
			break;
		handled.files |= versions[i].adds.files;
		handled.network |= versions[i].adds.network;
		handled.scopes |= versions[i].adds.scopes;
		size = versions[i].size;
	}
	/* The agent speaks HTTP. */
	if (p->process == CONFINE_AGENT)
		handled.network = 0;
	ruleset = (int)syscall(CREATE_RULESET, &handled, size, 0);
	if (ruleset < 0)
		return -errno;
	err = add_rules(ruleset, &handled, p->process, p->directory);
	if (!err && syscall(RESTRICT_SELF, ruleset, 0))
		err = -errno;
	close(ruleset);
	return err;
}

int confine_files_examine(char *missing)
{
	const int v = version();

	if (v < 0)
		snprintf(missing, CONFINE_TEXT, "the kernel has no Landlock%s",
			 v == -EOPNOTSUPP ? ": it was switched off (lsm=)" : "");
	return v < 0 ? v : 0;
}
