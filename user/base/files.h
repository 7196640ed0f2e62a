/* SPDX-License-Identifier: Apache-2.0 */
/* Files that others read and write, too. A file is written beside its place and renamed, so
 * a reader finds the old content or the new one. 0 or -errno. */
#ifndef BASE_FILES_H
#define BASE_FILES_H

#include <stddef.h>

/* Reads a regular file of at most `limit` bytes; allocated, with a zero behind the last one. If
 * somebody appends to the file meanwhile, its size at the beginning counts. After an error *text
 * is NULL, and *len undefined. -EFBIG: larger; -EISDIR: a directory; -ENOTSUP: not a regular file. */
int file_read(const char *path, size_t limit, char **text, size_t *len);
/* Either all of it is there afterwards, or what was there before. */
int file_write(const char *path, unsigned int mode, const char *text, size_t len);
/* With its parents, mode 0755; 0 also where it is there. */
int directory_make(const char *path);
int directory_make_parents(const char *path); /* without the last one */
/* Names of its entries but . and ..; all allocated. After an error there is nothing to free. */
int directory_list(const char *path, char ***names, size_t *n);

#endif
