/* SPDX-License-Identifier: Apache-2.0 */
#include "store/directory/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES	16
#define LETTERS (BYTES * 2)

static int path_of(const char *path, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/.identity", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int identity_stat(const char *path, const char *folder, struct identity *out)
{
	char file[PATH_MAX];
	struct stat f, s;
	int err = path_of(path, file);

	memset(out, 0, sizeof(*out));
	if (err)
		return err;
	if (stat(folder, &f))
		return -errno;
	if (!S_ISDIR(f.st_mode))
		return -ENOTDIR;
	out->device = f.st_dev;
	out->folder = f.st_ino;
	if (lstat(file, &s))
		return errno == ENOENT ? 0 : -errno;
	out->file = s.st_ino;
	out->changed = s.st_ctim;
	return 0;
}

int identity_text(const char *path, const struct identity *i, char out[MEMORY_IDENTITY])
{
	char file[PATH_MAX], text[LETTERS + 1] = "";
	int fd, err = path_of(path, file);
	ssize_t n;

	*out = 0;
	if (err)
		return err;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	n = read(fd, text, LETTERS);
	err = n < 0 ? -errno : 0;
	close(fd);
	/* A shorter text means that the file is being written just now. */
	if (n == LETTERS && strspn(text, "0123456789abcdef") == LETTERS)
		snprintf(out, MEMORY_IDENTITY, "%s %llu %lld.%09ld %llu", text,
			 (unsigned long long)i->file, (long long)i->changed.tv_sec,
			 i->changed.tv_nsec, (unsigned long long)i->folder);
	return err;
}

int identity_make(const char *path)
{
	char file[PATH_MAX], text[LETTERS + 1];
	unsigned char random[BYTES];
	int fd, err = path_of(path, file);

	if (err)
		return err;
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(text, sizeof(text), random, sizeof(random));
	if (write(fd, text, LETTERS) != LETTERS)
		err = errno ? -errno : -EIO;
	close(fd);
	if (err)
		unlink(file);
	return err;
}
