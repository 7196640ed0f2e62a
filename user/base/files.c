/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"

static int read_all(int fd, char *to, size_t len, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = read(fd, to + *got, len - *got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*got += (size_t)n;
	}
	return 0;
}

int file_read(const char *path, size_t limit, char **text, size_t *len)
{
	/* A pipe of that name would wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct stat s;
	char *to = NULL;

	*text = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &s))
		err = -errno;
	else if (S_ISDIR(s.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(s.st_mode))
		err = -ENOTSUP;
	else if ((unsigned long long)s.st_size > limit)
		err = -EFBIG;
	if (!err) {
		to = malloc((size_t)s.st_size + 1);
		err = to ? read_all(fd, to, (size_t)s.st_size, len) : -ENOMEM;
	}
	close(fd);
	if (err) {
		free(to);
		return err;
	}
	to[*len] = 0;
	*text = to;
	return 0;
}

static int write_all(int fd, const char *from, size_t len)
{
	while (len) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_write(const char *path, unsigned int mode, const char *text, size_t len)
{
	const char *name = strrchr(path, '/');
	char aside[PATH_MAX];
	int fd, err;

	name = name ? name + 1 : path;
	if (snprintf(aside, sizeof(aside), "%.*s.%s.XXXXXX", (int)(name - path), path, name) >=
	    (int)sizeof(aside))
		return -ENAMETOOLONG;
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_all(fd, text, len);
	if (!err && (fchmod(fd, mode) || fsync(fd)))
		err = -errno;
	close(fd);
	if (!err && rename(aside, path))
		err = -errno;
	if (err)
		unlink(aside);
	return err;
}

int directory_make_parents(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *c = part + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*c = '/';
	}
	return 0;
}

int directory_make(const char *path)
{
	const int err = directory_make_parents(path);

	return err ? err : mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

int directory_list(const char *path, char ***names, size_t *n)
{
	struct dirent *entry;
	DIR *d = opendir(path);
	size_t room = 0;
	int err = 0;

	*names = NULL;
	*n = 0;
	if (!d)
		return -errno;
	/* NULL of readdir() means the end or a failure: errno tells which. */
	while (!err && (errno = 0, entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (ARRAY_GROW(*names, *n, room)) {
			err = -ENOMEM;
			break;
		}
		(*names)[*n] = strdup(entry->d_name);
		if ((*names)[*n])
			++*n;
		else
			err = -ENOMEM;
	}
	if (!err && errno)
		err = -errno;
	closedir(d);
	if (err) {
		while (*n)
			free((*names)[--*n]);
		free(*names);
		*names = NULL;
	}
	return err;
}
