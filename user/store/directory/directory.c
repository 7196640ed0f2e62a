/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is a directory, shared by the nodes of one machine (lab) or over a network file
 * system that tells of changes:
 *
 *   PATH/nodes/NAME.json        the record of a node
 *   PATH/config/default.json    settings of the cluster: one flat JSON object
 *   PATH/config/node.NAME.json  settings of a node
 *   PATH/.identity              says which store it is (store/directory/identity.h)
 *
 * Files are written aside and renamed, so that nobody reads half of one; what somebody else wrote
 * in another way may be read half, is refused, and read again when it is closed.
 *
 * A mount that goes, or another one above it, sends no event: four times a second it is checked
 * whether the path still leads to what is watched. A file that vanished counts as deleted when all of the
 * directory was read afterwards, and is the one it was; store/memory.h has the rule.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <limits.h>
#include <search.h>
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
#include "store/directory/identity.h"
#include "store/document.h"
#include "store/memory.h"
#include "store/store.h"

#define WATCHED                                                                                    \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF |               \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define SUFFIX	 ".json"
#define CHECK_MS 250
#define RETRY_MS 1000
/* Who deletes one file may delete all: only then is it read what is left. */
#define QUIET_MS 300

/* The order is that of enum memory_kind. */
static const char *const folders[MEMORY_KINDS] = {"nodes", "config"};

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
	bool unread; /* something could not be read, and may be well a moment later */
	struct event *on_events, *on_check, *on_quiet, *on_retry;
	struct known *known[MEMORY_KINDS];
	void *index[MEMORY_KINDS]; /* of tsearch(3), by file name */
};

static void path_of(const struct directory *d, int folder, const char *file, char *out, size_t room)
{
	snprintf(out, room, "%s/%s%s%s", d->path, folders[folder], file ? "/" : "",
		 file ? file : "");
}

static void well(struct directory *d, const char *path)
{
	if (health_well(d->place->health, path))
		log_info("store: in order again", "path=%s", path);
}

/* --- what is known of files --- */

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->file, ((const struct known *)b)->file);
}

static struct known *find(struct directory *d, int folder, const char *file)
{
	const struct known key = {.file = (char *)(uintptr_t)file};
	struct known *const *found = tfind(&key, &d->index[folder], by_file);

	return found ? *found : NULL;
}

static struct known *find_or_make(struct directory *d, int folder, const char *file)
{
	struct known *k = find(d, folder, file);

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->file = strdup(file);
	if (!k->file || !tsearch(k, &d->index[folder], by_file)) {
		free(k->file);
		free(k);
		return NULL;
	}
	k->next = d->known[folder];
	d->known[folder] = k;
	return k;
}

static void known_free(struct directory *d, int folder, struct known *k)
{
	tdelete(k, &d->index[folder], by_file);
	free(k->file);
	free(k->text);
	free(k);
}

/* --- one file --- */

static bool ours(const char *file)
{
	const size_t len = strlen(file);

	return *file != '.' && len > strlen(SUFFIX) && !strcmp(file + len - strlen(SUFFIX), SUFFIX);
}

/* The node of a file, without the suffix; "": of the cluster's settings. False: nobody's. */
static bool name_of(int folder, const char *file, char out[NAME_MAX + 1])
{
	char stem[NAME_MAX + 1];
	const char *node;

	snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
	if (folder == MEMORY_NODES) {
		strcpy(out, stem);
		return true;
	}
	if (!document_node(stem, &node))
		return false;
	strcpy(out, node ? node : "");
	return true;
}

static int tell_node(struct directory *d, const char *name, const char *text, size_t len,
		     char *problem, size_t room)
{
	struct node_record r;
	int err = record_parse(text, len, &r, problem, room);

	if (err)
		return err;
	if (strcmp(r.name, name)) {
		snprintf(problem, room, "name: \"%.80s\" is not that of the file", r.name);
		record_fini(&r);
		return -EINVAL;
	}
	memory_node(d->place->memory, &r);
	record_fini(&r);
	return 0;
}

static int tell_settings(struct directory *d, const char *name, const char *path, const char *text,
			 size_t len, char *problem, size_t room)
{
	json_error_t error;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!o || !json_is_object(o)) {
		snprintf(problem, room, "line %d: %s", o ? 1 : error.line,
			 o ? "not a JSON object" : error.text);
		json_decref(o);
		return -EINVAL;
	}
	document_tell(d->place->memory, *name ? name : NULL, o, path);
	json_decref(o);
	return 0;
}

/* What a file is like, and stays like: the others may be well a moment later. */
static bool is_for_good(int err)
{
	return err == -EFBIG || err == -EISDIR || err == -ENOTSUP || err == -ELOOP;
}

/* What was good before stays in force. */
static void not_used(struct directory *d, int folder, const char *path, const char *name,
		     const char *problem)
{
	if (name)
		memory_there(d->place->memory, folder, name);
	if (health_trouble(d->place->health, HEALTH_PART, path, problem))
		log_warn("store: a file is not used", "file=%s problem=\"%s\"", path, problem);
}

static bool is_same(const struct known *k, const struct stat *s)
{
	return k->text && k->ino == s->st_ino && k->size == s->st_size &&
	       k->changed.tv_sec == s->st_ctim.tv_sec && k->changed.tv_nsec == s->st_ctim.tv_nsec;
}

static void use(struct directory *d, int folder, struct known *k, const char *path, char *text,
		size_t len, int err)
{
	char problem[200] = "", name[NAME_MAX + 1];
	const bool named = name_of(folder, k->file, name);

	if (!err && named && k->text && !strcmp(text, k->text)) {
		memory_there(d->place->memory, folder, name);
		free(text);
		return;
	}
	free(k->text);
	k->text = text;
	if (err == -EFBIG)
		snprintf(problem, sizeof(problem), "larger than 1 MiB");
	else if (err)
		snprintf(problem, sizeof(problem), "%s", strerror(-err));
	else if (!named)
		snprintf(problem, sizeof(problem),
			 "the name is neither default.json nor node.NAME.json");
	else if (folder == MEMORY_NODES)
		err = tell_node(d, name, text, len, problem, sizeof(problem));
	else
		err = tell_settings(d, name, path, text, len, problem, sizeof(problem));
	if (err && !*problem)
		snprintf(problem, sizeof(problem), "%s", strerror(-err));
	if (*problem)
		not_used(d, folder, path, named ? name : NULL, problem);
	else
		well(d, path);
	d->unread |= err && err != -EINVAL && !is_for_good(err);
}

/* `news`: it was written, perhaps within one tick of the clock of files. False: it is not there. */
static bool read_file(struct directory *d, int folder, const char *file, bool news)
{
	char path[PATH_MAX], name[NAME_MAX + 1], *text;
	struct known *k = find_or_make(d, folder, file);
	struct stat s = {.st_ino = 0};
	size_t len = 0;
	int err;

	if (!k) {
		d->unread = true;
		return true;
	}
	path_of(d, folder, file, path, sizeof(path));
	if (!stat(path, &s) && !news && is_same(k, &s) && name_of(folder, file, name)) {
		memory_there(d->place->memory, folder, name);
		k->listed = true;
		return true;
	}
	err = file_read(path, RECORD_MAX_BYTES, &text, &len);
	/* A link that leads nowhere is there. */
	if (err == -ENOENT && lstat(path, &s))
		return false;
	k->ino = s.st_ino;
	k->size = s.st_size;
	k->changed = s.st_ctim;
	k->listed = true;
	use(d, folder, k, path, text, len, err);
	return true;
}

/* --- all of it --- */

static void later(struct event *e, long ms)
{
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(e, &wait);
}

/* Watches what the path leads to now. */
static int watch(struct directory *d, int folder)
{
	char path[PATH_MAX];
	int fresh;

	path_of(d, folder, NULL, path, sizeof(path));
	fresh = inotify_add_watch(d->inotify, path, WATCHED);
	if (fresh < 0)
		return -errno;
	/* The one that was moved away would go on telling. */
	if (d->watches[folder] >= 0 && d->watches[folder] != fresh)
		inotify_rm_watch(d->inotify, d->watches[folder]);
	d->watches[folder] = fresh;
	return 0;
}

/* Both folders and the store's identity; -errno with the path that is to blame. */
static int identify(const struct directory *d, struct identity out[MEMORY_KINDS],
		    char path[PATH_MAX])
{
	int err = 0;

	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		path_of(d, i, NULL, path, PATH_MAX);
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
	memory_listing(d->place->memory, folder);
	for (struct known *k = d->known[folder]; k; k = k->next)
		k->listed = false;
	for (size_t i = 0; i < l->n; i++)
		if (ours(l->names[i]))
			read_file(d, folder, l->names[i], false);
	for (struct known **at = &d->known[folder]; *at;) {
		struct known *k = *at;
		char path[PATH_MAX];

		if (k->listed) {
			at = &k->next;
			continue;
		}
		path_of(d, folder, k->file, path, sizeof(path));
		well(d, path);
		*at = k->next;
		known_free(d, folder, k);
	}
}

static bool was_seen(void *context, const struct memory_entry *e)
{
	(void)context;
	return e->deleted;
}

static bool judge(struct directory *d, int folder, const char *doubt)
{
	const char *now = d->text[folder];
	const char *before = memory_shelf(d->place->memory, folder)->identity;
	const struct memory_list l = {
		.identity = now,
		.doubt = doubt		    ? doubt
			 : *before && !*now ? "the store's file .identity is gone"
					    : NULL,
		/* Nobody can say which store it is: then only what was seen to be deleted is. */
		.deleted = *now ? NULL : was_seen,
	};

	return memory_listed(d->place->memory, folder, &l);
}

static void blind(struct directory *d, const char *path, int err)
{
	d->unread = true;
	memset(d->identity, 0, sizeof(d->identity));
	if (health_trouble(d->place->health, HEALTH_BLIND, d->path, strerror(-err)))
		log_warn("store: the directory cannot be read: what is known stands",
			 "path=%s errno=%d error=\"%s\"", path, -err, strerror(-err));
}

static void read_all(struct directory *d)
{
	struct listing lists[MEMORY_KINDS] = {{.n = 0}};
	struct identity before[MEMORY_KINDS], after[MEMORY_KINDS];
	char path[PATH_MAX];
	bool lost;
	int err;

	d->unread = false;
	err = identify(d, before, path);
	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		path_of(d, i, NULL, path, sizeof(path));
		err = watch(d, i);
		if (!err)
			err = identity_text(d->path, &before[i], d->text[i]);
		if (!err)
			err = directory_list(path, &lists[i].names, &lists[i].n);
	}
	if (!err)
		err = identify(d, after, path);
	if (!err && memcmp(before, after, sizeof(before)) != 0)
		err = -ESTALE; /* it was replaced in between */
	if (err) {
		blind(d, path, err);
	} else {
		memcpy(d->identity, after, sizeof(after));
		well(d, d->path);
		/* Settings first: whoever is told of nodes then knows what to do with them. */
		read_files(d, MEMORY_SETTINGS, &lists[MEMORY_SETTINGS]);
		read_files(d, MEMORY_NODES, &lists[MEMORY_NODES]);
		lost = judge(d, MEMORY_NODES, NULL);
		judge(d, MEMORY_SETTINGS, lost ? "records were lost with it" : NULL);
		d->place->health->last_sync = (uint64_t)time(NULL);
		if (!d->synced)
			d->place->synced(d->place->context);
		d->synced = true;
	}
	for (int i = 0; i < MEMORY_KINDS; i++)
		listing_free(&lists[i]);
	if (d->unread)
		later(d->on_retry, RETRY_MS);
}

/* --- when --- */

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

static void vanished(struct directory *d, int folder, const char *file)
{
	char name[NAME_MAX + 1];

	if (!ours(file) || !name_of(folder, file, name))
		return;
	memory_deleted_probably(d->place->memory, folder, name);
	later(d->on_quiet, QUIET_MS);
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
	bool again = false;
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
				again = true;
			else if (folder < 0 || !e->len || !ours(e->name))
				continue;
			else if (e->mask & (IN_DELETE | IN_MOVED_FROM))
				vanished(d, folder, e->name);
			else if (!read_file(d, folder, e->name, true))
				again = true;
		}
	}
	if (again && !evtimer_pending(d->on_quiet, NULL))
		later(d->on_quiet, QUIET_MS);
	if (d->unread && !evtimer_pending(d->on_retry, NULL))
		later(d->on_retry, RETRY_MS);
}

/* --- the seam --- */

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
	for (int i = 0; i < MEMORY_KINDS; i++) {
		struct known *next;

		for (struct known *k = d->known[i]; k; k = next) {
			next = k->next;
			known_free(d, i, k);
		}
	}
	free(d->path);
	free(d);
}

/* One that was there and is not any more comes back from wherever it is: it is not made anew. */
static int make_folders(struct directory *d)
{
	char path[PATH_MAX];
	int err = 0;

	for (int i = 0; i < MEMORY_KINDS && !err; i++) {
		if (*memory_shelf(d->place->memory, i)->identity ||
		    memory_count(d->place->memory, i))
			continue;
		path_of(d, i, NULL, path, sizeof(path));
		err = directory_make(path);
	}
	if (err)
		log_error("the store's directory cannot be made", "path=%s errno=%d error=\"%s\"",
			  path, -err, strerror(-err));
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
	later(d->on_quiet, 0);
	*self = d;
	return 0;
fail:
	close_directory(d);
	return err;
}

static int publish(void *self, const struct node_record *r)
{
	char path[PATH_MAX], file[NODE_NAME_MAX + sizeof(SUFFIX)];
	struct directory *d = self;
	char *text = record_format(r);
	const struct known *k;
	int err = 0;

	if (!text)
		return -ENOMEM;
	snprintf(file, sizeof(file), "%s" SUFFIX, r->name);
	k = find(d, MEMORY_NODES, file);
	path_of(d, MEMORY_NODES, file, path, sizeof(path));
	if (!k || !k->text || strcmp(k->text, text) != 0 || access(path, F_OK))
		err = file_write(path, 0644, text, strlen(text));
	free(text);
	return err ? err : identity_make(d->path);
}

static int withdraw(void *self, const char *name)
{
	char path[PATH_MAX], file[NODE_NAME_MAX + sizeof(SUFFIX)];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	path_of(self, MEMORY_NODES, file, path, sizeof(path));
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	const struct directory *d = self;
	char folder[PATH_MAX];
	int err;

	path_of(d, MEMORY_SETTINGS, NULL, folder, sizeof(folder));
	err = directory_set(folder, node, changes, n);
	return err ? err : identity_make(d->path);
}

const struct store_kind store_directory = {
	.prefix = "dir:",
	.open = open_directory,
	.close = close_directory,
	.publish = publish,
	.withdraw = withdraw,
	.set = set,
};
