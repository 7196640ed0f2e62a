/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record on its way: in a memfd, so that both processes can wipe it. It holds keys and never lies
 * in a file.
 */
#ifndef HANDOVER_RECORD_FILE_H
#define HANDOVER_RECORD_FILE_H

#include "handover/record.h"

/* The memfd, or -errno. */
int record_file_new(const struct handover_record *r);
/* Reads a copy that nobody else changes, and wipes the memfd at once. 0 or -errno, with *problem set
 * to a static text. Call handover_record_fini() after 0. */
int record_file_read(int fd, struct handover_record *out, const char **problem);
/* A negative fd: nothing happens. */
void record_file_wipe(int fd);

#endif
