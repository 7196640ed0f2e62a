/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in a directory, for the files that make it up: directory.c (when all of it is read, and what
 * follows), files.c (what is in each file). Thread: control.
 */
#ifndef STORE_DIRECTORY_INTERNAL_H
#define STORE_DIRECTORY_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/directory/identity.h"
#include "store/memory.h"
#include "store/store.h"

#define DIRECTORY_SUFFIX ".json"

struct event;

/* A file that was read: its bytes, to see whether it changed. */
struct known {
	char *file; /* name without folder */
	char *text; /* last content, good or bad; NULL: could not be read */
	ino_t ino;
	off_t size;
	struct timespec changed;
	bool listed; /* in the reading under way */
	struct known *next;
};

struct directory {
	char *path;
	const struct store_place *place;
	int inotify, watches[MEMORY_KINDS];
	struct identity identity[MEMORY_KINDS]; /* of what is watched */
	char text[MEMORY_KINDS][MEMORY_IDENTITY];
	bool synced;
	bool read_failed; /* something could not be read, and may be well a moment later */
	struct event *on_events, *on_check, *on_quiet, *on_retry;
	struct known *known[MEMORY_KINDS];
	void *index[MEMORY_KINDS]; /* of tsearch(3), by file name */
};

/* PATH/FOLDER, or PATH/FOLDER/FILE. `folder`: enum memory_kind. */
void directory_path(const struct directory *d, int folder, const char *file, char *out,
		    size_t room);
/* The trouble with this path, if there was any, has ended. */
void directory_report_recovery(struct directory *d, const char *path);

/* A file of that name is one of the store's. */
bool directory_is_document(const char *file);
/* The node of a file, without the suffix; "": of the cluster's settings. False: nobody's. */
bool directory_name(int folder, const char *file, char out[NAME_MAX + 1]);

/* What was in a file when it was read last, good or bad; NULL: it was not, or could not be. */
const char *directory_text(const struct directory *d, int folder, const char *file);
/* Reads it, unless it is as it was, and tells the memory. `news`: it was written, perhaps within one
 * tick of the clock of files. False: it is not there. */
bool directory_read_file(struct directory *d, int folder, const char *file, bool news);
/* All files of a folder are about to be read. */
void directory_list_begins(struct directory *d, int folder);
/* Those that were not read since then are known no more. */
void directory_list_ends(struct directory *d, int folder);
/* Nothing is known of files any more. */
void directory_files_fini(struct directory *d);

#endif
