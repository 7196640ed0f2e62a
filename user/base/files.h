/* SPDX-License-Identifier: Apache-2.0 */
/* Files that others write, too: read whole or not at all, written aside and renamed. 0 or -errno.
 */
#ifndef BASE_FILES_H
#define BASE_FILES_H

#include <stddef.h>

/* A regular file of at most `limit` bytes, with a zero behind the last one; allocated. *text is
 * NULL unless 0. -EFBIG: larger; -EISDIR, -ENOTSUP: a directory, no regular file. */
int file_read(const char *path, size_t limit, char **text, size_t *len);
/* Either all of it is there afterwards, or what was there before. */
int file_write(const char *path, unsigned int mode, const char *text, size_t len);
/* With its parents, mode 0755; 0 also where it is there. */
int directory_make(const char *path);
int directory_make_parents(const char *path); /* without the last one */
/* Names of its entries but . and ..; all allocated. */
int directory_list(const char *path, char ***names, size_t *n);

#endif
