/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files of a directory and remembers their content. */
#include <errno.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/log.h"
#include "store/directory/internal.h"
#include "store/settings_json.h"

/* The order is that of enum memory_kind. */
static const char *const folders[MEMORY_KINDS] = {"nodes", "config"};

void directory_path(const struct directory *d, int folder, const char *file, char *out, size_t room)
{
	snprintf(out, room, "%s/%s%s%s", d->path, folders[folder], file ? "/" : "",
		 file ? file : "");
}

void directory_report_recovery(struct directory *d, const char *path)
{
	if (health_clear_problem(d->place->health, path))
		log_info("store: recovered", "path=%s", path);
}

/* --- known files --- */

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->file, ((const struct known *)b)->file);
}

static struct known *find_known(const struct directory *d, int folder, const char *file)
{
	const struct known key = {.file = (char *)(uintptr_t)file};
	struct known *const *found = tfind(&key, &d->index[folder], by_file);

	return found ? *found : NULL;
}

const char *directory_text(const struct directory *d, int folder, const char *file)
{
	const struct known *k = find_known(d, folder, file);

	return k ? k->text : NULL;
}

static struct known *find_or_make(struct directory *d, int folder, const char *file)
{
	struct known *k = find_known(d, folder, file);

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

bool directory_is_document(const char *file)
{
	const size_t len = strlen(file);

	return *file != '.' && len > strlen(DIRECTORY_SUFFIX) &&
	       !strcmp(file + len - strlen(DIRECTORY_SUFFIX), DIRECTORY_SUFFIX);
}

bool directory_name(int folder, const char *file, char out[NAME_MAX + 1])
{
	char stem[NAME_MAX + 1];
	const char *node;

	snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(file) - strlen(DIRECTORY_SUFFIX)), file);
	if (folder == MEMORY_NODES) {
		strcpy(out, stem);
		return true;
	}
	if (!settings_json_node(stem, &node))
		return false;
	strcpy(out, node ? node : "");
	return true;
}

static int put_node(struct directory *d, const char *name, const char *text, size_t len,
		    char *problem, size_t room)
{
	struct node_record r;
	int err = record_parse(text, len, &r, problem, room);

	if (err)
		return err;
	if (strcmp(r.name, name)) {
		snprintf(problem, room, "name: \"%.80s\" is not the name of the file", r.name);
		record_fini(&r);
		return -EINVAL;
	}
	memory_put_node(d->place->memory, &r);
	record_fini(&r);
	return 0;
}

static int put_settings(struct directory *d, const char *name, const char *path, const char *text,
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
	settings_json_remember(d->place->memory, *name ? name : NULL, o, path);
	json_decref(o);
	return 0;
}

/* These errors stay until the file is changed. After other errors it is worth trying again. */
static bool is_permanent(int err)
{
	return err == -EFBIG || err == -EISDIR || err == -ENOTSUP || err == -ELOOP;
}

/* Reports that a file is not used. Its last valid content stays in force. */
static void report_unused(struct directory *d, int folder, const char *path, const char *name,
			  const char *problem)
{
	if (name)
		memory_put_unusable(d->place->memory, folder, name);
	if (health_set_problem(d->place->health, HEALTH_PART, path, problem))
		log_warn("store: a file is not used", "file=%s problem=\"%s\"", path, problem);
}

static bool is_same(const struct known *k, const struct stat *s)
{
	return k->text && k->ino == s->st_ino && k->size == s->st_size &&
	       k->changed.tv_sec == s->st_ctim.tv_sec && k->changed.tv_nsec == s->st_ctim.tv_nsec;
}

static void use_file(struct directory *d, int folder, struct known *k, const char *path, char *text,
		     size_t len, int err)
{
	char problem[200] = "", name[NAME_MAX + 1];
	const bool named = directory_name(folder, k->file, name);

	if (!err && named && k->text && !strcmp(text, k->text)) {
		memory_put_unusable(d->place->memory, folder, name);
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
		err = put_node(d, name, text, len, problem, sizeof(problem));
	else
		err = put_settings(d, name, path, text, len, problem, sizeof(problem));
	if (err && !*problem)
		snprintf(problem, sizeof(problem), "%s", strerror(-err));
	if (*problem)
		report_unused(d, folder, path, named ? name : NULL, problem);
	else
		directory_report_recovery(d, path);
	d->read_failed |= err && err != -EINVAL && !is_permanent(err);
}

bool directory_read_file(struct directory *d, int folder, const char *file, bool news)
{
	char path[PATH_MAX], name[NAME_MAX + 1], *text;
	struct known *k = find_or_make(d, folder, file);
	struct stat s = {.st_ino = 0};
	size_t len = 0;
	int err;

	if (!k) {
		d->read_failed = true;
		return true;
	}
	directory_path(d, folder, file, path, sizeof(path));
	if (!stat(path, &s) && !news && is_same(k, &s) && directory_name(folder, file, name)) {
		memory_put_unusable(d->place->memory, folder, name);
		k->listed = true;
		return true;
	}
	err = file_read(path, RECORD_MAX_BYTES, &text, &len);
	/* A symbolic link to nothing counts as a file that cannot be read. */
	if (err == -ENOENT && lstat(path, &s))
		return false;
	k->ino = s.st_ino;
	k->size = s.st_size;
	k->changed = s.st_ctim;
	k->listed = true;
	use_file(d, folder, k, path, text, len, err);
	return true;
}

/* --- a whole folder --- */

void directory_list_begins(struct directory *d, int folder)
{
	for (struct known *k = d->known[folder]; k; k = k->next)
		k->listed = false;
}

void directory_list_ends(struct directory *d, int folder)
{
	for (struct known **at = &d->known[folder]; *at;) {
		struct known *k = *at;
		char path[PATH_MAX];

		if (k->listed) {
			at = &k->next;
			continue;
		}
		directory_path(d, folder, k->file, path, sizeof(path));
		directory_report_recovery(d, path);
		*at = k->next;
		known_free(d, folder, k);
	}
}

void directory_files_fini(struct directory *d)
{
	for (int i = 0; i < MEMORY_KINDS; i++) {
		while (d->known[i]) {
			struct known *k = d->known[i];

			d->known[i] = k->next;
			known_free(d, i, k);
		}
	}
}
