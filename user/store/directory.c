/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is a directory, shared by the nodes of one machine (lab) or over a network file
 * system that tells of changes:
 *
 *   PATH/nodes/NAME.json        the record of a node
 *   PATH/config/default.json    settings of the cluster: one flat JSON object
 *   PATH/config/node.NAME.json  settings of a node
 *
 * Files are written aside and renamed, so that nobody reads half of one; what somebody else wrote
 * in another way may be read half, is refused, and read again when it is closed.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "observe/log.h"
#include "store/document.h"
#include "store/files.h"
#include "store/store.h"

#define WATCHED                                                                                    \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF |               \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define SUFFIX ".json"

enum { NODES, CONFIG, N_FOLDERS };
static const char *const folders[N_FOLDERS] = {"nodes", "config"};

/* A file that was read: its bytes, to see whether it changed, and whether it was good. */
struct known {
	char *file; /* name without folder */
	char *text; /* last content, good or bad; NULL: could not be read */
	bool told;  /* something of it is in force */
	bool seen;  /* in the resync under way */
	struct known *next;
};

struct directory {
	char *path;
	struct event_base *base;
	struct store_events events;
	struct store_health health;
	int inotify, watches[N_FOLDERS];
	struct event *on_events, *on_resync;
	struct known *known[N_FOLDERS];
	void *index[N_FOLDERS]; /* of tsearch(3), by file name */
};

static void path_of(const struct directory *d, int folder, const char *file, char *out, size_t room)
{
	snprintf(out, room, "%s/%s%s%s", d->path, folders[folder], file ? "/" : "",
		 file ? file : "");
}

static void complain(struct directory *d, const char *path, const char *problem)
{
	d->health.errors++;
	snprintf(d->health.last_error, sizeof(d->health.last_error), "%.300s: %.200s", path,
		 problem);
	log_warn("store: a file is not used", "file=%s problem=\"%s\"", path, problem);
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

/* --- telling --- */

static bool ours(const char *file)
{
	const size_t len = strlen(file);

	return *file != '.' && len > strlen(SUFFIX) && !strcmp(file + len - strlen(SUFFIX), SUFFIX);
}

/* "worker.json" -> "worker" */
static void stem(const char *file, char *out, size_t room)
{
	snprintf(out, room, "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
}

static int tell_node(struct directory *d, const char *file, const char *text, size_t len,
		     char *problem, size_t room)
{
	struct node_record r;
	char name[NAME_MAX + 1];
	int err = record_parse(text, len, &r, problem, room);

	if (err)
		return err;
	stem(file, name, sizeof(name));
	if (strcmp(r.name, name)) {
		snprintf(problem, room, "name: \"%.80s\" is not that of the file", r.name);
		record_fini(&r);
		return -EINVAL;
	}
	d->events.node(d->events.context, r.name, &r);
	record_fini(&r);
	return 0;
}

/* The node of a settings file: NULL for the cluster's. False: neither. */
static bool node_of(const char *file, char name[NAME_MAX + 1], const char **node)
{
	stem(file, name, NAME_MAX + 1);
	return document_node(name, node);
}

static int tell_settings(struct directory *d, const char *file, const char *path, const char *text,
			 size_t len, char *problem, size_t room)
{
	char name[NAME_MAX + 1];
	const char *node;
	json_error_t error;
	json_t *o;

	if (!node_of(file, name, &node)) {
		snprintf(problem, room, "the name is neither default.json nor node.NAME.json");
		return -EINVAL;
	}
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!o || !json_is_object(o)) {
		snprintf(problem, room, "line %d: %s", o ? 1 : error.line,
			 o ? "not a JSON object" : error.text);
		json_decref(o);
		return -EINVAL;
	}
	document_tell(&d->events, node, o, path);
	json_decref(o);
	return 0;
}

static void tell_gone(struct directory *d, int folder, struct known *k, const char *path)
{
	char name[NAME_MAX + 1];
	const char *node;

	if (k->told && folder == NODES) {
		stem(k->file, name, sizeof(name));
		d->events.node(d->events.context, name, NULL);
	} else if (k->told && node_of(k->file, name, &node)) {
		d->events.settings(d->events.context, node, NULL, 0, path);
	}
	k->told = false;
	free(k->text);
	k->text = NULL;
}

static void look(struct directory *d, int folder, const char *file)
{
	char path[PATH_MAX], problem[200] = "";
	struct known *k;
	char *text;
	size_t len;
	int err;

	if (!ours(file))
		return;
	k = find_or_make(d, folder, file);
	if (!k)
		return;
	path_of(d, folder, file, path, sizeof(path));
	err = file_read(path, RECORD_MAX_BYTES, &text, &len);
	if (err == -ENOENT) {
		tell_gone(d, folder, k, path);
		return;
	}
	k->seen = true;
	if (!err && k->text && !strcmp(text, k->text)) {
		free(text);
		return;
	}
	if (err)
		snprintf(problem, sizeof(problem), "%s",
			 err == -EFBIG ? "larger than 1 MiB" : strerror(-err));
	else if (folder == NODES)
		err = tell_node(d, file, text, len, problem, sizeof(problem));
	else
		err = tell_settings(d, file, path, text, len, problem, sizeof(problem));
	/* What was good before stays in force. */
	if (err) {
		if (text || k->text || !k->told)
			complain(d, path, problem);
	} else {
		k->told = true;
	}
	free(k->text);
	k->text = text;
}

/* --- watching --- */

static int watch(struct directory *d)
{
	char path[PATH_MAX];

	for (int i = 0; i < N_FOLDERS; i++) {
		int err, fresh;

		path_of(d, i, NULL, path, sizeof(path));
		err = directory_make(path);
		if (err)
			return err;
		fresh = inotify_add_watch(d->inotify, path, WATCHED);
		if (fresh < 0)
			return -errno;
		/* The one that was moved away would go on telling. */
		if (d->watches[i] >= 0 && d->watches[i] != fresh)
			inotify_rm_watch(d->inotify, d->watches[i]);
		d->watches[i] = fresh;
	}
	return 0;
}

static void look_at_all(struct directory *d, int folder)
{
	char path[PATH_MAX];
	char **names;
	size_t n;

	path_of(d, folder, NULL, path, sizeof(path));
	if (directory_list(path, &names, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		look(d, folder, names[i]);
		free(names[i]);
	}
	free(names);
}

static void resync(struct directory *d)
{
	int err = watch(d);

	if (err) {
		complain(d, d->path, strerror(-err));
		event_add(d->on_resync, &(struct timeval){1, 0});
		return;
	}
	/* Settings first: whoever is told of nodes then knows what to do with them. */
	for (int i = CONFIG; i >= NODES; i--) {
		for (struct known *k = d->known[i]; k; k = k->next)
			k->seen = false;
		look_at_all(d, i);
		for (struct known *k = d->known[i]; k; k = k->next) {
			char path[PATH_MAX];

			path_of(d, i, k->file, path, sizeof(path));
			if (!k->seen)
				tell_gone(d, i, k, path);
		}
	}
	d->health.last_sync = (uint64_t)time(NULL);
	d->events.synced(d->events.context);
}

static void on_resync(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	resync(context);
}

static int folder_of(const struct directory *d, int watch_descriptor)
{
	for (int i = 0; i < N_FOLDERS; i++)
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
			if (e->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
				again = true;
			else if (folder >= 0 && e->len)
				look(d, folder, e->name);
		}
	}
	if (again)
		resync(d);
}

/* --- the seam --- */

static void close_directory(void *self)
{
	struct directory *d = self;

	if (!d)
		return;
	if (d->on_events)
		event_free(d->on_events);
	if (d->on_resync)
		event_free(d->on_resync);
	if (d->inotify >= 0)
		close(d->inotify);
	for (int i = 0; i < N_FOLDERS; i++) {
		struct known *next;

		for (struct known *k = d->known[i]; k; k = next) {
			next = k->next;
			tdelete(k, &d->index[i], by_file);
			free(k->file);
			free(k->text);
			free(k);
		}
	}
	free(d->path);
	free(d);
}

static int open_directory(const char *where, struct event_base *base,
			  const struct store_events *events, void **self)
{
	struct directory *d = calloc(1, sizeof(*d));
	int err = -ENOMEM;

	if (!d)
		return -ENOMEM;
	d->base = base;
	d->events = *events;
	d->watches[NODES] = d->watches[CONFIG] = -1;
	d->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	d->path = strdup(where);
	if (d->inotify < 0 || !d->path)
		goto fail;
	if (*where != '/') {
		log_error("the store's directory needs an absolute path", "store=dir:%s", where);
		err = -EINVAL;
		goto fail;
	}
	err = watch(d);
	if (err) {
		log_error("the store's directory cannot be made", "path=%s errno=%d error=\"%s\"",
			  where, -err, strerror(-err));
		goto fail;
	}
	err = -ENOMEM;
	d->on_events = event_new(base, d->inotify, EV_READ | EV_PERSIST, on_events, d);
	d->on_resync = evtimer_new(base, on_resync, d);
	if (!d->on_events || !d->on_resync || event_add(d->on_events, NULL) ||
	    event_add(d->on_resync, &(struct timeval){0, 0}))
		goto fail;
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
	int err;

	if (!text)
		return -ENOMEM;
	snprintf(file, sizeof(file), "%s" SUFFIX, r->name);
	k = find(d, NODES, file);
	if (k && k->text && !strcmp(k->text, text)) {
		free(text);
		return 0;
	}
	path_of(d, NODES, file, path, sizeof(path));
	err = file_write(path, text, strlen(text));
	free(text);
	return err;
}

static int withdraw(void *self, const char *name)
{
	char path[PATH_MAX], file[NODE_NAME_MAX + sizeof(SUFFIX)];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	path_of(self, NODES, file, path, sizeof(path));
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int change(const char *path, const struct store_setting *changes, unsigned int n)
{
	json_error_t error;
	json_t *o = NULL;
	char *text;
	size_t len;
	int err = file_read(path, RECORD_MAX_BYTES, &text, &len);

	if (err == -ENOENT) {
		o = json_object();
	} else if (!err) {
		o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
		free(text);
		if (!json_is_object(o)) {
			log_error("the settings are not valid and were left alone",
				  "file=%s line=%d problem=\"%s\" needs=\"one JSON object\"", path,
				  o ? 1 : error.line, o ? "not an object" : error.text);
			err = -EINVAL;
		}
	}
	if (err && err != -ENOENT) {
		json_decref(o);
		return err;
	}
	document_change(o, changes, n);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* in place of the terminating zero: file_write() takes a length */
	err = file_write(path, text, len + 1);
	free(text);
	return err;
}

static int set(void *self, const char *node, const struct store_setting *changes, unsigned int n)
{
	char path[PATH_MAX], file[NODE_NAME_MAX + 16];
	char *name = document_name(node);
	int lock, err;

	if (!name)
		return -ENOMEM;
	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	free(name);
	path_of(self, CONFIG, ".lock", path, sizeof(path));
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0)
		return -errno;
	if (flock(lock, LOCK_EX)) {
		err = -errno;
		close(lock);
		return err;
	}
	path_of(self, CONFIG, file, path, sizeof(path));
	err = change(path, changes, n);
	close(lock);
	return err;
}

static const struct store_health *health(const void *self)
{
	return &((const struct directory *)self)->health;
}

const struct store_kind store_directory = {
	.prefix = "dir:",
	.open = open_directory,
	.close = close_directory,
	.publish = publish,
	.withdraw = withdraw,
	.set = set,
	.health = health,
};
