/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directory it is: a file PATH/.identity with random text, written once and never touched
 * again. A copy of the directory, or one that was restored from a backup, has the same text but
 * another inode or another time of change; a remount leaves all three as they were.
 */
#ifndef STORE_DIRECTORY_IDENTITY_H
#define STORE_DIRECTORY_IDENTITY_H

#include <sys/types.h>
#include <time.h>

#include "store/memory_file.h"

/* What can be seen of it without opening anything. */
struct identity {
	dev_t device; /* of the folder, as mounted now */
	ino_t folder, file;
	struct timespec changed; /* the file; all zero: there is none */
};

/* Of `folder`, a part of the store at `path`. All bytes of `out` are set, to be compared. 0, or
 * -errno where the folder or the file cannot be seen. */
int identity_stat(const char *path, const char *folder, struct identity *out);
/* The same across mounts; empty: the store has none. 0, or -errno where it cannot be read. */
int identity_text(const char *path, const struct identity *i, char out[MEMORY_IDENTITY]);
/* Writes the file where there is none. 0 or -errno. */
int identity_make(const char *path);

#endif
