/* SPDX-License-Identifier: Apache-2.0 */
#include "service/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define DIRECTORY "/run/podveil"
#define KEY_TEXT  44 /* base64 of 32 bytes */

static void path_of(const char *name, const char *suffix, char out[128])
{
	snprintf(out, 128, DIRECTORY "/%s.key%s", name, suffix);
}

/* Nobody but root gets to the files in it. */
static bool directory_is_roots(void)
{
	struct stat s;

	return !lstat(DIRECTORY, &s) && S_ISDIR(s.st_mode) && !s.st_uid && !(s.st_mode & 077);
}

/* The process that wrote it may have had another user than this one. */
static bool is_private(const struct stat *s)
{
	return S_ISREG(s->st_mode) && !(s->st_mode & 077) &&
	       (!s->st_uid || s->st_uid == geteuid() || directory_is_roots());
}

/* -ENOENT: no file; -EINVAL: not a key; -EPERM: other users could read or write it. */
static int read_key(const char *name, uint8_t key[32])
{
	char path[128], text[KEY_TEXT + 2];
	struct stat s;
	size_t decoded;
	ssize_t n;
	int fd, err = 0;

	path_of(name, "", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0 || fstat(fd, &s))
		err = -errno;
	else if (!is_private(&s))
		err = -EPERM;
	else if (n < KEY_TEXT || n > KEY_TEXT + 1 || (n > KEY_TEXT && text[KEY_TEXT] != '\n') ||
		 sodium_base642bin(key, 32, text, KEY_TEXT, NULL, &decoded, NULL,
				   sodium_base64_VARIANT_ORIGINAL) ||
		 decoded != 32)
		err = -EINVAL;
	close(fd);
	sodium_memzero(text, sizeof(text));
	return err;
}

static int write_key(const char *name, const uint8_t key[32])
{
	char path[128], fresh[128], text[KEY_TEXT + 2];
	int fd, err = 0;
	ssize_t n;

	path_of(name, "", path);
	path_of(name, ".new", fresh);
	if (mkdir(DIRECTORY, 0700) && errno != EEXIST)
		return -errno;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	sodium_bin2base64(text, sizeof(text), key, 32, sodium_base64_VARIANT_ORIGINAL);
	text[KEY_TEXT] = '\n';
	n = write(fd, text, KEY_TEXT + 1);
	if (n != KEY_TEXT + 1)
		err = n < 0 ? -errno : -ENOSPC;
	close(fd);
	sodium_memzero(text, sizeof(text));
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

static int make_key(const char *name, uint8_t private_key[32])
{
	int err;

	randombytes_buf(private_key, 32);
	private_key[0] &= 248;
	private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
	err = write_key(name, private_key);
	if (err)
		log_error("the private key cannot be saved", "file=" DIRECTORY "/%s.key errno=%d",
			  name, -err);
	else
		log_info("created a private key", "interface=%s", name);
	return err;
}

/* Peers have to learn a new key, and a file that cannot be read now may be readable a moment later.
 * So make a new key only if there is none, or if others may know the old one. */
int keys_load(const char *name, uint8_t private_key[32])
{
	int err = read_key(name, private_key);

	if (!err || err == -ENOENT)
		return err ? make_key(name, private_key) : 0;
	sodium_memzero(private_key, 32);
	if (err == -EPERM) {
		log_error("others could read the private key: a new one is created",
			  "file=" DIRECTORY "/%s.key needs=\"a regular file of mode 0600\"", name);
		return make_key(name, private_key);
	}
	log_error(
		"the private key cannot be used: repair the file, or delete it and a new key is created",
		"file=" DIRECTORY "/%s.key errno=%d error=\"%s\" needs=\"44 characters of "
		"base64, as wg genkey prints\"",
		name, -err, strerror(-err));
	return err;
}

int keys_restore(const char *name, const uint8_t private_key[32])
{
	uint8_t there[32];
	int err = read_key(name, there);
	bool same = !err && !sodium_memcmp(there, private_key, 32);

	sodium_memzero(there, sizeof(there));
	if (same)
		return 0;
	err = write_key(name, private_key);
	return err ? err : 1;
}

void keys_remove(const char *name)
{
	char path[128];

	path_of(name, "", path);
	unlink(path);
}
