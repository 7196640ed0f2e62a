/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_directory_of(const char *path)
{
	char directory[PATH_MAX];
	const char *end = strrchr(path, '/');

	if (!end || end == path)
		return 0;
	snprintf(directory, sizeof(directory), "%.*s", (int)(end - path), path);
	return mkdir(directory, 0700) && errno != EEXIST ? -errno : 0;
}

static bool is_same_file(const char *path, int fd)
{
	struct stat there, ours;

	return !stat(path, &there) && !fstat(fd, &ours) && there.st_dev == ours.st_dev &&
	       there.st_ino == ours.st_ino;
}

int lock_file_take(const char *path, int *fd)
{
	int fresh, err = make_directory_of(path);

	while (!err) {
		fresh = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fresh < 0)
			return -errno;
		err = flock(fresh, LOCK_EX | LOCK_NB) ? -errno : 0;
		/* Whoever had it may have removed the file in the meantime. */
		if (!err && is_same_file(path, fresh)) {
			*fd = fresh;
			return 0;
		}
		close(fresh);
	}
	return err;
}

bool lock_file_held(const char *path)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool held;

	if (fd < 0)
		return false;
	held = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return held;
}

int lock_file_repair(const char *path, int *fd)
{
	int fresh, err;

	if (is_same_file(path, *fd))
		return 0;
	err = lock_file_take(path, &fresh);
	if (err)
		return err;
	close(*fd);
	*fd = fresh;
	return 1;
}
