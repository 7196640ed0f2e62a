/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in a directory, shared by the nodes of one machine (lab), or over a network file system
 * that reports changes:
 *
 *   PATH/nodes/NAME.json        the record of a node
 *   PATH/config/default.json    settings of the cluster: one flat JSON object
 *   PATH/config/node.NAME.json  settings of a node
 *   PATH/.identity              identifies the store (store/directory/identity.h)
 *
 * We write a new file and rename it, so that nobody reads half of it. A file that others write in
 * place may be read half: it is refused then, and read again when it is closed.
 *
 * When a file system is unmounted, or another one is mounted over it, there is no event. So four
 * times a second we check whether the path still leads to the watched folders. When a file has
 * disappeared, the whole directory is read again. If it is the same directory as before, the file
 * was deleted; store/memory.h has the rule.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "store/directory/directory_set.h"
#include "store/directory/internal.h"

#define WATCHED                                                                                    \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF |               \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define CHECK_MS 250
#define RETRY_MS 1000
/* After a deletion, wait until no more files are deleted, then read what is left. */
#define QUIET_MS 300

/* --- reading everything --- */

static void start_timer(struct event *e, long ms)
{
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(e, &wait);
}

/* Watches the folder that the path leads to now. */
static int watch(struct directory *d, int folder)
{
	char path[PATH_MAX];
	int fresh;

	directory_path(d, folder, NULL, path, sizeof(path));
	fresh = inotify_add_watch(d->inotify, path, WATCHED);
	if (fresh < 0)
		return -errno;
	/* A folder that was moved away would still send events. */
	if (d->watches[folder] >= 0 && d->watches[folder] != fresh)
		inotify_rm_watch(d->inotify, d->watches[folder]);
	d->watches[folder] = fresh;
	return 0;
}

/* Reads the identity of both folders. 0, or -errno with the path that failed. */
static int identify(const struct directory *d, struct identity out[MEMORY_KINDS],
		    char path[PATH_MAX])
{
	int err = 0;

	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		directory_path(d, i, NULL, path, PATH_MAX);
		err = identity_stat(d->path, path, &out[i]);
	}
	return err;
}

struct listing {
	char **names;
	size_t n;
};

static void listing_free(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
}

static void read_files(struct directory *d, int folder, const struct listing *l)
{
	memory_list_begin(d->place->memory, folder);
	directory_list_begins(d, folder);
	for (size_t i = 0; i < l->n; i++)
		if (directory_is_document(l->names[i]))
			directory_read_file(d, folder, l->names[i], false);
	directory_list_ends(d, folder);
}

static bool was_seen(void *context, const struct memory_entry *e)
{
	(void)context;
	return e->deleted;
}

static bool end_list(struct directory *d, int folder, const char *doubt)
{
	const char *now = d->text[folder];
	const char *before = memory_origin(d->place->memory, folder)->identity;
	const struct memory_list l = {
		.identity = now,
		.doubt = doubt		    ? doubt
			 : *before && !*now ? "the store's file .identity is missing"
					    : NULL,
		/* Without an identity, only deletions that were seen as events count. */
		.deleted = *now ? NULL : was_seen,
	};

	return memory_list_end(d->place->memory, folder, &l);
}

static void report_unreadable(struct directory *d, const char *path, int err)
{
	d->read_failed = true;
	memset(d->identity, 0, sizeof(d->identity));
	if (health_set_problem(d->place->health, HEALTH_BLIND, d->path, strerror(-err)))
		log_warn(
			"store: the directory cannot be read: the last known records and settings stay in force",
			"path=%s errno=%d error=\"%s\"", path, -err, strerror(-err));
}

static void read_all(struct directory *d)
{
	struct listing lists[MEMORY_KINDS] = {{.n = 0}};
	struct identity before[MEMORY_KINDS], after[MEMORY_KINDS];
	char path[PATH_MAX];
	bool lost;
	int err;

	d->read_failed = false;
	err = identify(d, before, path);
	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		directory_path(d, i, NULL, path, sizeof(path));
		err = watch(d, i);
		if (!err)
			err = identity_text(d->path, &before[i], d->text[i]);
		if (!err)
			err = directory_list(path, &lists[i].names, &lists[i].n);
	}
	if (!err)
		err = identify(d, after, path);
	if (!err && memcmp(before, after, sizeof(before)) != 0)
		err = -ESTALE; /* it was replaced while we read it */
	if (err) {
		report_unreadable(d, path, err);
	} else {
		memcpy(d->identity, after, sizeof(after));
		directory_report_recovery(d, d->path);
		/* Settings first: the agent needs them to handle the nodes. */
		read_files(d, MEMORY_SETTINGS, &lists[MEMORY_SETTINGS]);
		read_files(d, MEMORY_NODES, &lists[MEMORY_NODES]);
		lost = end_list(d, MEMORY_NODES, NULL);
		end_list(d, MEMORY_SETTINGS, lost ? "records are missing, too" : NULL);
		d->place->health->last_sync = (uint64_t)time(NULL);
		if (!d->synced)
			d->place->synced(d->place->context);
		d->synced = true;
	}
	for (int i = 0; i < MEMORY_KINDS; i++)
		listing_free(&lists[i]);
	if (d->read_failed)
		start_timer(d->on_retry, RETRY_MS);
}

/* --- events --- */

static void on_check(evutil_socket_t fd, short what, void *context)
{
	struct identity now[MEMORY_KINDS];
	struct directory *d = context;
	char path[PATH_MAX];
	const int err = identify(d, now, path);

	(void)fd;
	(void)what;
	if (err)
		memset(now, 0, sizeof(now));
	if (memcmp(now, d->identity, sizeof(now)) != 0)
		read_all(d);
}

static void on_quiet(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	read_all(context);
}

static void file_vanished(struct directory *d, int folder, const char *file)
{
	char name[NAME_MAX + 1];

	if (!directory_is_document(file) || !directory_name(folder, file, name))
		return;
	memory_expect_deletion(d->place->memory, folder, name);
	start_timer(d->on_quiet, QUIET_MS);
}

static int folder_of(const struct directory *d, int watch_descriptor)
{
	for (int i = 0; i < MEMORY_KINDS; i++)
		if (d->watches[i] == watch_descriptor)
			return i;
	return -1;
}

static void on_events(evutil_socket_t fd, short what, void *context)
{
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct directory *d = context;
	bool reread = false;
	ssize_t n;

	(void)what;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *e = (const void *)at;
			const int folder = folder_of(d, e->wd);

			at += sizeof(*e) + e->len;
			if (folder >= 0 && (e->mask & IN_IGNORED))
				d->watches[folder] = -1;
			if (e->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
				reread = true;
			else if (folder < 0 || !e->len || !directory_is_document(e->name))
				continue;
			else if (e->mask & (IN_DELETE | IN_MOVED_FROM))
				file_vanished(d, folder, e->name);
			else if (!directory_read_file(d, folder, e->name, true))
				reread = true;
		}
	}
	if (reread && !evtimer_pending(d->on_quiet, NULL))
		start_timer(d->on_quiet, QUIET_MS);
	if (d->read_failed && !evtimer_pending(d->on_retry, NULL))
		start_timer(d->on_retry, RETRY_MS);
}

/* --- interface --- */

static void close_directory(void *self)
{
	struct directory *d = self;

	if (!d)
		return;
	if (d->on_events)
		event_free(d->on_events);
	if (d->on_check)
		event_free(d->on_check);
	if (d->on_quiet)
		event_free(d->on_quiet);
	if (d->on_retry)
		event_free(d->on_retry);
	if (d->inotify >= 0)
		close(d->inotify);
	directory_files_fini(d);
	free(d->path);
	free(d);
}

/* Makes the folders if the store was never seen before. A folder that existed and is missing now is
 * not made: it may only be unmounted, and will come back. */
static int make_folders(struct directory *d)
{
	char path[PATH_MAX];
	int err = 0;

	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		if (*memory_origin(d->place->memory, i)->identity ||
		    memory_count(d->place->memory, i))
			continue;
		directory_path(d, i, NULL, path, sizeof(path));
		err = directory_make(path);
	}
	if (err)
		log_error("the store's directory cannot be created",
			  "path=%s errno=%d error=\"%s\"", path, -err, strerror(-err));
	return err;
}

static int open_directory(const char *where, const struct store_place *place, void **self)
{
	const struct timeval often = {CHECK_MS / 1000, CHECK_MS % 1000 * 1000};
	struct directory *d = calloc(1, sizeof(*d));
	int err = -ENOMEM;

	if (!d)
		return -ENOMEM;
	d->place = place;
	for (int i = 0; i < MEMORY_KINDS; i++)
		d->watches[i] = -1;
	d->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	d->path = strdup(where);
	if (d->inotify < 0 || !d->path)
		goto fail;
	if (*where != '/') {
		log_error("the store's directory needs an absolute path", "store=dir:%s", where);
		err = -EINVAL;
		goto fail;
	}
	err = make_folders(d);
	if (err)
		goto fail;
	err = -ENOMEM;
	d->on_events = event_new(place->base, d->inotify, EV_READ | EV_PERSIST, on_events, d);
	d->on_check = event_new(place->base, -1, EV_PERSIST, on_check, d);
	d->on_quiet = evtimer_new(place->base, on_quiet, d);
	d->on_retry = evtimer_new(place->base, on_quiet, d);
	if (!d->on_events || !d->on_check || !d->on_quiet || !d->on_retry ||
	    event_add(d->on_events, NULL) || event_add(d->on_check, &often))
		goto fail;
	start_timer(d->on_quiet, 0);
	*self = d;
	return 0;
fail:
	close_directory(d);
	return err;
}

static int publish(void *self, const struct node_record *r)
{
	char path[PATH_MAX], file[NODE_NAME_MAX + sizeof(DIRECTORY_SUFFIX)];
	struct directory *d = self;
	char *text = record_format(r);
	const char *there;
	int err = 0;

	if (!text)
		return -ENOMEM;
	snprintf(file, sizeof(file), "%s" DIRECTORY_SUFFIX, r->name);
	there = directory_text(d, MEMORY_NODES, file);
	directory_path(d, MEMORY_NODES, file, path, sizeof(path));
	if (!there || strcmp(there, text) != 0 || access(path, F_OK))
		err = file_write(path, 0644, text, strlen(text));
	free(text);
	return err ? err : identity_make(d->path);
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	const struct directory *d = self;
	char folder[PATH_MAX];
	int err;

	directory_path(d, MEMORY_SETTINGS, NULL, folder, sizeof(folder));
	err = directory_set(folder, node, changes, n);
	return err ? err : identity_make(d->path);
}

const struct store_kind store_directory = {
	.prefix = "dir:",
	.open = open_directory,
	.close = close_directory,
	.publish = publish,
	.set = set,
};
