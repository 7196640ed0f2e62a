/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is locked as long as its process lives. Functions return 0 or -errno and log nothing.
 */
#ifndef BASE_LOCK_FILE_H
#define BASE_LOCK_FILE_H

#include <stdbool.h>

/* Between two tries to get a lock that another process has. */
#define LOCK_FILE_PAUSE_MS 50

/* Makes the file (mode 0600) and its directory (0700) where they are missing, and locks it.
 * -EWOULDBLOCK: another process has it. */
int lock_file_take(const char *path, int *fd);
/* A living process has it. */
bool lock_file_held(const char *path);
/* Somebody removed the file: another process could lock a new one meanwhile. So it is made and
 * locked again. 1: that was needed, 0: it stands. */
int lock_file_repair(const char *path, int *fd);

#endif
