/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in a directory; shared by directory.c (watches and reads the whole directory) and files.c
 * (reads single files). Thread: control.
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

/* A file that was read, with its content, to notice changes. */
struct known {
	char *file; /* name without folder */
	char *text; /* last content, valid or not; NULL: it could not be read */
	ino_t ino;
	off_t size;
	struct timespec changed;
	bool listed; /* found by the present reading */
	struct known *next;
};

struct directory {
	char *path;
	const struct store_place *place;
	int inotify, watches[MEMORY_KINDS];
	struct identity identity[MEMORY_KINDS]; /* of the folders that are watched */
	char text[MEMORY_KINDS][MEMORY_IDENTITY];
	bool synced;
	bool read_failed; /* something could not be read; try again a moment later */
	struct event *on_events, *on_check, *on_quiet, *on_retry;
	struct known *known[MEMORY_KINDS];
	void *index[MEMORY_KINDS]; /* of tsearch(3), by file name */
};

/* PATH/FOLDER, or PATH/FOLDER/FILE. `folder`: enum memory_kind. */
void directory_path(const struct directory *d, int folder, const char *file, char *out,
		    size_t room);
/* Ends the problem with this path, if there was one. */
void directory_report_recovery(struct directory *d, const char *path);

/* Does a file of that name belong to the store? */
bool directory_is_document(const char *file);
/* The node of a file; "": the file has the cluster's settings. False: the name is neither. */
bool directory_name(int folder, const char *file, char out[NAME_MAX + 1]);

/* The content of a file when it was read last, valid or not; NULL: it was not or could not be
 * read. */
const char *directory_text(const struct directory *d, int folder, const char *file);
/* Reads a file if it has changed, and reports to the memory. `news`: there was an event, so read it
 * even if the times are equal: two writes may have the same time. False: there is no such file. */
bool directory_read_file(struct directory *d, int folder, const char *file, bool news);
/* All files of a folder are about to be read. */
void directory_list_begins(struct directory *d, int folder);
/* Forgets the files that were not read since then. */
void directory_list_ends(struct directory *d, int folder);
/* Forgets all files. */
void directory_files_fini(struct directory *d);

#endif
