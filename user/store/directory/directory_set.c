/* SPDX-License-Identifier: Apache-2.0 */
#include "store/directory/directory_set.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "store/settings_json.h"

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
			log_error("the settings are not valid: nothing was changed",
				  "file=%s line=%d problem=\"%s\" needs=\"one JSON object\"", path,
				  o ? 1 : error.line, o ? "not an object" : error.text);
			err = -EINVAL;
		}
	}
	if (err && err != -ENOENT) {
		json_decref(o);
		return err;
	}
	settings_json_change(o, changes, n);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* replaces the terminating zero: file_write() takes a length */
	err = file_write(path, 0644, text, len + 1);
	free(text);
	return err;
}

int directory_set(const char *folder, const char *node, const struct store_setting *changes,
		  unsigned int n)
{
	char path[PATH_MAX];
	char *name = settings_json_name(node);
	int lock, err;

	if (!name)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/.lock", folder);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	err = lock < 0 || flock(lock, LOCK_EX) ? -errno : 0;
	if (!err) {
		snprintf(path, sizeof(path), "%s/%s.json", folder, name);
		err = change(path, changes, n);
	}
	if (lock >= 0)
		close(lock);
	free(name);
	return err;
}
