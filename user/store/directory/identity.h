/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a directory: a file PATH/.identity with random text, written once and never
 * changed. A copy of the directory, or one restored from a backup, has the same text, but another
 * inode or change time. After a remount all three are the same as before.
 */
#ifndef STORE_DIRECTORY_IDENTITY_H
#define STORE_DIRECTORY_IDENTITY_H

#include <sys/types.h>
#include <time.h>

#include "store/memory_file.h"

/* The part of it that stat(2) shows. */
struct identity {
	dev_t device; /* of the folder, as mounted now */
	ino_t folder, file;
	struct timespec changed; /* the file's change time; all zero: there is no file */
};

/* Reads it for `folder`, a part of the store at `path`. All bytes of `out` are set, so that
 * memcmp() works. 0, or -errno: the folder or the file cannot be read. */
int identity_stat(const char *path, const char *folder, struct identity *out);
/* The identity as text, which is the same after a remount. Empty: the store has none. 0, or -errno:
 * the file cannot be read. */
int identity_text(const char *path, const struct identity *i, char out[MEMORY_IDENTITY]);
/* Writes the file if there is none. 0 or -errno. */
int identity_make(const char *path);

#endif
